"""Decides how a cohort is computed: the chunks, how many of them at a time, and the CPU threads of each.

The constants were measured (benchmarks/README.md). None of this changes a trial's results.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psutil
import torch

from phalanx.core.device import DeviceSpec
from phalanx.core.specs import without_stacked
from phalanx.nn.models import ModelSpec
from phalanx.training.spec import TrialSpec

ONE_THREAD_FLOPS = 3e7  # operations per step below which one CPU thread is at least as fast for one chunk
WORKER_FLOPS = 1.5e7  # operations per step from which a chunk keeps a core busy while another thread runs Python
CACHE_BYTES = 8 << 20  # parameters, gradients and optimizer state of a chunk that fit into the cache
MEMORY_PART = 0.6  # the fraction of the free memory that a cohort may use
CHUNK_S = {"cpu": 5e-5, "cuda": 1e-4, "mps": 2e-4}  # fixed cost of one more chunk per step
FLOPS_PER_S = {"cpu": 5e10, "cuda": 1e13, "mps": 1e12}  # speed by which the cost of padding is estimated


@dataclass(frozen=True)
class Cost:
    """Estimated cost of one step of one trial, by its number of parameters."""

    batch_size: int
    kind: str  # cpu, cuda or mps
    pads: bool = True

    def flops(self, n_parameters: int) -> float:
        """Operations per step: for each weight and sample two forward and four backward."""
        return 6.0 * n_parameters * self.batch_size

    def padding(self, n_parameters: int) -> float:
        """Seconds per step for so many padded parameters; infinite where padding is not allowed."""
        if n_parameters and not self.pads:
            return math.inf
        return self.flops(n_parameters) / FLOPS_PER_S[self.kind]


@dataclass
class Shape:
    """Trials that share chunks of one network shape; `fixed` if such chunks train already."""

    model: ModelSpec
    members: list[tuple[int, TrialSpec]] = field(default_factory=list)
    fixed: bool = False


def share(
    waiting: Sequence[tuple[int, TrialSpec]], running: Sequence[ModelSpec], size_of: Callable[[ModelSpec], int],
    cost: Cost,
) -> list[Shape]:  # fmt: skip
    """Groups trials by network shape, largest first; pads networks where that costs less than one more chunk.

    Args:
        waiting: The trials to place, as (position, spec).
        running: The models of the chunks that train already, whose shape cannot change.
        size_of: The number of parameters of a model.
        cost: The cost model.
    """
    shapes = [Shape(model, fixed=True) for model in dict.fromkeys(map(without_stacked, running))]
    groups: dict[ModelSpec, list[tuple[int, TrialSpec]]] = {}
    for position, spec in waiting:
        groups.setdefault(without_stacked(spec.model), []).append((position, spec))
    for model, members in sorted(groups.items(), key=lambda group: -size_of(group[0])):

        def extra(shape: Shape, model: ModelSpec = model, n: int = len(members)) -> float:
            wider = shape.model.enclosing([model])
            if shape.fixed and wider != shape.model:
                return math.inf
            added = size_of(wider) - size_of(shape.model)
            return cost.padding(n * (size_of(wider) - size_of(model)) + len(shape.members) * added)

        best = min(shapes, key=extra, default=None)
        if best is None or extra(best) >= CHUNK_S[cost.kind] or (model != best.model and not model.padded()):
            shapes.append(best := Shape(model))
        best.model = best.model.enclosing([model])
        best.members += members
    return [shape for shape in shapes if shape.members]


@dataclass(frozen=True)
class Workers:
    """`count` chunks at the same time, each with `threads` threads of torch."""

    count: int = 1
    threads: int = 1


def workers(device: torch.device, spec: DeviceSpec, n_trials: int, flops: float) -> Workers:
    """Chooses the workers of a cohort.

    Args:
        device: Where it trains.
        spec: The device options, for the number of CPU threads.
        n_trials: The number of trials.
        flops: Operations per step of all of them together.
    """
    n_cores = (spec.threads or torch.get_num_threads()) if device.type == "cpu" else 1
    if n_trials > 1 and flops / n_cores >= WORKER_FLOPS:
        return Workers(n_cores)
    return Workers(1, n_cores if flops >= ONE_THREAD_FLOPS else 1)


def chunk_size(device: torch.device, n_trials: int, n_bytes: int, flops: float, n_workers: int) -> int:
    """Chooses how many trials of one shape form a chunk.

    Args:
        device: Where they train.
        n_trials: The number of trials of this shape.
        n_bytes: Memory of one trial.
        flops: Operations per step of one trial.
        n_workers: How many chunks train at the same time.
    """
    if device.type != "cpu":
        return n_trials
    parts = n_workers if flops * n_trials / n_workers >= WORKER_FLOPS else 1
    return min(-(-n_trials // parts), max(1, CACHE_BYTES // n_bytes))


def free_bytes(device: torch.device) -> int:
    """Bytes that new chunks may allocate: a part of what is free, on a GPU with what torch keeps of ended trials, and
    within the limit that `torch.cuda.set_per_process_memory_fraction` sets."""
    if device.type != "cuda":
        return int(MEMORY_PART * psutil.virtual_memory().available)
    free, total = torch.cuda.mem_get_info(device)
    reserved = torch.cuda.memory_reserved(device)
    allowed = int(total * torch.cuda.get_per_process_memory_fraction(device)) - reserved
    kept = reserved - torch.cuda.memory_allocated(device)
    return int(MEMORY_PART * (max(0, min(free, allowed)) + kept))
