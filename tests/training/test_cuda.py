"""The trainer on a CUDA GPU; skipped, and said so, where there is none. `GPU_TESTS_ON=cpu` runs it on the CPU.

Each test prints how far its results are from what they are compared with. In float32 that is some 1e-6, as rounding in
another order gives; products in tf32 would show as 1e-4.
"""

from __future__ import annotations

import gc
from dataclasses import replace

import pytest
import torch
from support.cohorts import mixed
from support.datasets import blobs
from support.given_rows import folds, with_data
from support.modules import LayerNormed, Perceptron
from support.on_gpu import CPU, DRY, MISSING, ON, WHY, Graphs, NoWaiting, furthest, little_memory, told

from phalanx import LOSSES, MLP, OPTIMIZERS, DeviceSpec, TrainerSpec, TrialSpec
from phalanx.core.callbacks import Callback
from phalanx.core.errors import Failure, failure_of
from phalanx.core.result import Status
from phalanx.nn.losses.function_loss import function_loss
from phalanx.nn.models.module_spec import module_spec
from phalanx.training.cohort import Cohort
from phalanx.training.cuda_graph import cuda_graph
from phalanx.training.loop import train_cohort, train_trial
from phalanx.training.planning import free_bytes

pytestmark = pytest.mark.skipif(MISSING, reason=WHY)
on_cuda_only = pytest.mark.skipif(DRY or MISSING, reason="it asks CUDA itself, which is not here")
FLOAT32 = (5e-5, 2e-4, 0.03)  # losses, weights, accuracies: one sample near a border may change sides
LESS = {"tf32": (5e-3, 2e-2, 0.1), "bfloat16": (5e-2, 0.2, 0.2)}


@pytest.fixture(scope="module")
def data():
    return blobs(n_train=100, n_val=40)  # 12 full batches of 8, and a rest


@pytest.fixture
def graphs(monkeypatch):
    return Graphs(monkeypatch)


def near(found, allowed):
    return all(one <= most for one, most in zip(found, allowed, strict=True))


def on(device, specs):
    return [replace(spec, device=device) for spec in specs]


def alone_on_the_cpu(specs, data):
    datasets = data if isinstance(data, list) else [data] * len(specs)
    return [train_trial(spec, own) for spec, own in zip(on(CPU, specs), datasets, strict=True)]


def check_against_the_cpu(what, specs, data, allowed=FLOAT32):
    assert near(told(what, furthest(train_cohort(on(ON, specs), data), alone_on_the_cpu(specs, data))), allowed)


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_every_loss_schedule_depth_and_dropout_in_one_cohort(optimizer, data, graphs):
    specs = [replace(spec, optimizer=OPTIMIZERS[optimizer](weight_decay=0.01)) for spec in mixed(8)]
    check_against_the_cpu(f"{optimizer} with a graph", specs, data)
    assert graphs.n_captures >= 1
    assert graphs.n_eager == 0
    graphs.use = None
    check_against_the_cpu(f"{optimizer} without", specs, data)


CHANGES = {
    "clipped, averaged, weighted": lambda i, spec: replace(
        spec, loss=replace(spec.loss, class_weights="balanced"),
        trainer=replace(spec.trainer, clip_norm=0.5 + i, average=("ema", "swa", "none")[i % 3], swa_start=2,
                        metrics=("f1_macro", "brier")),
    ),
    "sum of gradients": lambda i, spec: replace(spec, trainer=replace(spec.trainer, zero_grad=False)),
    "layer norm": lambda i, spec: replace(spec, model=MLP(hidden=(9, 9), norm="layer", residual=True)),
    "batch norm": lambda i, spec: replace(
        spec, model=MLP(hidden=(9, 9), norm="batch"), trainer=replace(spec.trainer, drop_last=True)
    ),
    "gelu": lambda i, spec: replace(spec, model=replace(spec.model, activation="gelu")),
    "sampled softmax": lambda i, spec: replace(spec, loss=LOSSES["sampled_softmax"](n_sampled=2)),
    "one hidden unit": lambda i, spec: replace(spec, model=MLP(hidden=(1,))),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_further_options(change, data, graphs):
    specs = [CHANGES[change](i, spec) for i, spec in enumerate(mixed(6))]
    check_against_the_cpu(change, specs, data)
    assert graphs.n_captures >= 1
    assert graphs.n_eager == 0


@pytest.mark.parametrize("largest", [1 << 20, 0], ids=["prepared", "one table"])
def test_folds(largest, graphs, monkeypatch):
    monkeypatch.setattr("phalanx.data.shared_rows.LARGEST_BYTES", largest)
    check_against_the_cpu("folds", *with_data(mixed(5), folds(136)))
    assert graphs.n_captures >= 1


def focal(logits, y, *, gamma: float = 2.0):
    nll = torch.nn.functional.cross_entropy(logits, y, reduction="none")
    return (1 - (-nll).exp()) ** gamma * nll


@pytest.mark.parametrize("module", [Perceptron, LayerNormed])
def test_a_network_and_a_loss_of_the_users_own(module, data, graphs):
    model, loss = module_spec(module)(), function_loss(focal)()
    specs = [replace(spec, model=model, loss=loss) for spec in mixed(4)]
    check_against_the_cpu(module.__name__, specs, data)
    print(f"captured: {graphs.n_captures - graphs.n_eager} of {graphs.n_captures}", end=" ")


@pytest.mark.parametrize("precision", ["float32", pytest.param("tf32", marks=on_cuda_only), "bfloat16"])
@pytest.mark.parametrize("use", ["graph", "eager"])
def test_precisions(precision, use, data, graphs):
    if use == "eager":
        graphs.use = None
    wide = [replace(spec, model=MLP(hidden=(64, 32), dropout=0.1 * i)) for i, spec in enumerate(mixed(4))]
    own = [replace(spec, trainer=replace(spec.trainer, precision=precision)) for spec in wide]
    full = alone_on_the_cpu(wide, data)
    found = told(f"{precision}, {use}", furthest(train_cohort(on(ON, own), data), full))
    assert near(found, LESS.get(precision, FLOAT32))
    assert precision == "float32" or found[0] > 0


class Pruned(Callback):
    """Prunes the second trial after its second epoch."""

    def on_epoch(self, rows):
        return [position for position, row in rows.items() if position == 1 and row.epoch == 2]


def streamed(device, data):
    """Trials that join later, end early, are pruned and diverge."""
    specs = on(device, [replace(spec, trainer=replace(spec.trainer, epochs=2 + i)) for i, spec in enumerate(mixed(6))])
    specs[3] = replace(specs[3], optimizer=replace(specs[3].optimizer, lr=1e36))
    cohort, ended = Cohort(specs[0], data, Pruned()), {}
    cohort.join(specs[:4])
    ended |= cohort.epoch()
    cohort.join(specs[4:])
    while cohort.running:
        ended |= cohort.epoch()
    return [ended[position] for position in range(6)]


def test_trials_that_join_leave_are_pruned_and_diverge(data, graphs):
    found = streamed(ON, data)
    assert [result.status for result in found] == [
        Status.COMPLETED, Status.PRUNED, Status.COMPLETED, Status.DIVERGED, Status.COMPLETED, Status.COMPLETED,
    ]  # fmt: skip
    assert graphs.n_captures >= 5  # anew whenever a trial has come or gone
    graphs.use = None
    others = streamed(CPU, data)
    sound = [place for place in range(6) if place != 3]
    assert (found[3].status, found[3].epochs) == (others[3].status, others[3].epochs)
    assert near(told("a stream", furthest([found[p] for p in sound], [others[p] for p in sound])), FLOAT32)


@pytest.mark.parametrize(
    ("first", "then"), [(ON, ON), (CPU, ON), (ON, CPU)], ids=["here", "from the CPU", "to the CPU"]
)
def test_resumed_from_a_snapshot(first, then, data, graphs):
    specs = [replace(spec, optimizer=OPTIMIZERS["adam"]()) for spec in mixed(4)]
    before, after, ended = Cohort(on(first, specs)[0], data), Cohort(on(then, specs)[0], data), {}
    before.join(on(first, specs))
    before.epoch()
    after.join(on(then, specs), [before.snapshot(position) for position in range(4)])
    while after.running:
        ended |= after.epoch()
    found = [ended[position] for position in range(4)]
    assert near(told("resumed", furthest(found, train_cohort(on(ON, specs), data))), FLOAT32)


def test_two_runs_a_cohort_and_a_trial_alone_a_graph_and_none(data, graphs):
    specs = on(ON, mixed(8))
    once = train_cohort(specs, data)
    assert near(told("the same cohort twice", furthest(train_cohort(specs, data), once)), FLOAT32)
    alone = [train_trial(spec, data) for spec in specs]
    assert near(told("alone on the same device", furthest(alone, once)), FLOAT32)
    graphs.use = None
    assert near(told("without a graph", furthest(train_cohort(specs, data), once)), FLOAT32)


@pytest.mark.parametrize("use", ["graph", "eager"])
def test_no_step_of_an_epoch_waits_for_the_device(use, data, graphs):
    if use == "eager":
        graphs.use = None
    quiet, n_watched, n_steps = NoWaiting(), 0, -(-len(data.train) // 8)

    class Watch(Callback):
        def on_step(self, epoch, step):
            nonlocal n_watched
            n_watched += quiet.is_on
            quiet.turn(step < n_steps and (use == "eager" or epoch > 1))  # a capture waits

    try:
        train_cohort(on(ON, mixed(4)), data, Watch())
    finally:
        quiet.turn(False)
    assert n_watched == (n_steps - 1) * (3 if use == "eager" else 2)


def large(n, hidden, batch_size):
    return [
        TrialSpec(
            model=MLP(hidden=(hidden,)), seed=seed, device=ON, trainer=TrainerSpec(epochs=1, batch_size=batch_size)
        )
        for seed in range(n)
    ]


def test_memory_that_ran_out_is_free_again(graphs, monkeypatch):
    hidden, batch_size = (4, 8) if DRY else (2048, 2048)  # 16 MB an activation and trial
    specs, kind = large(32, hidden, batch_size), None
    wide = blobs(n_train=4 * batch_size, n_val=20)
    with little_memory(3 << 28, 8, monkeypatch):
        assert free_bytes(torch.device(ON.kind)) > 0
        try:
            train_cohort(specs, wide)
        except RuntimeError as error:
            kind = failure_of(error)
        assert kind is Failure.OUT_OF_MEMORY
        gc.collect()
        assert {result.status for result in train_cohort(specs[:4], wide)} == {Status.COMPLETED}


def test_a_cohort_without_memory_is_halved_until_it_fits(graphs, monkeypatch, tmp_path):
    pytest.importorskip("omegaconf", reason="the jobs of a sweep need omegaconf")
    from phalanx.jobs.job import Job
    from phalanx.jobs.scheduler import train_together
    from phalanx.runs.config import Settings
    from phalanx.runs.manifest import Manifest, Sweep
    from phalanx.runs.options import CheckpointSpec, TrackingSpec

    hidden, batch_size = (4, 32) if DRY else (2048, 2048)
    specs = large(32, hidden, batch_size)
    asked = [Settings(spec, TrackingSpec(kind="none"), CheckpointSpec(), ()) for spec in specs]
    jobs = [Job(one, tmp_path / str(n), Sweep("s", n, Manifest())) for n, one in enumerate(asked)]
    with little_memory(3 << 28, 8, monkeypatch):
        trained = train_together(jobs)
    assert not [result.error for _, result in trained if result.error]
    notes = {result.note for _, result in trained}
    print(f"\n  {', '.join(sorted(notes))}", end=" ")
    assert "trained in a cohort of 32" not in notes


@on_cuda_only
def test_a_step_that_waits_for_the_gpu_is_not_captured():
    there = torch.zeros(3, device="cuda")

    def waits():
        there.add_(there.sum().item() + 1)

    def adds():
        there.add_(1)

    assert cuda_graph(waits) is waits
    repeat = cuda_graph(adds)
    assert repeat is not adds
    before = there.clone()
    repeat()
    assert bool((there == before + 1).all())


@on_cuda_only
def test_free_memory_is_a_part_of_the_gpus_and_of_the_limit():
    device, total = torch.device("cuda"), torch.cuda.get_device_properties(0).total_memory
    kept = torch.empty(1 << 28, dtype=torch.uint8, device=device)
    free = free_bytes(device)
    assert 0 < free < total
    del kept  # which torch keeps for later
    assert free_bytes(device) - free == pytest.approx(0.6 * (1 << 28), abs=1 << 26)
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.1)
    try:
        assert free_bytes(device) <= 0.06 * total
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@on_cuda_only
def test_the_label_of_the_device(data):
    result = train_trial(TrialSpec(device=DeviceSpec(kind="auto"), trainer=TrainerSpec(epochs=1)), data)
    assert result.device == f"cuda ({torch.cuda.get_device_name()})"
