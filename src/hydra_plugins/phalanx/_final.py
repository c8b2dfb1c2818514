"""Trains the best points of a search once more: on fresh seeds, and where the data have no official test split, each
seed on a fresh split of its own.

A point is what the study has of its trial, and has to compose to the configuration that the trial trained.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hydra.plugins.launcher import Launcher

from phalanx.core.errors import RequestError
from phalanx.core.result import Status
from phalanx.runs.layout import FINAL, RunPaths, SweepPaths
from phalanx.runs.stored_run import StoredRun, by_key, find_usable_run

if TYPE_CHECKING:
    from hydra_plugins.phalanx._request import Request
    from phalanx.analysis.final import FinalSpec
    from phalanx.study import Value
    from phalanx.training.spec import TrialSpec

log = logging.getLogger(__name__)

Points = Mapping[int, Mapping[str, "Value"]]


@dataclass(frozen=True)
class _Point:
    """A trial's point: the overrides that the study has of it, and the spec that these compose to."""

    trial: StoredRun
    overrides: Sequence[str]
    spec: TrialSpec

    @property
    def number(self) -> int:
        return self.trial.number

    @property
    def on_splits(self) -> bool:
        has_own_test = self.trial.data is None or self.trial.data.official_test is not False
        has_own_test = has_own_test or self.spec.data.outer_folds is not None
        return not has_own_test and self.spec.data.is_drawn

    def fresh(self, paths: SweepPaths, n_seeds: int) -> list[_Fresh]:
        """The seeds that follow those of the search, each with a split seed that follows those of the search."""
        repeats, data = self.trial.repeats, self.spec.data
        seed = max((row.seed for row in repeats), default=self.spec.seed) + 1
        split_seed = max([data.split_seed, *(row.split_seed for row in repeats if row.split_seed is not None)]) + 1
        return [_Fresh(self, seed + i, split_seed + i, paths.final_split(self.number, split_seed + i))
                for i in range(n_seeds)]  # fmt: skip


@dataclass(frozen=True)
class _Fresh:
    """A point on one fresh seed and split."""

    point: _Point
    seed: int
    split_seed: int
    folder: RunPaths

    @property
    def digest(self) -> str:
        return _digest(replace(self.point.spec, data=replace(self.point.spec.data, split_seed=self.split_seed)))

    @property
    def overrides(self) -> list[str]:
        own = [f"++seed={self.seed}", f"++data.split_seed={self.split_seed}"]
        return [*self.point.overrides, *own, f"hydra.sweep.subdir={FINAL}/{self.point.number}/{self.folder.root.name}"]


def train_final(
    launcher: Launcher, paths: SweepPaths, request: Request, final: FinalSpec, points: Points, direction: str
) -> None:
    """Trains the best points of a search, but for those that an earlier start has completed.

    Args:
        launcher: Any launcher of Hydra.
        paths: The sweep's folder.
        request: The search.
        final: The number of points and seeds.
        points: The parameters of the study's trials, by number.
        direction: `minimize` or `maximize`, of the first objective.

    Raises:
        RequestError: A point composes to another configuration than its trial trained.
    """
    from phalanx.analysis.final import chosen
    from phalanx.runs.sweep_folder import collect, front_first, ranked

    known = [
        replace(trial, overrides=by_key(request.search.space.overrides(points[trial.number])))
        for trial in collect(paths)
        if trial.number in points
    ]
    best = chosen(front_first(ranked(known, direction)), final.top)
    found = _points(best, paths, request, points)
    left = [point for point in found if not _has_ended(point, paths, final.seeds)]
    on_splits = [point for point in left if point.on_splits]
    for point in left:
        if not point.on_splits:
            log.info("final: trial %d on %d fresh seeds", point.number, final.seeds)
            overrides = [*point.overrides, f"hydra.sweep.subdir={FINAL}/{point.number}"]
            launcher.launch([overrides], initial_job_idx=point.number)
    if on_splits:
        numbers = ", ".join(str(point.number) for point in on_splits)
        log.info("final: trials %s on %d fresh seeds, each on a fresh split", numbers, final.seeds)
        _train_on_splits(launcher, paths, final.seeds, on_splits)


def _points(best: Sequence[StoredRun], paths: SweepPaths, request: Request, points: Points) -> list[_Point]:
    """The points of these trials. Raises `RequestError` with each that composes to something else than was trained."""
    from hydra_plugins.phalanx._job_config import job_config
    from phalanx.runs.config import plain, trial_spec

    found: list[_Point] = []
    faults: list[str] = []
    for trial in best:
        overrides = request.search.space.overrides(points[trial.number])
        config = job_config(request.composer, overrides, trial.number)
        with config.active():
            values = plain(config.task)
        found.append(_Point(trial, overrides, trial_spec(values)))
        if _digest(found[-1].spec) != trial.config_digest:
            changes = ", ".join(_changes(paths.trial(trial.number), values)) or "its config_digest is another one"
            faults.append(f"trial {trial.number}: {changes}")
    if faults:
        raise RequestError(
            "the final trains what its trials trained, and these are configured otherwise now:\n"
            + "\n".join(f"  - {fault}" for fault in faults)
            + "\nundo the change and type the same again, or search anew with another hydra.sweeper.study_name"
        )
    return found


def _changes(trained: RunPaths, values: Mapping[str, object]) -> Iterator[str]:
    from phalanx.runs.config_file import flat, read_values

    then, now = flat(read_values(trained.config_resolved)), flat(values)
    for key in sorted({*then, *now}):
        if then.get(key) != now.get(key):
            yield f"{key}={then.get(key)!r} then, {now.get(key)!r} now"


def _has_ended(point: _Point, paths: SweepPaths, n_seeds: int) -> bool:
    """Whether an earlier start has trained the final of a point, in its configuration."""
    expected = [one.digest for one in point.fresh(paths, n_seeds)] if point.on_splits else [_digest(point.spec)]
    return _is_trained(paths.final(point.number), expected, n_seeds)


def _is_trained(paths: RunPaths, digests: Collection[str], n_seeds: int = 0) -> bool:
    """Whether the folder has a result of this configuration and number of seeds; what is damaged is trained again."""
    trained = find_usable_run(paths.root)
    if trained is None or trained.status is Status.FAILED or len(trained.repeats) != n_seeds:
        return False
    if trained.config_digest not in digests:
        log.warning("%s was trained in another configuration than its trial, and is trained again", paths.root)
        return False
    return True


def _train_on_splits(launcher: Launcher, paths: SweepPaths, n_seeds: int, points: Sequence[_Point]) -> None:
    """Trains all points on all splits in one launch, so that points share cohorts, and combines those of each point."""
    from phalanx.runs.final_folder import combine_splits

    fresh = {point.number: point.fresh(paths, n_seeds) for point in points}
    left = [one for some in fresh.values() for one in some if not _is_trained(one.folder, [one.digest])]
    if left:
        launcher.launch([one.overrides for one in left], initial_job_idx=points[0].number)
    for number, some in fresh.items():
        combine_splits(paths.final(number), {one.split_seed: one.folder for one in some})


def _digest(spec: TrialSpec) -> str:
    from phalanx.training.spec import config_digest

    return config_digest(spec)
