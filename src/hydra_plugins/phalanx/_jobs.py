"""Runs the trials of a study as jobs of one of Hydra's launchers, and reads their outcomes from their folders."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher

from hydra_plugins.phalanx._grammar import Space
from hydra_plugins.phalanx._state import STATE
from phalanx.core.errors import Failure
from phalanx.core.files import write_json
from phalanx.core.result import Status
from phalanx.runs.layout import RunPaths, SweepPaths
from phalanx.runs.stored_run import find_usable_run
from phalanx.study import Evaluator, Outcome, Proposal

if TYPE_CHECKING:
    from hydra_plugins.phalanx.launcher import CohortLauncher

log = logging.getLogger(__name__)


def launch(
    launcher: Launcher, paths: SweepPaths, proposals: Sequence[Proposal], overrides: Sequence[Sequence[str]]
) -> list[Outcome]:
    """Runs consecutive trials in one launch.

    If the launcher fails, say because one of its processes was killed, only the jobs that wrote nothing have failed.

    Args:
        launcher: Any launcher of Hydra.
        paths: The sweep's folder.
        proposals: Trials with consecutive numbers.
        overrides: Those of each trial's job.

    Returns:
        The outcome of each trial as its job wrote it; what a job returns does not say whether it was pruned.

    Raises:
        OSError: For a full disk or a folder that cannot be written.
    """
    for proposal in proposals:
        _begin(paths, proposal)
        if proposal.trial is not None:
            STATE.trials.put(paths.trial(proposal.number).root, proposal.trial)
    returns: Sequence[JobReturn | None]
    error: Exception | None = None
    try:
        returns = launcher.launch(overrides, initial_job_idx=proposals[0].number)
    except OSError:
        raise  # a full disk or a folder that cannot be written is no trial's fault
    except Exception as failed:
        log.warning("the launcher failed: %s", failed)
        returns, error = [None] * len(proposals), failed
    finally:
        for proposal in proposals:  # of jobs that ran in other processes, or not at all
            STATE.trials.take(paths.trial(proposal.number).root)
    return [
        recorded(paths.trial(p.number)) or _failed(paths.trial(p.number), asked, returned, error)
        for p, asked, returned in zip(proposals, overrides, returns, strict=True)
    ]


class LauncherStream(Evaluator):
    """Runs trials by the cohort launcher's `start` and `wait`, as a stream."""

    def __init__(
        self, launcher: CohortLauncher, paths: SweepPaths, space: Space, show: Callable[[Proposal], None]
    ) -> None:
        self.launcher, self.paths, self.space, self.show = launcher, paths, space, show
        self.in_flight: dict[int, Proposal] = {}

    def submit(self, proposals: Sequence[Proposal]) -> None:
        for proposal in proposals:
            _begin(self.paths, proposal)
            self.in_flight[proposal.number] = proposal
            self.launcher.start(self.space.overrides(proposal.params), proposal.number, proposal.trial)

    def results(self) -> list[tuple[Proposal, Outcome]]:
        found = []
        for number, returned in self.launcher.wait():
            paths, proposal = self.paths.trial(number), self.in_flight.pop(number)
            asked = self.space.overrides(proposal.params)
            found.append((proposal, recorded(paths) or _failed(paths, asked, returned, None)))
            self.show(proposal)
        return found


def _begin(paths: SweepPaths, proposal: Proposal) -> None:
    """Marks the trial's folder with this attempt, which fences off every earlier one."""
    write_json(paths.trial(proposal.number).attempt, {"attempt": proposal.attempt})


def recorded(paths: RunPaths) -> Outcome | None:
    """Returns the outcome that a trial has written; None if it failed, or wrote nothing that can be read."""
    stored = find_usable_run(paths.root)
    if stored is None or stored.status is Status.FAILED:
        return None
    values = tuple(float(o.value) for o in stored.objectives if o.value is not None)
    known = values if len(values) == len(stored.objectives) else None
    return Outcome(known, stored.error, stored.status is Status.PRUNED, stored.failure)


def _failed(
    paths: RunPaths, overrides: Sequence[str], returned: JobReturn | None, error: Exception | None
) -> Outcome:  # fmt: skip
    """Returns the outcome of a job that wrote no value; writes a `result.json` for one that wrote nothing."""
    from phalanx.runs.run_folder import write_failure

    if returned is not None and returned.status is JobStatus.COMPLETED:
        return _returned(returned.return_value)
    cause = error if returned is None else returned._return_value
    text = f"{type(cause).__name__}: {cause}"
    failure = Failure.CONFIG if isinstance(cause, HydraException) else Failure.CRASH
    if (stored := find_usable_run(paths.root)) is not None:
        return Outcome(None, stored.error, failure=stored.failure or failure)
    write_failure(paths, text, failure, job_overrides=tuple(overrides))
    return Outcome(None, text, failure=failure)


def _returned(value: Any) -> Outcome:
    """Returns the outcome of a job of another application, which returns its objectives."""
    try:
        values = value if isinstance(value, (tuple, list)) else (value,)
        return Outcome(tuple(float(v) for v in values))
    except (TypeError, ValueError):
        error = f"the job must return a number for each objective, got {value!r}"
        return Outcome(None, error, failure=Failure.CONFIG)
