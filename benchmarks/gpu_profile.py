"""Where the time of a step and of an epoch goes on a GPU, and what graphs gain; parts of benchmarks/gpu.py.

Axes: T trials, B batch, D inputs and H outputs of a layer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from gpu_work import (
    NETWORKS,
    Machine,
    eager_step,
    epoch,
    has_graph,
    heads,
    loaded,
    new_chunk,
    say,
    sizes,
    step_seconds,
    title,
)
from torch.profiler import ProfilerActivity

from phalanx.nn.products import product
from phalanx.training.chunk import Chunk

TOP = 10
PROFILED = 10  # steps
ALIGNED = 64  # float32 numbers


@dataclass(frozen=True)
class Timed:
    """Seconds of a product as it is in a step, and with each matrix at an aligned place."""

    name: str
    in_rows: float
    aligned: float


def timed_products(machine: Machine, chunk: Chunk) -> Iterator[Timed]:
    """Times each product of a step with numbers at random."""
    n_trials, n_batch = chunk.running, chunk.stack.batch_size
    widths = sizes(chunk.stack.like, chunk.dataset)
    n_repeats, device = 2 if machine.dry else 20, machine.device
    for layer, (n_in, n_out) in enumerate(pairwise(widths)):
        x_TBD = torch.rand(n_trials, n_batch, n_in, device=device)
        grad_TBH = torch.rand(n_trials, n_batch, n_out, device=device)
        times: dict[str, list[float]] = {}
        in_rows = chunk.stack.tensors[2 * layer], chunk.stack.grads[2 * layer]
        for place, out in (in_rows, [_aligned(n_trials, n_out, n_in, device) for _ in range(2)]):
            calls: dict[str, Any] = {
                "forward": lambda w=place, x=x_TBD: product(x, w.transpose(1, 2)),
                "weights": lambda o=out, x=x_TBD, g=grad_TBH: product(g.transpose(1, 2), x, out_TMN=o),
                "inputs": lambda w=place, g=grad_TBH: product(g, w),
            }
            for name, call in calls.items():
                call()
                took = machine.timed(lambda call=call: [call() for _ in range(n_repeats)]) / n_repeats
                times.setdefault(name, []).append(took)
        for name, (first, second) in times.items():
            if name != "inputs" or layer:
                yield Timed(f"{name} {n_in}-{n_out}", first, second)


def _aligned(n_trials: int, n_out: int, n_in: int, device: torch.device) -> torch.Tensor:
    """Matrices (T, H, D) of which each begins at an aligned place."""
    n = -(-n_out * n_in // ALIGNED) * ALIGNED
    return torch.rand(n_trials, n, device=device)[:, : n_out * n_in].view(n_trials, n_out, n_in)


def graphs(machine: Machine) -> None:
    """A step with and without the graph, and after how many steps a capture has paid off."""
    heads(
        "network",
        "trials",
        "step with the graph, ms",
        "without, ms",
        "times as fast",
        "capture, ms",
        "steps that pay for it",
    )
    for name in NETWORKS:
        for n in (machine.n_trials, 1):
            specs, dataset = loaded(machine, name, n)
            captured, plain = (new_chunk(machine, specs, dataset, graph=graph) for graph in (True, False))
            took = timed_captures(machine, captured)
            for chunk in (captured, captured, plain):  # the first capture of a process sets up what later ones have
                chunk.captured = None
                epoch(chunk)
            with_graph, without = (1e3 * step_seconds(machine, chunk) for chunk in (captured, plain))
            refused = "" if machine.dry or has_graph(captured) else " (refused)"
            gain = without - with_graph
            pays = f"{max(took[-1] - without, 0) / gain:.0f}" if gain > 0 else "never"
            times = (
                f"{with_graph:.3f}{refused}",
                f"{without:.3f}",
                f"{without / with_graph:.1f}",
                f"{took[-1]:.1f}",
                pays,
            )
            say(title(specs[0], dataset), n, *times)


def timed_captures(machine: Machine, chunk: Chunk) -> list[float]:
    """Takes down the milliseconds of each capture of a chunk, with the step that it makes."""
    took, capture = list[float](), chunk.capture
    assert capture is not None

    def timed(body: Callable[[], None]) -> Callable[[], None]:
        found: list[Callable[[], None]] = []
        took.append(1e3 * machine.timed(lambda: found.append(capture(body))))
        return found[0]

    chunk.capture = timed
    return took


def profile(machine: Machine) -> None:
    """The operations of a step, and the parts of an epoch."""
    for name in NETWORKS:
        if machine.left < 0:
            print(f"\nnot begun, its time was up: {name}")
            continue
        specs, dataset = loaded(machine, name)
        what = f"{len(specs)} trials of {title(specs[0], dataset)}"
        of_epoch(machine, name, what)
        of_step(machine, new_chunk(machine, specs, dataset, graph=False), what)


def of_step(machine: Machine, chunk: Chunk, what: str) -> None:
    """The operations that take most of a step's time on the device, by torch's profiler, launched one by one."""
    epoch(chunk)
    step, n_steps = eager_step(chunk), 2 if machine.dry else PROFILED
    machine.timed(step)
    activities = [ProfilerActivity.CPU] + ([] if machine.dry else [ProfilerActivity.CUDA])
    with torch.profiler.profile(activities=activities, acc_events=True) as found:
        machine.timed(lambda: [step() for _ in range(n_steps)])
    attribute = "self_cpu_time_total" if machine.dry else "self_device_time_total"
    rows = [row for row in found.key_averages() if getattr(row, attribute) > 0]
    on_device = [row for row in rows if machine.dry or str(row.device_type).endswith("CUDA")]
    total = sum(getattr(row, attribute) for row in on_device)
    n_kernels = sum(row.count for row in on_device)
    print(
        f"\n{what}: the step's {n_kernels / n_steps:.0f} kernels take {total / n_steps / 1e3:.3f} ms of the device; "
        f"the {TOP} that take most of it\n"
    )
    heads("kernel", "share", "times a step", "ms a step")
    for row in sorted(on_device, key=lambda row: -getattr(row, attribute))[:TOP]:
        took = getattr(row, attribute)
        name = row.key.replace("|", "/")[:90]
        say(f"`{name}`", f"{took / total:.0%}", f"{row.count / n_steps:.1f}", f"{took / n_steps / 1e3:.4f}")


def of_epoch(machine: Machine, name: str, what: str) -> None:
    """The parts of an epoch and of a whole training, each waited for."""
    specs, dataset = loaded(machine, name)
    dataset = dataset.to(machine.device)
    start = time.monotonic()
    chunk = new_chunk(machine, specs, dataset)
    seconds = {"first weights and what is set up": time.monotonic() - start}
    epoch(chunk)
    assert chunk.rows is not None
    assert chunk.validation is not None
    rows, validation = chunk.rows, chunk.validation
    streams = [(spec.order_seed, 2) for spec in specs]
    n_steps, found = chunk.stack.steps_per_epoch, chunk.train_epoch(lambda epoch, step: None)
    calls = {
        "an epoch's order of the samples": lambda: rows.order(streams),
        "its tables of learning rates": chunk.stack.epoch_tables,
        f"its {n_steps} steps": None,
        "its validation": lambda: validation.scores(chunk.stack, chunk.wanted),
        "the whole epoch": lambda: epoch(chunk),
        "keeping the best weights": lambda: chunk.record(found),
        "the metrics and weights of all results": lambda: chunk.end(found.keys(), found.keys()),
    }
    for part, call in calls.items():
        took = n_steps * step_seconds(machine, chunk) if call is None else machine.timed(call)
        seconds[part] = took
    print(f"\n{what}: what each part takes, waited for\n")
    heads("part", "ms", "ms a trial")
    for part, took in seconds.items():
        say(part, f"{1e3 * took:.2f}", f"{1e3 * took / len(specs):.3f}")
