"""One job: its configuration, its trials, its callbacks."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from phalanx.core.callbacks import Callback, Deadline
from phalanx.core.result import Objective, TrialResult
from phalanx.runs.checkpoint import RunCheckpointer
from phalanx.runs.config import Settings, settings
from phalanx.runs.fencing import FencingToken
from phalanx.runs.layout import RunPaths
from phalanx.runs.manifest import Sweep
from phalanx.study import Pruning, Trial
from phalanx.training.spec import COSTS, OBJECTIVES, TrialSpec, static_key

FindTrial = Callable[[], Trial | None] | None


def with_seeds(spec: TrialSpec, sweep: Sweep | None) -> list[TrialSpec]:
    """The trial with each seed that its sweep asks for."""
    return [spec] if sweep is None else [replace(spec, seed=seed) for seed in sweep.seeds(spec.seed)]


def _watcher(spec: TrialSpec, sweep: Sweep, find_trial: FindTrial, spent: float) -> Callback:
    watcher, limit = pruning(spec, sweep, find_trial), sweep.manifest.trial_timeout_s
    return watcher if limit is None else Deadline(limit, watcher, spent)


def checkpointer_of(
    asked: Settings, folder: Path, sweep: Sweep | None, fence: FencingToken | None = None
) -> RunCheckpointer:
    """Where a job in this folder goes on, and what keeps how far it is.

    Raises `CheckpointError` if there is a checkpoint of something else; a sweep, which nobody watches, sets it aside.
    """
    return RunCheckpointer(
        RunPaths(folder), asked.checkpoint, with_seeds(asked.trial, sweep), fence, strict=sweep is None
    )


def pruning(spec: TrialSpec, sweep: Sweep, find_trial: FindTrial) -> Callback:
    """Who reports the trial's epochs to its study; nobody in a grid and in a final."""
    if not sweep.manifest.search or sweep.final or find_trial is None:
        return Callback()
    return Pruning(find_trial(), spec.objective)


def objectives(names: Sequence[str], result: TrialResult) -> list[Objective]:
    """All objectives of the trial with their values; the first is the result's own."""
    found = [result.objective]
    for name in names[1:]:
        number = getattr(result, name) if name in COSTS else getattr(result.metrics, name)
        value = None if result.objective.value is None else number
        found.append(Objective(name, value, (OBJECTIVES | COSTS)[name]))
    return found


@dataclass(frozen=True)
class Job:
    """One job of a sweep, before it is trained. In another process its `Settings` stand in place of its config."""

    cfg: Any
    folder: Path
    sweep: Sweep
    find_trial: FindTrial = None
    fence: FencingToken | None = None

    @cached_property
    def asked(self) -> Settings:
        """What the job is configured to do. Raises `RequestError` for a configuration that is wrong."""
        return self.cfg if isinstance(self.cfg, Settings) else settings(self.cfg)

    @property
    def trial(self) -> TrialSpec:
        """The trial, seed aside. Raises as `asked`."""
        return self.asked.trial

    @property
    def key(self) -> Hashable:
        """Jobs with the same may share a cohort, which reads the test split or does not, all of it."""
        return static_key(self.trial), self.sweep.reads_test
