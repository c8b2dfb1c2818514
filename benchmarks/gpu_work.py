"""What the parts of benchmarks/gpu.py share: the networks, chunks of trials whose steps are timed, and how much work a
step is, counted from its shapes.

Axes: T trials, B batch, D inputs and H outputs of a layer.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import torch

from phalanx import MLP, DeviceSpec, TrainerSpec, TrialSpec, load_dataset
from phalanx.data import Dataset, DataSpec
from phalanx.data.digits import Digits
from phalanx.data.mnist import Mnist
from phalanx.nn.optimizers.sgd import SGD
from phalanx.training.chunk import Chunk

SMALLER = Path(__file__).resolve().parents[1] / "build" / "mnist20k"


@dataclass(frozen=True)
class Network:
    """A network with its data; `aim` is how many times as fast 256 trials are to be together."""

    hidden: tuple[int, ...]
    batch_size: int
    epochs: int
    aim: int


NETWORKS = {
    "medium": Network((256, 128), 128, 5, 40),
    "small": Network((50, 20), 128, 5, 100),
    "digits": Network((32,), 32, 20, 100),
}


@dataclass(frozen=True)
class Machine:
    """Where it is measured: on the card, or with `dry` a few trials on the CPU, to see that all parts run."""

    dry: bool
    data_root: Path
    seconds: float = 30.0
    started: float = 0.0

    @property
    def device(self) -> torch.device:
        return torch.device("cpu" if self.dry else "cuda")

    @property
    def n_trials(self) -> int:
        return 2 if self.dry else 256

    @property
    def left(self) -> float:
        """Seconds of the part that are left."""
        return self.seconds - (time.monotonic() - self.started)

    def data(self, name: str) -> DataSpec:
        """The data of a network. MNIST has 55,000 training images, or 16,000 where only the smaller files are."""
        found: DataSpec
        if name == "digits":
            found = Digits()
        elif (self.data_root / "MNIST" / "raw").is_dir():
            found = Mnist(root=str(self.data_root), n_train=55_000, n_val=5_000)
        elif (SMALLER / "MNIST" / "raw").is_dir():
            found = Mnist(root=str(SMALLER), n_train=16_000, n_val=2_000)
        else:
            sys.exit(f"MNIST is neither in {self.data_root} nor in {SMALLER}, which benchmarks/gpu_images.py writes")
        return replace(found, n_train=9 * NETWORKS[name].batch_size, n_val=100) if self.dry else found

    def trials(self, name: str, n: int | None = None, **trainer: object) -> list[TrialSpec]:
        """Trials of a network, which differ in seed and learning rate; 256 without `n`."""
        network, data = NETWORKS[name], self.data(name)
        options = {"epochs": 1 if self.dry else network.epochs, "batch_size": network.batch_size} | trainer
        return [
            TrialSpec(
                data=data, model=MLP(hidden=network.hidden),
                optimizer=SGD(lr=0.01 + 0.0001 * (seed % 256), momentum=0.9), seed=seed, trainer=TrainerSpec(**options),
                device=DeviceSpec(kind=self.device.type),
            )
            for seed in range(n or self.n_trials)
        ]  # fmt: skip

    def wait(self) -> None:
        """Waits for the card."""
        if not self.dry:
            torch.cuda.synchronize()

    def timed(self, call: Callable[[], object]) -> float:
        """The seconds of a call and of what it started on the card."""
        self.wait()
        start = time.perf_counter()
        call()
        self.wait()
        return time.perf_counter() - start


def say(*cells: object) -> None:
    """Prints a row of a table."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def heads(*names: str) -> None:
    """Prints the head of a table."""
    say(*names)
    say(*["---"] * len(names))


def sizes(spec: TrialSpec, dataset: Dataset) -> tuple[int, ...]:
    """The widths of a network, from its inputs to its classes."""
    return (dataset.n_features, *spec.model.hidden_widths, dataset.n_classes)


def title(spec: TrialSpec, dataset: Dataset) -> str:
    """`784-50-20-10`."""
    return "-".join(map(str, sizes(spec, dataset)))


def new_chunk(machine: Machine, specs: Sequence[TrialSpec], dataset: Dataset, *, graph: bool = True) -> Chunk:
    """A chunk of these trials; without `graph` each step is launched operation by operation."""
    chunk = Chunk(specs[0], dataset.to(machine.device), machine.device, test=False)
    if machine.dry:
        chunk.capture = repeated
    if not graph:
        chunk.capture = None
    chunk.join(specs, range(len(specs)))
    return chunk


def repeated(body: Callable[[], None]) -> Callable[[], None]:
    """Stands for a CUDA graph in a dry run."""
    body()
    return body


def epoch(chunk: Chunk) -> None:
    """Trains and validates each trial once."""
    chunk.train_epoch(lambda epoch, step: None)


def has_graph(chunk: Chunk) -> bool:
    """Whether the steps of a chunk that has trained an epoch are a CUDA graph, which is refused where it would fail."""
    captured = chunk.captured
    return captured is not None and getattr(captured.repeat, "__self__", None) is not captured


def step_seconds(machine: Machine, chunk: Chunk, n_steps: int = 100) -> float:
    """The seconds of a step of a chunk that has trained an epoch: of its graph, or an eager one where it has none."""
    captured = chunk.captured
    if captured is None or captured.repeat is None:
        step, n = eager_step(chunk), 2 if machine.dry else 20
        return machine.timed(lambda: [step() for _ in range(n)]) / n
    n, repeat = min(n_steps, chunk.stack.n_train // chunk.stack.batch_size), captured.repeat
    captured.step_1.zero_()  # the tables have rows for one epoch
    return machine.timed(lambda: [repeat() for _ in range(n)]) / n


def eager_step(chunk: Chunk) -> Callable[[], object]:
    """Makes a step of a chunk that has trained an epoch, with the gathering of its samples; always of the same ones."""
    assert chunk.rows is not None
    split, n_batch = chunk.rows.split, chunk.stack.batch_size
    order_TB = chunk.rows.order(chunk.stack.begin_epoch())[:, :n_batch]
    at = {name: table[0] for name, table in chunk.stack.epoch_tables()[1].items()}
    y_TB = split.y_N[order_TB].expand(chunk.running, -1)
    return lambda: chunk.stack.step(split.rows(order_TB, chunk.running), y_TB, at)


@dataclass(frozen=True)
class Work:
    """What a step has to do at least: floating-point operations, and bytes that its tensors move from and to memory."""

    flops: float
    bytes: float

    def seconds(self, flops_per_s: float, bytes_per_s: float) -> float:
        """The least time of it."""
        return max(self.flops / flops_per_s, self.bytes / bytes_per_s)


def products(n_trials: int, n_batch: int, widths: Sequence[int]) -> Iterator[tuple[str, Work]]:
    """The matrix products of a step. Each reads two matrices and writes one, in float32."""
    for layer, (n_in, n_out) in enumerate(pairwise(widths)):
        flops = 2.0 * n_trials * n_batch * n_in * n_out
        numbers = n_trials * (n_batch * n_in + n_in * n_out + n_batch * n_out)
        for name in ("forward", "weights", *(("inputs",) if layer else ())):
            yield f"{name} {n_in}-{n_out}", Work(flops, 4.0 * numbers)


def step_work(n_trials: int, n_batch: int, widths: Sequence[int], *, bytes_of_input: int) -> list[Work]:
    """The parts of a step that an ideal program does one after another: it gathers the samples, multiplies, applies
    and derives the activations, computes the loss and updates the weights with momentum.

    Args:
        n_trials: T.
        n_batch: B.
        widths: The widths of the network.
        bytes_of_input: Of one feature as the data set holds it.
    """
    inputs = n_trials * n_batch * widths[0]
    outputs = n_trials * n_batch * sum(widths[1:])
    n_parameters = n_trials * sum((n_in + 1) * n_out for n_in, n_out in pairwise(widths))
    return [
        Work(0, (bytes_of_input + 4) * inputs),
        *(work for _, work in products(n_trials, n_batch, widths)),
        Work(0, 4 * 5 * outputs),  # forward read and written, backward two read and one written
        Work(0, 4 * 5 * n_parameters),  # weight, momentum and gradient read, the first two written
    ]


def peak_bytes_per_s(machine: Machine) -> float:
    """The bytes a second of a large copy, read and written."""
    n = 1 << (20 if machine.dry else 28)
    source = torch.ones(n, device=machine.device)
    target, rounds = torch.empty_like(source), 3 if machine.dry else 20
    machine.timed(lambda: target.copy_(source))
    return 8 * n * rounds / machine.timed(lambda: [target.copy_(source) for _ in range(rounds)])


def peak_flops_per_s(machine: Machine, kind: str) -> float:
    """The operations a second of a large product in float32, tf32 or bfloat16, of random numbers."""
    n, rounds = (256, 2) if machine.dry else (8192, 5)
    dtype = torch.bfloat16 if kind == "bfloat16" else torch.float32
    left = torch.randn(n, n, device=machine.device).to(dtype)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if kind == "tf32" else "highest")
    try:
        machine.timed(lambda: left @ left)
        return 2 * n**3 * rounds / machine.timed(lambda: [left @ left for _ in range(rounds)])
    finally:
        torch.set_float32_matmul_precision(before)


def loaded(machine: Machine, name: str, n: int | None = None, **trainer: object) -> tuple[list[TrialSpec], Dataset]:
    """The trials of a network, and their data."""
    specs = machine.trials(name, n, **trainer)
    return specs, dataset_of(specs[0].data)


@functools.cache
def dataset_of(data: DataSpec) -> Dataset:
    """The data, read once."""
    return load_dataset(data)
