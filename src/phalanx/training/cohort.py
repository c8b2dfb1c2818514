"""Cohorts: trials that are equal in all static fields and train together.

A cohort is held as one chunk or several (`chunk.py`), as `planning.py` decides; no trial's results depend on it. Trials
whose data differ in form, such as folds whose encoders find other columns, are in chunks of their own.
"""

import functools
import threading
import uuid
from collections.abc import Callable, Collection, Hashable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import TypeVar

import torch

from phalanx.core.callbacks import Callback
from phalanx.core.device import resolve, threads
from phalanx.core.result import EpochMetrics, Snapshot, State, TrialResult
from phalanx.core.specs import without_stacked
from phalanx.data import Dataset
from phalanx.data.shared_rows import LARGEST_BYTES
from phalanx.nn.models import ModelSpec
from phalanx.training.autotune import ExecutionPlan, execution_plans, fastest
from phalanx.training.chunk import Chunk
from phalanx.training.planning import FLOPS_PER_S, Cost, Workers, chunk_size, free_bytes, share, workers
from phalanx.training.preparation import prepared
from phalanx.training.spec import TrialSpec
from phalanx.training.stack import batches
from phalanx.training.training_rows import n_filled, shared_form

R = TypeVar("R")
AUTOTUNE_FROM_S = 20.0  # estimated training time from which measuring execution plans pays off
BUFFERS = 5  # numbers per parameter of a trial: itself, its gradient, the kept weight, the optimizer's state


@functools.lru_cache(maxsize=1)
def measured_plans() -> dict[Hashable, ExecutionPlan]:
    """The execution plans that this process has measured, by what they depend on."""
    return {}


class Cohort:
    """Trials that train together: they `join` between epochs, and leave when they end.

    A trial's position is its number among all trials that ever joined. Its results depend neither on when it joined nor
    on the other trials.

    Args:
        like: Any trial of the cohort, for the static fields.
        dataset: The data of `like`.
        callback: Is called at each step and epoch, and may prune trials.
        test: Whether results have test metrics.
    """

    def __init__(
        self, like: TrialSpec, dataset: Dataset, callback: Callback | None = None, *, test: bool = True
    ) -> None:
        self.device = resolve(like.device)
        self.dataset, self.callback, self.test = dataset.to(self.device), callback or Callback(), test
        self.like = prepared(like, self.dataset)
        self.chunks: list[Chunk] = []
        self.workers = Workers()
        self.joining: dict[int, TrialSpec] = {}  # trials that begin with the next epoch
        self.data: dict[int, Dataset] = {}  # their data
        self.after: dict[int, Snapshot] = {}  # the snapshots from which those of them resume
        self.ended: dict[int, TrialResult] = {}  # results of trials that had ended before they joined
        self.n_joined, self.name = 0, uuid.uuid4().hex[:8]

    @property
    def running(self) -> int:
        """The number of trials whose result `epoch` has not returned yet."""
        return sum(chunk.running for chunk in self.chunks) + len(self.joining) + len(self.ended)

    @property
    def steps_per_epoch(self) -> int:
        """Updates per epoch of a trial with the data of the first."""
        return batches(self.like.trainer, n_filled(self.like, self.dataset))[1]

    def join(
        self, specs: Sequence[TrialSpec], states: Sequence[State] = (), datasets: Sequence[Dataset] | None = None
    ) -> list[int]:
        """Adds trials, which begin with the next epoch, and returns their positions.

        Args:
            specs: Trials that equal `like` in every static field; see `check_static`.
            states: Their states of an earlier training, from which they resume. A trial that had ended does not train
                again; the next `epoch` returns its result.
            datasets: The data of each trial, other splits of the cohort's, if not the cohort's.
        """
        positions = list(range(self.n_joined, self.n_joined + len(specs)))
        known = dict(zip(positions, states, strict=False))
        self.ended |= {p: state for p, state in known.items() if isinstance(state, TrialResult)}
        self.after |= {p: state for p, state in known.items() if isinstance(state, Snapshot)}
        new = {p: spec for p, spec in zip(positions, specs, strict=True) if p not in self.ended}
        own = [dataset.to(self.device) for dataset in datasets] if datasets else [self.dataset] * len(specs)
        self.data |= {p: dataset for p, dataset in zip(positions, own, strict=True) if p in new}
        self.joining |= {position: prepared(spec, self.data[position]) for position, spec in new.items()}
        self.n_joined += len(specs)
        return positions

    def snapshot(self, position: int) -> Snapshot | None:
        """The state of a trial that has not ended, between two epochs; None if it has not begun."""
        chunk = next((chunk for chunk in self.chunks if position in chunk.progress), None)
        return chunk.snapshot(position) if chunk else self.after.get(position)

    def epoch(self) -> dict[int, TrialResult]:
        """Trains each trial for one epoch; returns the results of those that ended with it, by position."""
        self._assign_chunks()
        rows = self._train()
        with threads(self.workers.threads):  # several would wait for each other at so small a copy
            finite = {position: row for chunk in self.chunks for position, row in chunk.record(rows).items()}
        pruned = set(self.callback.on_epoch(finite)) if finite else set()
        return self._results(self._each(lambda chunk: chunk.end(finite.keys() & chunk.progress.keys(), pruned)))

    def abandon(self) -> dict[int, TrialResult]:
        """Interrupts all trials; returns their results so far, by position."""
        results = [chunk.abandon() for chunk in self.chunks]
        for position, spec in self.joining.items():
            chunk = self._new_chunk(spec, self.data[position])
            self._add_trials(chunk, [(position, spec)])
            results.append(chunk.abandon())
        self.joining = {}
        return self._results(results)

    def _results(self, by_chunk: Sequence[dict[int, TrialResult]]) -> dict[int, TrialResult]:
        self.chunks = [chunk for chunk in self.chunks if chunk.running]
        ended, self.ended = self.ended, {}
        return ended | {position: result for results in by_chunk for position, result in results.items()}

    def _new_chunk(self, like: TrialSpec, dataset: Dataset, model: ModelSpec | None = None) -> Chunk:
        model = model or without_stacked(like.model)
        return Chunk(like, dataset, self.device, test=self.test, model=model, cohort=self.name)

    def _table_bytes(self) -> int:
        """Bytes of the different training tables of joining trials, which a stack of several holds once more."""
        own = {id(d): d.train.n_bytes for d in self.data.values() if d.train.table is None}
        tables = {place: n_bytes for place, n_bytes in own.items() if n_bytes <= LARGEST_BYTES}
        return sum(tables.values()) if len(tables) > 1 else 0

    def _assign_chunks(self) -> None:
        """Adds joining trials to chunks of their form and shape, or to new ones; those without memory wait."""
        if not self.joining:
            return
        waiting, self.joining = list(self.joining.items()), {}
        kind = self.device.type
        trials = [(spec, chunk.dataset) for chunk in self.chunks for spec in chunk.stack.specs]
        trials += [(spec, self.data[position]) for position, spec in waiting]
        flops = sum(_flops(spec, spec.model, dataset, kind) for spec, dataset in trials)
        self.workers = workers(self.device, self.like.device, len(trials), flops)
        if self.like.model.way.one_thread:
            self.workers = replace(self.workers, threads=1)
        free = free_bytes(self.device) - self._table_bytes()
        forms: dict[Hashable, list[tuple[int, TrialSpec]]] = {}
        for position, spec in waiting:
            forms.setdefault(shared_form(spec, self.data[position]), []).append((position, spec))
        is_first = not self.chunks and len(forms) == 1
        for form, members in forms.items():
            free = self._assign_form(form, members, free, is_first=is_first)

    def _assign_form(
        self, form: Hashable, waiting: list[tuple[int, TrialSpec]], free: int, *, is_first: bool
    ) -> int:  # fmt: skip
        """As `_assign_chunks`, for trials of one form.

        Args:
            form: The form.
            waiting: The trials, as (position, spec).
            free: Bytes that they may allocate.
            is_first: Whether these are all trials of the cohort.

        Returns:
            The bytes that are left.
        """
        like, dataset = waiting[0][1], self.data[waiting[0][0]]
        running = [chunk for chunk in self.chunks if chunk.form == form]
        # Padding changes how products are rounded, so on a CPU, where bits are reproducible, it must be requested.
        pads = self.device.type != "cpu" if self.like.device.pad is None else self.like.device.pad
        cost = replace(_cost(like, dataset, self.device.type), pads=pads and self.like.optimizer.pads)
        shapes = share(
            waiting, [chunk.stack.model for chunk in running], functools.partial(_size, dataset=dataset), cost
        )
        for shape in shapes:
            n_bytes = 4 * _size(shape.model, dataset) * BUFFERS
            own = _flops(like, shape.model, dataset, self.device.type)
            fits = max(free // n_bytes, 0 if self.chunks else 1)
            members, late = shape.members[:fits], shape.members[fits:]
            free -= n_bytes * len(members)
            self.joining |= dict(late)
            alike = [chunk for chunk in running if without_stacked(chunk.stack.model) == shape.model]
            n_trials = len(members) + sum(chunk.running for chunk in alike)
            size = chunk_size(self.device, n_trials, n_bytes, own, self.workers.count)
            if not (shape.model.way.together and self.like.optimizer.together):
                size = 1
            elif is_first and len(shapes) == 1 and self._is_long(own * n_trials, members):
                size = self._autotune(shape.model, ExecutionPlan(size, self.workers), members)
            self._fill(shape.model, members, alike, size)
        return free

    def _is_long(self, flops: float, members: Sequence[tuple[int, TrialSpec]]) -> bool:
        """Whether these trials train for so long on the CPU that measuring plans costs next to nothing."""
        epochs = max((spec.trainer.n_epochs for _, spec in members), default=0)
        seconds = flops * self.steps_per_epoch * epochs / FLOPS_PER_S["cpu"]
        free = self.device.type == "cpu" and not self.like.model.way.one_thread
        return free and len(members) > 1 and seconds > AUTOTUNE_FROM_S

    def _autotune(self, model: ModelSpec, rule: ExecutionPlan, members: Sequence[tuple[int, TrialSpec]]) -> int:
        """Takes the workers of the fastest plan; returns its number of trials per chunk."""
        n_cores = self.like.device.threads or torch.get_num_threads()
        key, plans = (model, rule, len(members), n_cores, self.like.trainer.batch_size), measured_plans()
        if key not in plans:
            candidates = execution_plans(rule, len(members), n_cores)
            spec, dataset = replace(members[0][1], model=model), self.data[members[0][0]]
            new_stack = lambda: self._new_chunk(spec, dataset, model).stack  # noqa: E731
            plans[key] = fastest(candidates, new_stack, spec, dataset.train)
        self.workers = plans[key].workers
        return plans[key].size

    def _fill(
        self, model: ModelSpec, members: Sequence[tuple[int, TrialSpec]], alike: Sequence[Chunk], size: int
    ) -> None:
        """Adds trials to the chunks `alike`, up to `size` in each, and to new ones."""
        for chunk in sorted(alike, key=lambda chunk: chunk.running):
            free = max(size - chunk.running, 0)
            self._add_trials(chunk, members[:free])
            members = members[free:]
        n_new = -(-len(members) // size)
        for i in range(n_new):
            position, like = members[i]
            self.chunks.append(self._new_chunk(like, self.data[position], model))
            self._add_trials(self.chunks[-1], members[i::n_new])

    def _add_trials(self, chunk: Chunk, members: Collection[tuple[int, TrialSpec]]) -> None:
        if members:
            positions = [position for position, _ in members]
            after = {p: self.after.pop(p) for p in positions if p in self.after}
            chunk.join([spec for _, spec in members], positions, after, [self.data.pop(p) for p in positions])

    def _train(self) -> dict[int, EpochMetrics]:
        """Trains every chunk for one epoch."""
        stopped = threading.Event()

        def on_step(epoch: int, step: int) -> None:
            if stopped.is_set():
                raise _Stopped
            self.callback.on_step(epoch, step)

        rows = self._each(lambda chunk: chunk.train_epoch(on_step), stopped)
        return {position: row for part in rows for position, row in part.items()}

    def _each(self, work: Callable[[Chunk], R], stopped: threading.Event | None = None) -> list[R]:
        """Calls `work` on each chunk, `workers.count` at a time; sets `stopped` as soon as one call fails."""
        n_workers = min(self.workers.count, len(self.chunks))
        if n_workers < 2:
            with threads(self.workers.threads):
                return [work(chunk) for chunk in self.chunks]
        before, stopped = torch.get_num_threads(), stopped or threading.Event()

        def with_threads(chunk: Chunk) -> R:
            torch.set_num_threads(self.workers.threads)  # of this thread, and of all that start later
            try:
                return work(chunk)
            except BaseException:
                stopped.set()  # at once: the waiting thread may wake up late
                raise
            finally:
                torch.set_num_threads(before)

        with ThreadPoolExecutor(n_workers) as pool:
            futures = [pool.submit(with_threads, chunk) for chunk in self.chunks]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                stopped.set()  # for chunks that still train
        for future in futures:
            if isinstance(error := future.exception(), Exception) and not isinstance(error, _Stopped):
                raise error
        return [future.result() for future in futures]


def _size(model: ModelSpec, dataset: Dataset) -> int:
    """The number of parameters."""
    return model.layout(dataset.n_features, dataset.n_classes).size


def _cost(like: TrialSpec, dataset: Dataset, kind: str) -> Cost:
    return Cost(batches(like.trainer, n_filled(like, dataset))[0], kind)


def _flops(like: TrialSpec, model: ModelSpec, dataset: Dataset, kind: str) -> float:
    """Operations per step of one trial with this model."""
    known = model.way.flops
    return _cost(like, dataset, kind).flops(_size(model, dataset)) if known is None else known


class _Stopped(Exception):
    """Ends a chunk's epoch because another chunk's failed or the user interrupted it."""
