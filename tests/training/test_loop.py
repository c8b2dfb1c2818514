"""The trainer against the oracle, for every combination, and its own promises."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from support import reference
from support.datasets import blobs

from phalanx import LOSSES, MLP, OPTIMIZERS, SCHEDULES, Callback, Status, TrainerSpec, TrialSpec
from phalanx.core.errors import RequestError, SpecError, TrainingInterrupted
from phalanx.core.result import EpochMetrics
from phalanx.data.base import Split
from phalanx.nn.models.activations import ACTIVATIONS
from phalanx.training.loop import train_cohort, train_trial
from phalanx.training.partition import partition
from phalanx.training.trial_progress import TrialProgress

# float32 sums in another order: one rounding is 6e-8, and some 40 updates of a smooth loss amplify it little.
CLOSE = {"rtol": 2e-4, "atol": 2e-6}
LR = {"sgd": 0.1, "adam": 0.01, "adamw": 0.01, "muon": 0.01, "nadam": 0.01, "rmsprop": 0.003}
DEPTHS = ((8,), (8, 7), (8, 7, 6))
OUTPUTS = [(loss, output) for loss, cls in LOSSES.items() for output in cls.outputs]


def run_both(data, *, loss="cross_entropy", output=None, optimizer="adam", hidden=(8, 7), smoothing=0.0, options=None,
             schedule="constant", schedule_options=None, seed=3, model=None, n_sampled=None, weights="none", **trainer):  # fmt: skip
    trainer = {"epochs": 4, "batch_size": 20, **trainer}
    output = output or LOSSES[loss]().output
    sampling = {"n_sampled": n_sampled or 2} if loss == "sampled_softmax" else {}
    options, model, schedule_options = {"lr": LR[optimizer], **(options or {})}, model or {}, schedule_options or {}
    spec = TrialSpec(
        loss=LOSSES[loss](output=output, label_smoothing=smoothing, class_weights=weights, **sampling),
        optimizer=OPTIMIZERS[optimizer](**options),
        schedule=SCHEDULES[schedule](**schedule_options),
        model=MLP(hidden=hidden, **model),
        trainer=TrainerSpec(**trainer, keep="last"),
        seed=seed,
    )
    ours = train_trial(spec, data)
    widths = (data.n_features, *hidden, data.n_classes)
    if optimizer == "sgd":
        options.setdefault("momentum", 0.9)
    theirs = reference.train(
        (data.train.x_ND, data.train.y_N), (data.val.x_ND, data.val.y_N), widths, loss=loss, output=output,
        smoothing=smoothing, optimizer=optimizer, optimizer_options=options, schedule=schedule,
        schedule_options=schedule_options, seed=seed, **sampling, **model, **trainer,
        class_weights=None if weights == "none" else scaled(weights, data.train.y_N),
    )  # fmt: skip
    return ours, theirs


def scaled(weights, y_N):
    """Class weights whose mean over the samples is 1, from scikit-learn's for balanced ones."""
    classes, y_N = range(int(y_N.max()) + 1), y_N.numpy()
    if weights == "balanced":
        return compute_class_weight("balanced", classes=np.array(classes), y=y_N)
    return np.array(weights) / np.array(weights)[y_N].mean()


def assert_same(ours, theirs):
    rows, net = theirs
    assert len(ours.history) == len(rows)
    for mine, (train_loss, train_accuracy, val_loss, val_accuracy, lr) in zip(ours.history, rows, strict=True):
        assert mine.train_loss == pytest.approx(train_loss, rel=2e-4)
        assert mine.val_loss == pytest.approx(val_loss, rel=2e-4)
        if ours.metrics.train_accuracy is not None and not math.isnan(mine.train_accuracy):
            assert mine.train_accuracy == pytest.approx(train_accuracy, abs=1e-12)
        assert mine.val_accuracy == pytest.approx(val_accuracy, abs=1e-12)
        assert mine.lr == pytest.approx(lr, rel=1e-9)
    linears = [m for m in net if isinstance(m, torch.nn.Linear)]
    for i, linear in enumerate(linears):
        torch.testing.assert_close(ours.weights[f"layers.{i}.weight"], linear.weight.detach(), **CLOSE)
        torch.testing.assert_close(ours.weights[f"layers.{i}.bias"], linear.bias.detach(), **CLOSE)


@pytest.mark.parametrize("hidden", DEPTHS, ids=lambda h: f"{len(h) + 1}linear")
@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
@pytest.mark.parametrize(("loss", "output"), OUTPUTS)
def test_agrees_with_plain_torch(dataset, loss, output, optimizer, hidden):
    assert_same(*run_both(dataset, loss=loss, output=output, optimizer=optimizer, hidden=hidden))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", ["balanced", (1.0, 5.0, 0.0)], ids=str)
@pytest.mark.parametrize(("loss", "output"), OUTPUTS)
def test_class_weights_agree_with_plain_torch(dataset, loss, output, weights, smoothing):
    if smoothing and loss == "sampled_softmax":
        pytest.skip("it takes no smoothed labels")
    kept = torch.cat([(dataset.train.y_N == c).nonzero()[: 24 // (c + 1) ** 2, 0] for c in range(dataset.n_classes)])
    thinned = replace(dataset, train=Split(dataset.train.x_ND[kept], dataset.train.y_N[kept]))
    ours, theirs = run_both(thinned, loss=loss, output=output, weights=weights, smoothing=smoothing, optimizer="sgd")
    assert_same(ours, theirs)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_agree(dataset, activation, dropout):
    assert_same(*run_both(dataset, model={"activation": activation, "dropout": dropout}))


@pytest.mark.parametrize(
    ("schedule", "options"),
    [
        ("cosine", {}),
        ("cosine", {"min_factor": 0.1}),
        ("step", {"every_epochs": 2, "gamma": 0.3}),
        ("one_cycle", {}),
        ("one_cycle", {"rise": 0.5, "start_divisor": 10.0, "final_divisor": 100.0}),
    ],
)
def test_schedules_agree(dataset, schedule, options):
    assert_same(*run_both(dataset, optimizer="sgd", schedule=schedule, schedule_options=options))


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize(
    "case",
    [
        {"optimizer": "sgd", "options": {"momentum": 0.0}},
        {"optimizer": "sgd", "options": {"momentum": 0.8, "nesterov": True, "weight_decay": 0.01}},
        {"optimizer": "adam", "options": {"weight_decay": 0.1, "beta1": 0.8, "beta2": 0.95, "eps": 1e-5}},
        {"optimizer": "adamw", "options": {"weight_decay": 0.2}},
        {"optimizer": "muon", "options": {"weight_decay": 0.2, "momentum": 0.8, "beta1": 0.5, "adamw_factor": 0.1}},
        {"optimizer": "muon", "options": {"nesterov": False, "last_layer": "muon", "step_size": "original"}},
        {"optimizer": "muon", "options": {"momentum": 0.0, "n_iterations": 3, "weight_decay": 0.0}},
        {"optimizer": "nadam", "options": {"weight_decay": 0.1, "beta1": 0.8, "beta2": 0.95, "momentum_decay": 0.1}},
        {"optimizer": "nadam", "options": {"weight_decay": 0.2, "decoupled": True, "momentum_decay": 0.0}},
        {"optimizer": "rmsprop", "options": {"weight_decay": 0.1, "alpha": 0.9, "eps": 1e-4, "momentum": 0.8}},
        {"optimizer": "rmsprop", "options": {"centered": True, "eps": 1e-3}},
        {"smoothing": 0.2},
        {"average": "ema", "ema_decay": 0.8, "optimizer": "sgd"},
        {"average": "swa", "swa_start": 2, "model": {"dropout": 0.2}},
        {"clip_norm": 0.05, "optimizer": "sgd"},
        {"zero_grad": False, "optimizer": "sgd", "options": {"lr": 0.003, "weight_decay": 0.1}},
        {"zero_grad": False, "clip_norm": 0.05},
        {"batch_size": None},
        {"batch_size": 1000},
        {"drop_last": True},
        {"model": {"dropout": 0.4}},
        {"model": {"dropout": 0.4, "dropout_at": "last"}, "hidden": (8, 7, 6)},
    ],
    ids=str,
)
def test_options_agree(dataset, loss, case):
    if loss == "sampled_softmax" and "smoothing" in case:
        with pytest.raises(SpecError, match="a smoothed target needs all classes"):
            run_both(dataset, loss=loss, **case)
        return
    assert_same(*run_both(dataset, loss=loss, **case))


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_gradients_that_are_never_zeroed_agree_and_are_another_training(dataset, optimizer):
    ours, theirs = run_both(dataset, optimizer=optimizer, zero_grad=False, options={"lr": 0.003})
    assert_same(ours, theirs)
    usual, _ = run_both(dataset, optimizer=optimizer, options={"lr": 0.003})
    assert ours.history[-1].val_loss != pytest.approx(usual.history[-1].val_loss, rel=1e-3)


def test_warm_up_climbs_linearly_then_follows_the_schedule(dataset):
    spec = TrialSpec(
        schedule=SCHEDULES["cosine"](warmup_epochs=2.0),
        optimizer=OPTIMIZERS["sgd"](lr=1.0),
        trainer=TrainerSpec(epochs=6, batch_size=24),
    )
    rates = [row.lr for row in train_trial(spec, dataset).history]
    total = 4 * 4  # steps after a warm-up of 2 epochs of 4 steps
    expected = [4 / 8, 8 / 8] + [0.5 * (1 + math.cos(math.pi * (4 * e - 1) / total)) for e in (1, 2, 3, 4)]
    assert rates == pytest.approx(expected)


def test_nll_on_log_softmax_and_cross_entropy_on_logits_give_the_same_curves(dataset):
    curves = [
        [
            (row.train_loss, row.val_loss, row.val_accuracy)
            for row in train_trial(TrialSpec(loss=LOSSES[name](), trainer=TrainerSpec(epochs=8)), dataset).history
        ]
        for name in ("nll", "cross_entropy")
    ]
    assert len(curves[0]) == 8
    for nll, cross_entropy in zip(*curves, strict=True):
        assert nll == pytest.approx(cross_entropy, rel=1e-6)


def mixed_specs(n=6, **trainer):
    rates = itertools.cycle([0.003, 0.01, 0.03])
    return [
        TrialSpec(seed=s, optimizer=OPTIMIZERS["adam"](lr=next(rates), weight_decay=0.01 * (s % 2)),
                  model=MLP(hidden=(9,), dropout=0.1 * (s % 3)), loss=LOSSES["cross_entropy"](label_smoothing=0.1 * (s % 2)),
                  trainer=TrainerSpec(**{"epochs": 4, "batch_size": 25, **trainer}))
        for s in range(n)
    ]  # fmt: skip


def assert_equal_results(one, other):
    assert (one.status, one.epochs, one.best_epoch, one.seed) == (
        other.status,
        other.epochs,
        other.best_epoch,
        other.seed,
    )
    for a, b in zip(one.history, other.history, strict=True):
        assert (a.train_loss, a.val_loss) == pytest.approx((b.train_loss, b.val_loss), rel=1e-5)
        assert a.val_accuracy == pytest.approx(b.val_accuracy, abs=1e-12)
    for name in one.weights:
        torch.testing.assert_close(one.weights[name], other.weights[name], rtol=1e-4, atol=1e-6)


def test_a_trial_does_not_depend_on_its_cohort(dataset):
    specs = mixed_specs()
    together = train_cohort(specs, dataset)
    reversed_ = train_cohort(specs[::-1], dataset)[::-1]
    for spec, in_cohort, in_reverse in zip(specs, together, reversed_, strict=True):
        assert_equal_results(in_cohort, train_trial(spec, dataset))
        assert_equal_results(in_cohort, in_reverse)


def test_a_neighbour_that_diverges_changes_nothing(dataset):
    calm = mixed_specs(3)
    wild = TrialSpec(seed=9, optimizer=OPTIMIZERS["adam"](lr=1e38), model=MLP(hidden=(9,)),
                     trainer=TrainerSpec(epochs=4, batch_size=25))  # fmt: skip
    results = train_cohort([calm[0], wild, *calm[1:]], dataset)
    assert results[1].status is Status.DIVERGED
    assert results[1].objective.value is None
    assert "epoch" in results[1].error
    for spec, result in zip(calm, [results[0], *results[2:]], strict=True):
        assert_equal_results(result, train_trial(spec, dataset))


def test_trials_leave_when_their_epochs_or_patience_end(dataset):
    specs = [
        TrialSpec(seed=s, trainer=TrainerSpec(epochs=e, patience=p, batch_size=32))
        for s, (e, p) in enumerate([(2, None), (7, None), (40, 2), (5, 1)])
    ]
    results = train_cohort(specs, dataset)
    assert [r.epochs for r in results[:2]] == [2, 7]
    assert results[2].epochs < 40
    assert results[2].epochs == results[2].best_epoch + 2
    for spec, result in zip(specs, results, strict=True):
        assert_equal_results(result, train_trial(spec, dataset))


def test_a_callback_can_prune_without_touching_the_others(dataset):
    class Pruner(Callback):
        def on_epoch(self, rows):
            return [trial for trial, metrics in rows.items() if trial == 1 and metrics.epoch == 2]

    specs = mixed_specs(3)
    results = train_cohort(specs, dataset, Pruner())
    assert [r.status for r in results] == [Status.COMPLETED, Status.PRUNED, Status.COMPLETED]
    assert [r.epochs for r in results] == [4, 2, 4]
    assert_equal_results(results[2], train_trial(specs[2], dataset))


def test_a_trial_that_has_trained_all_its_epochs_is_not_pruned(dataset):
    class Pruner(Callback):
        def on_epoch(self, rows):
            return [trial for trial, metrics in rows.items() if metrics.epoch == 2]

    trainers = [TrainerSpec(epochs=2), TrainerSpec(epochs=9, patience=1), TrainerSpec(epochs=3)]
    optimizers = [OPTIMIZERS["sgd"](lr=lr) for lr in (0.1, 1e-12, 0.1)]  # the second does not get better
    specs = [TrialSpec(trainer=t, optimizer=o) for t, o in zip(trainers, optimizers, strict=True)]
    results = train_cohort(specs, dataset, Pruner())
    assert [r.epochs for r in results] == [2, 2, 2]
    assert [r.status for r in results] == [Status.COMPLETED, Status.COMPLETED, Status.PRUNED]


def test_kept_weights_are_those_of_the_best_validation_epoch():
    data = blobs(n_train=30, n_val=60, seed=5)
    spec = TrialSpec(optimizer=OPTIMIZERS["sgd"](lr=0.03), trainer=TrainerSpec(epochs=30, batch_size=5))
    best, last = (train_trial(_keeping(spec, keep), data) for keep in ("best", "last"))
    top = max(row.val_accuracy for row in best.history)
    assert best.metrics.val_accuracy == best.objective.value == pytest.approx(top)
    assert best.history[best.best_epoch - 1].val_accuracy == pytest.approx(top)
    assert best.best_epoch < 30  # else this test shows nothing
    assert last.best_epoch == 30
    assert last.metrics.val_loss == pytest.approx(last.history[-1].val_loss)


def _keeping(spec, keep):
    import dataclasses

    return dataclasses.replace(spec, trainer=dataclasses.replace(spec.trainer, keep=keep))


def test_metrics_are_those_of_the_kept_weights_and_the_test_split_is_optional(dataset):
    result = train_trial(TrialSpec(trainer=TrainerSpec(epochs=2)), dataset, test=False)
    assert result.metrics.test_loss is None
    assert result.metrics.test_accuracy is None
    layers = [result.weights[f"layers.{i}.{kind}"] for i in range(3) for kind in ("weight", "bias")]
    x = dataset.train.x_ND
    for i in range(0, 6, 2):
        x = torch.nn.functional.linear(x if i == 0 else x.relu(), layers[i], layers[i + 1])
    accuracy = (x.argmax(-1) == dataset.train.y_N).double().mean().item()
    assert result.metrics.train_accuracy == pytest.approx(accuracy)


def test_the_same_trial_twice_is_bitwise_equal(dataset):
    one, two = (train_trial(mixed_specs(3)[2], dataset) for _ in range(2))
    assert all(torch.equal(one.weights[k], two.weights[k]) for k in one.weights)


def test_an_interrupt_keeps_what_was_reached(dataset):
    class Impatient(Callback):
        def on_epoch(self, rows):
            if rows[0].epoch == 3:
                raise KeyboardInterrupt
            return ()

    with pytest.raises(TrainingInterrupted) as caught:
        train_trial(TrialSpec(trainer=TrainerSpec(epochs=9)), dataset, Impatient())
    (result,) = caught.value.results
    assert result.status is Status.FAILED
    assert "interrupted" in result.error
    assert len(result.history) == 3
    assert result.weights is not None


def test_specs_that_differ_in_a_static_field_cannot_share_a_cohort(dataset):
    specs = [TrialSpec(), TrialSpec(trainer=TrainerSpec(batch_size=7))]
    with pytest.raises(RequestError, match=r"trainer\.batch_size: 32 and 7"):
        train_cohort(specs, dataset)
    assert partition([*specs, TrialSpec(seed=4)]) == [[0, 2], [1]]


def test_an_empty_cohort_is_no_work(dataset):
    assert train_cohort([], dataset) == []


@pytest.mark.parametrize(
    ("objective", "rows", "best"),
    [
        ("val_accuracy", [(0.9, 0.5), (0.95, 0.6), (0.95, 0.4), (0.95, 0.4), (0.94, 0.1)], 3),
        ("val_loss", [(0.9, 0.5), (0.95, 0.6), (0.95, 0.4), (0.8, 0.4)], 3),
        ("val_accuracy", [(0.9, 0.5), (0.9, 0.6)], 1),
    ],
)
def test_the_best_epoch_is_the_first_best_and_ties_go_to_the_lower_loss(objective, rows, best):
    progress = TrialProgress(TrialSpec(objective=objective))
    for epoch, (accuracy, loss) in enumerate(rows, start=1):
        row = EpochMetrics(epoch, 1.0, 0.5, 0.5, loss, accuracy, 0.5, 0.1, 0.0)
        if progress.improved(row):
            progress.best = row
    assert progress.best.epoch == best
