"""What runs at the other end of an engine: a part is trained, and its results travel back as plain data."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phalanx.core.result import TrialResult
    from phalanx.jobs.executors.base import Shard
    from phalanx.jobs.handover import JobResult
    from phalanx.jobs.job import Job


def train_shard(shard: Shard, n_threads: int | None = None) -> bytes:
    """Trains jobs of one cohort to their ends, with at most `n_threads`; what became of each, packed.

    For a process that does nothing else at the same time.
    """
    from phalanx.jobs.handover import ready
    from phalanx.jobs.scheduler import train_together

    train_together([_bounded(job, n_threads) for job in shard.jobs], note=shard.note)
    return packed([ready.pop(job.folder) for job in shard.jobs])


def _bounded(job: Job, n_threads: int | None) -> Job:
    """The job with no more threads than it may have; where it says nothing, torch's own number holds."""
    device = job.trial.device
    if n_threads is None or device.threads is None:
        return job
    trial = replace(job.trial, device=replace(device, threads=min(device.threads, n_threads)))
    return replace(job, cfg=replace(job.asked, trial=trial))


def packed(found: Sequence[JobResult]) -> bytes:
    """Results as bytes, weights as arrays: torch would pickle a tensor as shared memory, which a kill takes along."""
    return pickle.dumps(
        [
            replace(
                trained,
                results=[_weights(r, lambda w: w.numpy()) for r in trained.results],
                error=_plain(trained.error),
            )
            for trained in found
        ]
    )


def unpacked(content: bytes) -> list[JobResult]:
    """What `packed` was given."""
    import torch

    found: list[JobResult] = pickle.loads(content)
    return [replace(t, results=[_weights(r, lambda w: torch.from_numpy(w)) for r in t.results]) for t in found]


def _weights(result: TrialResult, change: Callable[[Any], Any]) -> TrialResult:
    weights = result.weights and {name: change(value) for name, value in result.weights.items()}
    return replace(result, weights=weights)


def _plain(error: Exception | None) -> Exception | None:
    """An error that can be pickled, with its kind where that is possible."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
