"""A sampled softmax beside the full one at 10,000 classes: accuracy, gradient, time. Axes: T trials, B batch."""

from __future__ import annotations

import statistics
import time

import torch
from lab import Finding, Lab, by, interval, spread, table, values

from phalanx import MLP, OPTIMIZERS, TrialSpec, load_dataset
from phalanx.core.seeding import permutations
from phalanx.data import Dataset
from phalanx.data.clouds import Clouds
from phalanx.nn.losses.cross_entropy import CrossEntropy
from phalanx.nn.losses.sampled_softmax import SampledSoftmax
from phalanx.nn.optimizers.base import to_rows
from phalanx.report.style import BLUE, VERMILLION, label_axes, new_figure
from phalanx.training.spec import TrainerSpec
from phalanx.training.stack import Stack

DATA = Clouds(n_classes=10_000, n_inputs=32, noise=0.3, n_train=50_000, n_val=2_000, n_test=10_000)
SAMPLES = (1, 10, 100, 1000, 10_000)
ROUNDS = 5
SMALLER = ("trainer.epochs=1", "data.n_train=10000", "data.n_val=200", "data.n_test=200")  # a point of each class


def measure(lab: Lab) -> Finding:
    sampled = {int(n): trials for (n,), trials in by(lab.sweep("loss.n_sampled=10,100,1000"), "loss.n_sampled").items()}
    full = lab.sweep("loss=cross_entropy")
    dataset = load_dataset(DATA)
    seconds, errors = step_seconds(dataset, [*sampled, None]), gradient_errors(dataset)
    rows = [
        [f"{n:,} of 10,000", spread(values(trials, "test_accuracy")), f"{errors[n]:.3f}", *cost(seconds, n)]
        for n, trials in sampled.items()
    ]
    rows.append(["all: cross-entropy", spread(values(full, "test_accuracy")), "0", *cost(seconds, None)])
    head = ("classes drawn a step", "test accuracy", "error of the first gradient", "ms a step", "of the full softmax")
    errors_said = ", ".join(f"{n:,}: {errors[n]:.4f}" for n in SAMPLES)
    parts = [
        table(head, rows),
        f"Error of the first gradient, |sampled − full| / |full|, mean of 20 draws: {errors_said}. The step was "
        f"timed in {ROUNDS} alternating rounds, medians, update of all parameters included.",
        lab.figure(draw(errors, seconds), "error_and_cost", "gradient error and cost by number of classes drawn"),
    ]
    some, everything = (interval(values(trials, "test_accuracy")) for trials in (sampled[100], full))
    answer = (
        f"10,000 classes: test accuracy {some} with 100 drawn a step, {everything} with all, at "
        f"{seconds[None] / seconds[100]:.1f} times the cost"
    )
    return Finding("\n\n".join(parts), answer)


def cost(seconds: dict[int | None, float], n: int | None) -> list[str]:
    return [f"{1000 * seconds[n]:.2f}", f"{100 * seconds[n] / seconds[None]:.0f} %"]


def stack(dataset: Dataset, n_sampled: int | None) -> Stack:
    """A stack of one trial; None takes cross-entropy."""
    loss = CrossEntropy() if n_sampled is None else SampledSoftmax(n_sampled=n_sampled)
    spec = TrialSpec(data=DATA, model=MLP(hidden=(64,)), loss=loss, optimizer=OPTIMIZERS["sgd"](lr=0.5),
                     trainer=TrainerSpec(batch_size=128))  # fmt: skip
    found = Stack(spec, dataset.n_features, dataset.n_classes, len(dataset.train), torch.device("cpu"))
    found.join([spec], [0])
    return found


def step_seconds(dataset: Dataset, kinds: list[int | None]) -> dict[int | None, float]:
    """The median over rounds of the mean time of 20 steps."""
    stacks, times = {kind: stack(dataset, kind) for kind in kinds}, {kind: [] for kind in kinds}
    for _ in range(ROUNDS + 1):
        for kind, one in stacks.items():
            _, tables = one.epoch_tables()
            order_TN = permutations(one.begin_epoch(), one.n_train)
            batches = list(zip(to_rows(tables), order_TN.split(128, 1), strict=True))[:20]
            start = time.perf_counter()
            for at, index_TB in batches:
                one.step(dataset.train.rows(index_TB, 1), dataset.train.y_N[index_TB], at)
            times[kind].append((time.perf_counter() - start) / len(batches))
    return {kind: statistics.median(found[1:]) for kind, found in times.items()}  # the first round warms up


def gradient_errors(dataset: Dataset) -> dict[int, float]:
    """How far the gradient of one batch before training is from the full softmax's, relative, by classes drawn."""
    x_TBD, y_TB = dataset.train.x_ND[None, :128], dataset.train.y_N[None, :128]
    exact = stack(dataset, None)
    exact._compute_gradients(x_TBD, y_TB)
    errors = {}
    for n in SAMPLES:
        one, found = stack(dataset, n), []
        for _ in range(20):
            one._compute_gradients(x_TBD, y_TB)
            found.append(((one.grads_TP - exact.grads_TP).norm() / exact.grads_TP.norm()).item())
            one.class_sampler.step_T += 1
        errors[n] = statistics.fmean(found)
    return errors


def draw(errors: dict[int, float], seconds: dict[int | None, float]) -> object:
    figure = new_figure(9, 3.4)
    left, right = figure.subplots(1, 2)
    shown = {n: error for n, error in errors.items() if error > 1e-6}
    left.plot(list(shown), list(shown.values()), "o-", color=BLUE)
    label_axes(left, "|sampled − full| / |full| of the first gradient", "classes drawn a step", "")
    drawn = [n for n in seconds if n is not None]
    right.plot(drawn, [1000 * seconds[n] for n in drawn], "o-", color=BLUE, label="sampled")
    right.axhline(1000 * seconds[None], color=VERMILLION, linestyle="--", label="full softmax")
    right.set_ylim(bottom=0)
    right.legend(frameon=False)
    label_axes(right, "milliseconds a step, batch 128", "classes drawn a step", "")
    for axes in (left, right):
        axes.set_xscale("log")
        axes.grid(alpha=0.3)
    left.set_yscale("log")
    left.set_yticks([0.2, 0.5, 1, 2, 5], ["0.2", "0.5", "1", "2", "5"])
    left.yaxis.set_minor_formatter("")
    return figure
