"""Trains a shard in another process; its results travel back as plain data."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phalanx.core.result import TrialResult
    from phalanx.jobs.executors.base import Shard
    from phalanx.jobs.job import Job, JobResult, TrainedJob


def train_shard(shard: Shard, n_threads: int | None = None, trained: list[TrainedJob] | None = None) -> bytes:
    """Trains a shard to its end, in a process that does nothing else at the same time.

    Args:
        shard: Jobs of one cohort.
        n_threads: Most threads of torch that a job may ask for, at least 1.
        trained: The list to which jobs are added as they end, which remains after an interrupt.

    Returns:
        The packed results of the jobs, in their order.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM.
    """
    from phalanx.jobs.scheduler import train_together

    jobs = [_limit_threads(job, n_threads) for job in shard.jobs]
    found = dict(train_together(jobs, note=shard.note, trained=trained))
    return packed([found[job] for job in jobs])


def _limit_threads(job: Job, n_threads: int | None) -> Job:
    """The job with at most so many threads; a job without a number of its own uses torch's."""
    device = job.trial.device
    if n_threads is None or device.threads is None:
        return job
    trial = replace(job.trial, device=replace(device, threads=min(device.threads, n_threads)))
    return replace(job, config=replace(job.settings, trial=trial))


def packed(results: Sequence[JobResult]) -> bytes:
    """Pickles results, with weights as arrays: torch pickles a tensor as shared memory, which ends with its process."""
    return pickle.dumps(
        [
            replace(
                job_result,
                results=[_convert_weights(result, lambda weight: weight.numpy()) for result in job_result.results],
                error=_picklable(job_result.error),
            )
            for job_result in results
        ]
    )


def unpacked(content: bytes) -> list[JobResult]:
    """Restores results that `packed` has pickled."""
    import torch

    found: list[JobResult] = pickle.loads(content)
    return [replace(t, results=[_convert_weights(r, torch.from_numpy) for r in t.results]) for t in found]


def _convert_weights(result: TrialResult, convert: Callable[[Any], Any]) -> TrialResult:
    weights = result.weights and {name: convert(value) for name, value in result.weights.items()}
    return replace(result, weights=weights)


def _picklable(error: BaseException | None) -> BaseException | None:
    """An error of the same type if it can be pickled, else a `RuntimeError` with its text."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
