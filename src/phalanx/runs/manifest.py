"""`sweep.json`: what the jobs of a sweep need to know of it, written by the launching process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

from phalanx.core.errors import UnreadableFile
from phalanx.core.files import write_json
from phalanx.core.reading import read_json
from phalanx.runs.layout import FINAL, SPLIT, SweepPaths

if TYPE_CHECKING:
    from phalanx.training.spec import TrialSpec

VARY = ("init", "order", "split")  # what a repeat can change: initial weights, order of samples, split of the rows
WAYS = ("seeds", "greedy", "best")  # to choose the members of an ensemble; all but the first by validation predictions
SEED_VARIES = VARY[:2]  # what `seed` draws

_KINDS: dict[str, tuple[type, ...]] = {
    "predictions": (bool,),
    "study": (str,), "study_id": (str,), "repeats": (int,), "aggregate": (str,), "final_seeds": (int,),
    "trial_timeout_s": (int, float, NoneType), "ending": (str, NoneType), "n_jobs": (int, NoneType),
    "summary": (NoneType, dict), "folds": (bool,), "vary": (list,), "baselines": (dict,),
}  # fmt: skip


@dataclass(frozen=True)
class Manifest:
    """The part of `sweep.json` that is read again."""

    study: str = ""
    study_id: str = ""  # which tells the study from a later one of the same name
    search: bool = False  # a search chooses by validation, so its trials never read the test split
    repeats: int = 1  # of each trial, and fold
    vary: Sequence[str] = SEED_VARIES  # what a repeat changes
    folds: bool = False  # whether a trial is trained on all folds of its data
    aggregate: str = "mean"  # how the objectives of repeats and folds become one value: mean, lower_bound
    predictions: bool = False  # whether trials keep their predictions of the validation rows, for an ensemble
    final_seeds: int = 0  # fresh seeds for each point of the final
    trial_timeout_s: float | None = None  # training time of one trial
    ending: str | None = None  # why a search ended
    n_jobs: int | None = None  # of a grid

    @classmethod
    def read(cls, paths: SweepPaths) -> Manifest:
        """The manifest of a sweep; the defaults where there is none. Raises `UnreadableFile` for a damaged one."""
        known = read_manifest(paths)
        return cls(**{f.name: known[f.name] for f in fields(cls) if f.name in known})


def read_manifest(paths: SweepPaths) -> dict[str, Any]:
    """All entries of `sweep.json`; none if there is no such file. Raises `UnreadableFile` if it is damaged."""
    if not paths.manifest.exists():
        return {}
    content = read_json(paths.manifest)
    if not isinstance(content, dict) or not isinstance(content.get("search"), bool):
        # Without it a search would be taken for a grid, and its trials would read the test split.
        raise UnreadableFile(paths.manifest, "is damaged: it does not say whether the sweep is a search")
    odd = [name for name, kinds in _KINDS.items() if not isinstance(content.get(name, kinds[-1]()), kinds)]
    if odd:
        raise UnreadableFile(paths.manifest, f"is damaged: {', '.join(f'{n}={content[n]!r}' for n in odd)}")
    return content


def update_manifest(paths: SweepPaths, **entries: Any) -> dict[str, Any]:
    """Sets entries of `sweep.json`, keeps the others, and returns them all."""
    content = {**read_manifest(paths), **entries}
    write_json(paths.manifest, content)
    return content


@dataclass(frozen=True)
class Sweep:
    """A job's place in its sweep."""

    name: str
    number: int
    manifest: Manifest = Manifest()
    final: bool = False  # one of the best points, trained again on fresh seeds
    split: bool = False  # one seed of such a point, on a fresh split of its own

    @classmethod
    def of(cls, folder: Path, number: int) -> Sweep:
        """The sweep whose trial `number` is written to `folder`."""
        split = folder.name.startswith(SPLIT)
        point = folder.parent if split else folder
        final = point.parent.name == FINAL and SweepPaths(point.parent.parent).manifest.is_file()
        found = cls("", number, Manifest(), final, split=final and split)
        root = found.root(folder)
        return replace(found, name=root.name, manifest=Manifest.read(SweepPaths(root)))

    def root(self, folder: Path) -> Path:
        """The sweep's folder, given that of the job."""
        return folder.parents[self.final + self.split]

    @property
    def reads_test(self) -> bool:
        """Whether this job may read the test split."""
        return self.final or not self.manifest.search

    def seeds(self, first: int) -> list[int]:
        """The seeds to train with, if the configuration has seed `first`; those of the final follow the search's. On a
        fresh split the configuration already has the fresh seed."""
        if self.split:
            return [first]
        start, count = first, self.manifest.repeats
        if self.final:
            start, count = first + self.manifest.repeats, self.manifest.final_seeds
        return list(range(start, start + count))

    def specs(self, trial: TrialSpec) -> list[TrialSpec]:
        """The trials that one job trains: for each repeat one on each fold. The first is `trial`, but for a final.

        Args:
            trial: The trial as it is configured.
        """
        manifest, data = self.manifest, trial.data
        seeds = self.seeds(trial.seed)
        split_seeds = [data.split_seed] * len(seeds)
        folds: Sequence[int] = [data.fold]
        if not self.final:
            if "split" in manifest.vary:
                split_seeds = list(range(data.split_seed, data.split_seed + len(seeds)))
            if not {*SEED_VARIES} & {*manifest.vary}:
                seeds = [trial.seed] * len(seeds)
            folds = range(data.n_folds) if manifest.folds else folds
        places = [(*drawn, fold) for drawn in zip(seeds, split_seeds, strict=True) for fold in folds]
        fixed = () if self.final else [kind for kind in SEED_VARIES if kind not in manifest.vary]
        return [_placed(trial, *place, fixed) for place in places]


def _placed(trial: TrialSpec, seed: int, split_seed: int, fold: int, fixed: Sequence[str] = ()) -> TrialSpec:
    """The trial with another seed, split and fold; `fixed` of what the seed draws stays as the trial draws it."""
    data = trial.data
    if (split_seed, fold) != (data.split_seed, data.fold):
        data = replace(data, split_seed=split_seed, fold=fold)
    if seed == trial.seed:
        return trial if data is trial.data else replace(trial, data=data)
    kept = {f"{kind}_seed": getattr(trial, f"{kind}_seed") for kind in fixed}
    return replace(trial, seed=seed, data=data, trainer=replace(trial.trainer, **kept))
