"""The networks that a sweep has trained, as candidates for an ensemble."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from phalanx.core.advice import command
from phalanx.core.errors import RequestError, RunFolderError, listed
from phalanx.core.quantities import counted
from phalanx.core.result import Status
from phalanx.data import Dataset
from phalanx.data.base import PLACES
from phalanx.data.cache import dataset_of
from phalanx.runs.config import trial_spec
from phalanx.runs.config_file import read_values
from phalanx.runs.final_folder import chosen_by_final
from phalanx.runs.layout import RunPaths, SweepPaths
from phalanx.runs.manifest import Manifest, Sweep
from phalanx.runs.stored_run import StoredRun
from phalanx.runs.sweep_folder import collect, direction_of, is_sweep
from phalanx.runs.trained_on import with_places
from phalanx.training.spec import TrialSpec, config_digest

SHOWN = 8  # numbers of trials in a message


@dataclass(frozen=True, eq=False)
class Network:
    """One training of a sweep: a trial's only one, or that of one of its seeds and folds.

    Attributes:
        spec: What is trained.
        trial: The trial.
        metrics: What it reached in the sweep; None for a seed that the sweep has not trained.
        data_digest: Of the data that it was trained on; None where that is not known.
        kept: The model file that has its weights; None where they were not kept.
        place: Its place among the trainings of the trial.
    """

    spec: TrialSpec
    trial: StoredRun
    metrics: Mapping[str, float | None] | None
    data_digest: str | None
    kept: Path | None
    place: int = 0

    @property
    def dataset(self) -> Dataset:
        """Its data."""
        return dataset_of(self.spec.data)


@dataclass(frozen=True, eq=False)
class Candidate:
    """What predicts each validation row once: a network, or the networks of all folds with one seed."""

    networks: tuple[Network, ...]

    @property
    def first(self) -> Network:
        """The network of the first fold."""
        return self.networks[0]

    @property
    def seed(self) -> int:
        """The seed."""
        return self.first.spec.seed

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the trials that its networks come from."""
        return tuple(dict.fromkeys(network.trial.number for network in self.networks))

    @property
    def setting(self) -> str:
        """What was trained besides seed and fold, as a digest."""
        spec = self.first.spec
        return config_digest(spec if not spec.data.fold else replace(spec, data=replace(spec.data, fold=0)))

    @property
    def value(self) -> float | None:
        """The mean of the objective over the folds; None if one has none."""
        values = [(network.metrics or {}).get(network.spec.objective) for network in self.networks]
        known = [value for value in values if value is not None]
        return statistics.fmean(known) if len(known) == len(values) else None

    @property
    def rows(self) -> tuple[object, ...]:
        """What all members of an ensemble must share: the source and the rows that validate and test, fold by fold."""
        return tuple(_rows(network) for network in self.networks)


def _rows(network: Network) -> tuple[object, ...]:
    dataset, data = network.dataset, network.spec.data
    splits = [
        (dataset.row_numbers.get(name, split.y_N.numpy()).tobytes(), split.y_N.numpy().tobytes())
        for name, split in (("val", dataset.val), ("test", dataset.test))
    ]
    places = tuple(str(getattr(data, key, None)) for key in (*PLACES, "target"))
    return data.name, data.fold, places, dataset.classes, tuple(splits)


def numbered(candidates: Iterable[Candidate]) -> str:
    """The trials of candidates in words."""
    numbers = sorted({number for candidate in candidates for number in candidate.numbers})
    return f"trial{'' if len(numbers) == 1 else 's'} {listed(list(map(str, numbers)), SHOWN)}"


def read_candidates(sweep: Path, notes: list[str]) -> list[Candidate]:
    """The candidates of a sweep's completed trials.

    Args:
        sweep: The folder of the sweep.
        notes: Takes what is left out.

    Raises:
        RunFolderError: It is no folder of a sweep, or no trial was completed.
        RequestError: What trials trained, or their data, cannot be had any more; names all of them.
    """
    if not is_sweep(sweep):
        raise RunFolderError(
            f"{sweep} is not the folder of a sweep: it has no {SweepPaths(sweep).manifest.name}; sweeps are listed by: "
            "ls outputs/sweeps"
        )
    paths = SweepPaths(sweep)
    manifest, trials = Manifest.read(paths), collect(paths)
    completed = [trial for trial in trials if trial.status is Status.COMPLETED and trial.same_as is None]
    if not completed:
        again = "type the sweep's command again" if trials else f"train one: {command('python', 'train.py', '-m')} …"
        raise RunFolderError(f"{sweep} has no completed trial among {counted(len(trials), 'trial')}; {again}")
    faults: dict[str, list[str]] = {}
    networks: list[Network] = []
    for trial in completed:
        try:
            networks += networks_of(trial, Sweep("", trial.number, manifest))
        except RequestError as error:
            faults.setdefault(str(error), []).append(str(trial.number))
    if faults:
        lines = [f"  - trial {listed(numbers, SHOWN)}: {text}" for text, numbers in faults.items()]
        raise RequestError("\n".join([f"no ensemble of {sweep} can be made:", *lines]))
    return _by_fold(networks, notes)


def networks_of(trial: StoredRun, sweep: Sweep | None) -> list[Network]:
    """The trainings of one trial, or of a run of its own.

    Args:
        trial: The result.
        sweep: Its place in a sweep; None for a run of its own.

    Raises:
        RequestError: They are not those of its configuration and data now.
    """
    run = RunPaths(trial.folder)
    spec = trial_spec(with_places(read_values(run.config_resolved), run.root))
    if trial.config_digest not in (None, digest := config_digest(spec)):
        raise RequestError(f"{run.config_resolved} is another configuration than was trained: the digest was "
                           f"{trial.config_digest} and is {digest} now; put the file back")  # fmt: skip
    specs = [spec] if sweep is None else sweep.specs(spec)
    kept = run.model if run.model.is_file() else None
    if len(specs) == 1:
        found = [Network(spec, trial, trial.metrics, trial.data_digest, kept)]
    else:
        if len(specs) != len(trial.repeats):
            raise RequestError(f"{run.result} has {counted(len(trial.repeats), 'repeat')}, its sweep asks for "
                               f"{len(specs)}; train the sweep in a new folder")  # fmt: skip
        rows = zip(specs, trial.repeats, strict=True)
        digests = [row.data_digest or trial.data_digest for row in trial.repeats]
        found = [Network(own, trial, row.metrics, digests[i], None, i) for i, (own, row) in enumerate(rows)]
        found[0] = replace(found[0], kept=kept)  # a trial keeps the weights of its first training
    for network in found:
        now = network.dataset.digest
        if network.data_digest not in (None, now):
            raise RequestError(f"the data have changed since it was trained: their digest was {network.data_digest} "
                               f"and is {now} now; put the data back")  # fmt: skip
    return found


def _by_fold(networks: Sequence[Network], notes: list[str]) -> list[Candidate]:
    """Puts the folds of one setting and seed together; those that lack a fold are left out."""
    groups: dict[tuple[str, int], dict[int, Network]] = {}
    for network in networks:
        alone = Candidate((network,))
        groups.setdefault((alone.setting, alone.seed), {}).setdefault(network.spec.data.fold, network)
    most = max(len(folds) for folds in groups.values())
    found = [Candidate(tuple(folds[fold] for fold in sorted(folds))) for folds in groups.values()]
    if short := [candidate for candidate in found if len(candidate.networks) < most]:
        notes.append(f"left out, since not all {most} folds were completed: {numbered(short)}")
    return [candidate for candidate in found if len(candidate.networks) == most]


def check_rows(candidates: Sequence[Candidate], sweep: Path) -> None:
    """Raises `RequestError` if candidates were trained, or judged, on different rows."""
    groups: dict[tuple[object, ...], list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault(candidate.rows, []).append(candidate)
    if len(groups) > 1:
        shown = "; ".join(f"{numbered(group)}: data digest {group[0].first.data_digest}" for group in groups.values())
        raise RequestError(
            f"the trials of {sweep} have other data or other splits than each other, and members must share them: what "
            f"trains one would validate or test another ({shown}); train a sweep over one data set with one "
            "data.split_seed; folds (data.fold) may differ"
        )


def best_setting(sweep: Path, candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates, one for each seed, of the point that the sweep's final chose, or that has the best mean of the
    objective. Raises `RunFolderError` if no point has a value."""
    groups: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault(candidate.setting, []).append(candidate)
    chosen = chosen_by_final(SweepPaths(sweep))
    for group in groups.values():
        if chosen is not None and any(chosen in candidate.numbers for candidate in group):
            return group
    sign = -1 if direction_of([candidate.first.trial for candidate in candidates]) == "minimize" else 1
    valued = [group for group in groups.values() if all(candidate.value is not None for candidate in group)]
    if not valued:
        raise RunFolderError(f"no trial of {sweep} has a value of its objective")
    return max(valued, key=lambda group: sign * statistics.fmean(candidate.value or 0.0 for candidate in group))


def more_seeds(candidates: Sequence[Candidate], n_more: int) -> list[Candidate]:
    """Candidates of the same setting with the seeds that follow theirs, which the sweep has not trained."""
    last = max(candidate.seed for candidate in candidates)
    like = candidates[0].networks
    return [
        Candidate(tuple(replace(own, spec=replace(own.spec, seed=last + i), metrics=None, kept=None) for own in like))
        for i in range(1, n_more + 1)
    ]
