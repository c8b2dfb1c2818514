"""Where the tests for a CUDA GPU run: on one, or with GPU_TESTS_ON=cpu on the CPU, to see that they have no faults.

On the CPU a recorder stands for the CUDA graph, and a limit of trials for that of the memory.
"""

from __future__ import annotations

import contextlib
import math
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from support.recorder import record
from torch.utils._python_dispatch import TorchDispatchMode

from phalanx.core.device import DeviceSpec
from phalanx.core.result import TrialResult
from phalanx.training.chunk import Chunk
from phalanx.training.cuda_graph import Body, cuda_graph
from phalanx.training.stack import Stack

DRY = os.environ.get("GPU_TESTS_ON") == "cpu"
ON = DeviceSpec(kind="cpu", pad=True) if DRY else DeviceSpec(kind="cuda")
CPU = DeviceSpec(kind="cpu", pad=False)
MISSING = not DRY and not torch.cuda.is_available()
WHY = "there is no CUDA GPU here; GPU_TESTS_ON=cpu runs these tests on the CPU"


class Graphs:
    """Counts the captures of the chunks that begin from now on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.n_captures, self.n_eager = 0, 0
        self.use: Callable[[Body], Body] | None = self.capture
        begin = Chunk.__init__

        def begun(chunk: Chunk, *args: Any, **kwargs: Any) -> None:
            begin(chunk, *args, **kwargs)
            if DRY or chunk.capture is not None:
                chunk.capture = self.use

        monkeypatch.setattr(Chunk, "__init__", begun)

    def capture(self, body: Body) -> Body:
        """Captures, and counts it; also how often that was refused."""
        self.n_captures += 1
        repeat = record(body) if DRY else cuda_graph(body)
        self.n_eager += repeat is body
        return repeat


class _NoFetch(TorchDispatchMode):
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert "_local_scalar_dense" not in str(function), "called a synchronizing operation"
        return function(*args, **(kwargs or {}))


class NoWaiting:
    """While it is on, waiting for the device is an error. It must be off when a graph is captured, which waits."""

    def __init__(self) -> None:
        self.is_on, self.mode = False, _NoFetch()

    def turn(self, on: bool) -> None:
        if on == self.is_on:
            return
        self.is_on = on
        if not DRY:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it says of itself that it is a prototype
                torch.cuda.set_sync_debug_mode("error" if on else "default")
        elif on:
            self.mode.__enter__()
        else:
            self.mode.__exit__(None, None, None)


@contextlib.contextmanager
def little_memory(n_bytes: int, n_trials: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Limits the memory of the GPU to so many bytes beyond what is in use; on the CPU, a stack to so many trials."""
    if DRY:
        step = Stack.step

        def limited(stack: Stack, *args: Any, **kwargs: Any) -> Any:
            if len(stack.rows) > n_trials:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return step(stack, *args, **kwargs)

        monkeypatch.setattr(Stack, "step", limited)
        yield
        return
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + n_bytes) / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def distance(one: TrialResult, other: TrialResult) -> tuple[float, float, float]:
    """The largest relative difference of a loss in any epoch, of a weight, and of a training or validation accuracy."""
    assert (one.status, one.epochs) == (other.status, other.epochs)
    rows = list(zip(one.history, other.history, strict=True))
    pairs = [pair for a, b in rows for pair in ((a.train_loss, b.train_loss), (a.val_loss, b.val_loss))]
    losses = [abs(a - b) / max(abs(b), 1e-3) for a, b in pairs]
    accuracies = [
        abs(a - b)
        for x, y in rows
        for a, b in ((x.train_accuracy, y.train_accuracy), (x.val_accuracy, y.val_accuracy))
        if not math.isnan(a)
    ]
    weights = one.weights or {}
    assert weights.keys() == (other.weights or {}).keys()
    assert all(map(math.isfinite, losses)), f"a loss is not finite: {pairs}"
    moved = [float((weight - (other.weights or {})[name]).abs().max()) for name, weight in weights.items()]
    return max(losses), max(moved, default=0.0), max(accuracies, default=0.0)


def furthest(ones: list[TrialResult], others: list[TrialResult]) -> tuple[float, float, float]:
    """The largest of each `distance` of two lists of results, as they are printed."""
    each = [distance(one, other) for one, other in zip(ones, others, strict=True)]
    return max(e[0] for e in each), max(e[1] for e in each), max(e[2] for e in each)


def told(what: str, found: tuple[float, float, float]) -> tuple[float, float, float]:
    """Prints a distance, and returns it."""
    same = "the same bits" if not any(found) else "losses {:.1e}, weights {:.1e}, accuracies {:.3f}".format(*found)
    print(f"\n  {what}: {same}", end=" ", flush=True)
    return found
