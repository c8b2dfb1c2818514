"""Cohorts: trials that are equal in all static fields and train together.

A cohort is held as one block or several (`chunk.py`), as `plan.py` finds fastest; what a trial gets depends on neither.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Collection, Hashable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import TypeVar

import torch

from phalanx.core.callbacks import Callback
from phalanx.core.device import resolve, threads
from phalanx.core.errors import RequestError
from phalanx.core.result import EpochMetrics, Snapshot, State, TrialResult
from phalanx.core.specs import without_stacked
from phalanx.data import Dataset
from phalanx.nn.models import ModelSpec
from phalanx.training.autotune import ExecutionPlan, execution_plans, fastest
from phalanx.training.chunk import Chunk
from phalanx.training.planning import FLOPS_PER_S, Cost, Workers, chunk_size, free_bytes, share, workers
from phalanx.training.spec import TrialSpec, static_key
from phalanx.training.stack import batches

Of = TypeVar("Of")
PROBE_FROM_S = 20.0  # estimated training time from which a probe is made
autotuned: dict[Hashable, ExecutionPlan] = {}  # what probes have found in this process
COPIES = 5  # of its parameters that a trial holds: they, their gradients, the kept ones, the optimizer's state


def partition(specs: Sequence[TrialSpec]) -> list[list[int]]:
    """Positions in `specs` grouped into cohorts, in order of first appearance."""
    groups: dict[object, list[int]] = {}
    for position, spec in enumerate(specs):
        groups.setdefault(static_key(spec), []).append(position)
    return list(groups.values())


def check_static(specs: Sequence[TrialSpec]) -> None:
    """Raises `RequestError` naming the static fields in which `specs` differ."""
    first = dict(static_key(specs[0]))
    for spec in specs[1:]:
        other = dict(static_key(spec))
        differ = [k for k in first.keys() | other.keys() if first.get(k) != other.get(k)]
        if differ:
            lines = [f"{k}: {first.get(k)!r} and {other.get(k)!r}" for k in sorted(differ)]
            raise RequestError(
                "these trials cannot share a cohort, they differ in static fields: "
                + "; ".join(lines)
                + "; split them with phalanx.partition(specs) first"
            )


class Cohort:
    """Trials that train together and may come and go: `join` between epochs, results as each of them ends.

    `like` says what is static; positions count the trials that ever joined. A trial's numbers do not depend on when
    it joined, or on who else is there.
    """

    def __init__(
        self, like: TrialSpec, dataset: Dataset, callback: Callback | None = None, *, test: bool = True
    ) -> None:
        self.like, self.device = like, resolve(like.device)
        self.dataset, self.callback, self.test = dataset.to(self.device), callback or Callback(), test
        self.chunks: list[Chunk] = []
        self.workers = Workers()
        self.joining: dict[int, TrialSpec] = {}  # trials that begin with the next epoch
        self.after: dict[int, Snapshot] = {}  # where those of them go on that were on their way before
        self.over: dict[int, TrialResult] = {}  # trials that had ended before
        self.n_joined, self.name = 0, uuid.uuid4().hex[:8]

    @property
    def running(self) -> int:
        """How many trials still train."""
        return sum(chunk.running for chunk in self.chunks) + len(self.joining) + len(self.over)

    @property
    def steps_per_epoch(self) -> int:
        """Updates of each trial in one pass over the training split."""
        return batches(self.like.trainer, len(self.dataset.train))[1]

    def join(self, specs: Sequence[TrialSpec], states: Sequence[State] = ()) -> list[int]:
        """Adds trials, which begin with the next epoch; returns their positions.

        With their `states` of an earlier training they go on from there, whoever they trained with; the result of one
        that had ended is given back after the next epoch.
        """
        check_static([self.like, *specs])
        positions = list(range(self.n_joined, self.n_joined + len(specs)))
        known = dict(zip(positions, states, strict=False))
        self.over |= {p: state for p, state in known.items() if isinstance(state, TrialResult)}
        self.after |= {p: state for p, state in known.items() if isinstance(state, Snapshot)}
        self.joining |= {p: spec for p, spec in zip(positions, specs, strict=True) if p not in self.over}
        self.n_joined += len(specs)
        return positions

    def snapshot(self, position: int) -> Snapshot | None:
        """How far a trial is that has not ended; None if it has not begun. Between two epochs only."""
        chunks = [chunk for chunk in self.chunks if position in chunk.traces]
        return chunks[0].snapshot(position) if chunks else self.after.get(position)

    def epoch(self) -> dict[int, TrialResult]:
        """Trains each trial by one epoch; returns the results of those that ended with it, by position."""
        self._place()
        rows = self._train()
        sound = {position: row for chunk in self.chunks for position, row in chunk.record(rows).items()}
        pruned = set(self.callback.on_epoch(sound)) if sound else set()
        return self._results(self._each(lambda chunk: chunk.end(sound.keys() & chunk.traces.keys(), pruned)))

    def abandon(self) -> dict[int, TrialResult]:
        """Ends all trials where they are; returns what each had reached, by position."""
        ended = [chunk.abandon() for chunk in self.chunks]
        for member in self.joining.items():
            chunk = self._block(without_stacked(member[1].model))
            self._settle(chunk, [member])
            ended.append(chunk.abandon())
        self.joining = {}
        return self._results(ended)

    def _results(self, ended: Sequence[dict[int, TrialResult]]) -> dict[int, TrialResult]:
        self.chunks = [chunk for chunk in self.chunks if chunk.running]
        over, self.over = self.over, {}
        return over | {position: result for results in ended for position, result in results.items()}

    def _block(self, model: ModelSpec | None = None) -> Chunk:
        return Chunk(self.like, self.dataset, self.device, test=self.test, model=model, cohort=self.name)

    def _size(self, model: ModelSpec) -> int:
        return model.layout(self.dataset.n_features, self.dataset.n_classes).size

    def _place(self) -> None:
        """Gives those that join a place: in blocks of their shape that have one free, then in new ones.

        What does not fit into memory waits until others have ended.
        """
        if not self.joining:
            return
        waiting, self.joining = list(self.joining.items()), {}
        # Zeros in a product change how it is rounded, so on a CPU, where bits are kept, padding has to be asked for.
        pads = self.device.type != "cpu" if self.like.device.pad is None else self.like.device.pad
        cost = Cost(batches(self.like.trainer, len(self.dataset.train))[0], self.device.type, pads)
        there = [spec for chunk in self.chunks for spec in chunk.stack.specs]
        flops = sum(cost.flops(self._size(spec.model)) for spec in [*there, *(spec for _, spec in waiting)])
        self.workers = workers(self.device, self.like.device, len(there) + len(waiting), flops)
        free = free_bytes(self.device)
        shapes = share(waiting, [chunk.stack.model for chunk in self.chunks], self._size, cost)
        for shape in shapes:
            n_bytes, own = 4 * self._size(shape.model) * COPIES, cost.flops(self._size(shape.model))
            fits = max(free // n_bytes, 0 if self.chunks else 1)
            members, late = shape.members[:fits], shape.members[fits:]
            free -= n_bytes * len(members)
            self.joining |= dict(late)
            alike = [chunk for chunk in self.chunks if without_stacked(chunk.stack.model) == shape.model]
            n_trials = len(members) + sum(chunk.running for chunk in alike)
            size = chunk_size(self.device, n_trials, n_bytes, own, self.workers.count)
            if len(shapes) == 1 and not self.chunks and self._is_long(own * n_trials, members):
                size = self._probe(shape.model, ExecutionPlan(size, self.workers), members)
            self._fill(shape.model, members, alike, size)

    def _is_long(self, flops: float, members: Sequence[tuple[int, TrialSpec]]) -> bool:
        """Whether these train for so long on the CPU that a probe costs next to nothing."""
        epochs = max((spec.trainer.epochs for _, spec in members), default=0)
        steps = self.steps_per_epoch * epochs
        return self.device.type == "cpu" and len(members) > 1 and flops * steps / FLOPS_PER_S["cpu"] > PROBE_FROM_S

    def _probe(self, model: ModelSpec, rule: ExecutionPlan, members: Sequence[tuple[int, TrialSpec]]) -> int:
        """Takes the workers that a probe finds fastest; returns its number of trials a block."""
        n_cores = self.like.device.threads or torch.get_num_threads()
        key = (model, rule, len(members), n_cores, self.like.trainer.batch_size)
        if key not in autotuned:
            candidates = execution_plans(rule, len(members), n_cores)
            spec = replace(members[0][1], model=model)
            autotuned[key] = fastest(candidates, lambda: self._block(model).stack, spec, self.dataset.train)
        self.workers = autotuned[key].workers
        return autotuned[key].size

    def _fill(
        self, model: ModelSpec, members: Sequence[tuple[int, TrialSpec]], alike: Sequence[Chunk], size: int
    ) -> None:
        """Puts trials into the blocks `alike` up to `size` in each, and into new ones."""
        for chunk in sorted(alike, key=lambda chunk: chunk.running):
            free = max(size - chunk.running, 0)
            self._settle(chunk, members[:free])
            members = members[free:]
        n_new = -(-len(members) // size)
        for i in range(n_new):
            self.chunks.append(self._block(model))
            self._settle(self.chunks[-1], members[i::n_new])

    def _settle(self, chunk: Chunk, members: Collection[tuple[int, TrialSpec]]) -> None:
        if members:
            positions = [position for position, _ in members]
            after = {p: self.after.pop(p) for p in positions if p in self.after}
            chunk.join([spec for _, spec in members], positions, after)

    def _train(self) -> dict[int, EpochMetrics]:
        """One epoch of every block."""
        stopped = threading.Event()

        def on_step(epoch: int, step: int) -> None:
            if stopped.is_set():
                raise _Stopped
            self.callback.on_step(epoch, step)

        rows = self._each(lambda chunk: chunk.train_epoch(on_step), stopped)
        return {position: row for part in rows for position, row in part.items()}

    def _each(self, work: Callable[[Chunk], Of], stopped: threading.Event | None = None) -> list[Of]:
        """What `work` gives of each block, `workers.count` of them at a time; `stopped` is set when one has failed."""
        n_workers = min(self.workers.count, len(self.chunks))
        if n_workers < 2:
            with threads(self.workers.threads):
                return [work(chunk) for chunk in self.chunks]
        before, stopped = torch.get_num_threads(), stopped or threading.Event()

        def with_threads(chunk: Chunk) -> Of:
            torch.set_num_threads(self.workers.threads)  # of this thread, and of all that start later
            try:
                return work(chunk)
            except BaseException:
                stopped.set()  # at once: the thread that waits may be woken late
                raise
            finally:
                torch.set_num_threads(before)

        with ThreadPoolExecutor(n_workers) as pool:
            futures = [pool.submit(with_threads, chunk) for chunk in self.chunks]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                stopped.set()  # which those that are done no longer look at
        for future in futures:
            if isinstance(error := future.exception(), Exception) and not isinstance(error, _Stopped):
                raise error
        return [future.result() for future in futures]


class _Stopped(Exception):
    """Ends a block's epoch because another one's failed or the user asked for it."""
