"""How a cohort is computed: in which blocks, how many of them at a time, with how many CPU threads each.

The constants were measured (benchmarks/README.md). None of this changes a trial's numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psutil
import torch

from phalanx.core.device import DeviceSpec
from phalanx.core.specs import without_stacked
from phalanx.nn.models import ModelSpec
from phalanx.training.spec import TrialSpec

ONE_THREAD_FLOPS = 3e7  # arithmetic a step below which one CPU thread is at least as fast for one stack
WORKER_FLOPS = 1.5e7  # arithmetic a step from which a stack keeps a core busy while another thread waits for Python
CACHE_BYTES = 8 << 20  # parameters, gradients and optimizer state of one stack that stay near the core
MEMORY_PART = 0.6  # of the memory that is free, what the stacks of a cohort may take
BLOCK_S = {"cpu": 5e-5, "cuda": 1e-4, "mps": 2e-4}  # what one more block costs a step, whatever it computes
FLOPS_PER_S = {"cpu": 5e10, "cuda": 1e13, "mps": 1e12}  # at which padding is paid for


@dataclass(frozen=True)
class Cost:
    """What one step of one trial takes, by its number of parameters."""

    batch_size: int
    kind: str  # cpu, cuda or mps
    pads: bool = True

    def flops(self, n_parameters: int) -> float:
        """Two operations a weight and sample forward, four backward."""
        return 6.0 * n_parameters * self.batch_size

    def padding(self, n_parameters: int) -> float:
        """Seconds a step for so many parameters that are only there to be zero."""
        if n_parameters and not self.pads:
            return math.inf
        return self.flops(n_parameters) / FLOPS_PER_S[self.kind]


@dataclass
class Shape:
    """Trials that share stacks of one shape; `fixed` where such stacks train already."""

    model: ModelSpec
    members: list[tuple[int, TrialSpec]] = field(default_factory=list)
    fixed: bool = False


def share(
    waiting: Sequence[tuple[int, TrialSpec]], running: Sequence[ModelSpec], size_of: Callable[[ModelSpec], int],
    cost: Cost,
) -> list[Shape]:  # fmt: skip
    """Divides trials by shape, and pads where that costs less than a block of its own. Largest networks first."""
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
        if best is None or extra(best) >= BLOCK_S[cost.kind] or (model != best.model and not model.padded()):
            shapes.append(best := Shape(model))
        best.model = best.model.enclosing([model])
        best.members += members
    return [shape for shape in shapes if shape.members]


@dataclass(frozen=True)
class Workers:
    """`count` blocks at the same time, each with `threads` threads of torch."""

    count: int = 1
    threads: int = 1


def workers(device: torch.device, spec: DeviceSpec, n_trials: int, flops: float) -> Workers:
    """The workers for trials that take `flops` a step all together."""
    n_cores = (spec.threads or torch.get_num_threads()) if device.type == "cpu" else 1
    if n_trials > 1 and flops / n_cores >= WORKER_FLOPS:
        return Workers(n_cores)
    return Workers(1, n_cores if flops >= ONE_THREAD_FLOPS else 1)


def chunk_size(device: torch.device, n_trials: int, n_bytes: int, flops: float, n_workers: int) -> int:
    """How many of `n_trials` of one shape go into one block; bytes and flops are those of one of them."""
    if device.type != "cpu":
        return n_trials
    parts = n_workers if flops * n_trials / n_workers >= WORKER_FLOPS else 1
    return min(-(-n_trials // parts), max(1, CACHE_BYTES // n_bytes))


def free_bytes(device: torch.device) -> int:
    """Memory that new stacks may take."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    return int(MEMORY_PART * free)
