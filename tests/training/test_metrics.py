"""Metrics of epochs and of saved weights in training: whose they are, alone and in a cohort, and what they cost nothing.

Axes: T trials, N samples, C classes.
"""

from __future__ import annotations

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics as oracle
import torch
from support.cohorts import exactly
from support.datasets import blobs

from phalanx import LOSSES, MLP, TrainerSpec, TrialSpec, train_cohort, train_trial
from phalanx.core.errors import SpecError
from phalanx.core.metrics import FURTHER, METRICS
from phalanx.data import Split
from phalanx.runs.checkpoint import read_checkpoint, write_checkpoint
from phalanx.runs.metrics_csv import metrics_csv, read_metrics
from phalanx.training import evaluation, metric_check
from phalanx.training.cohort import Cohort
from phalanx.training.metric_check import check_objective
from phalanx.training.spec import config_digest, determining

DATA = blobs(n_train=50, n_val=30)
ALL = tuple(info.name for info in FURTHER)
SMALL = TrialSpec(model=MLP(hidden=(9,)), trainer=TrainerSpec(epochs=3, batch_size=16, metrics=ALL, keep="last"))


def probabilities(spec, weights, split):
    layout = spec.model.layout(DATA.n_features, DATA.n_classes)
    params_1P = torch.cat([weights[name].flatten() for name in layout.names])[None]
    logits_NC = evaluation.logits(spec.model, layout, params_1P, split.x_ND)[0]
    return logits_NC.softmax(1).numpy()


def expected(p_NC, y_N):
    class_N = p_NC.argmax(1)
    own_NC = np.eye(p_NC.shape[1])[y_N]
    return {
        "f1_macro": oracle.f1_score(y_N, class_N, average="macro"),
        "matthews": oracle.matthews_corrcoef(y_N, class_N),
        "auroc": oracle.roc_auc_score(own_NC, p_NC, average="macro"),
        "average_precision": oracle.average_precision_score(own_NC, p_NC, average="macro"),
        "brier": p_NC.shape[1] * oracle.mean_squared_error(own_NC, p_NC),
    }


def test_metrics_of_an_epoch_and_of_the_saved_weights_are_those_of_scikit_learn():
    result = train_trial(SMALL, DATA)
    for name in ("train", "val", "test"):
        split = getattr(DATA, name)
        found = expected(probabilities(SMALL, result.weights, split), split.y_N.numpy())
        assert {key: result.metrics[f"{name}_{key}"] for key in found} == pytest.approx(found, abs=1e-6)
    last = {f"val_{name}": result.metrics[f"val_{name}"] for name in ALL}
    assert last == {name: value for name, value in result.history[-1].further.items() if name.startswith("val_")}


def test_training_metrics_of_an_epoch_are_of_the_steps_before_their_updates():
    spec = replace(SMALL, trainer=replace(SMALL.trainer, batch_size=None))
    layout = spec.model.layout(DATA.n_features, DATA.n_classes)
    first_1P = spec.model.initial(layout, [spec.seed])
    p_NC = evaluation.logits(spec.model, layout, first_1P, DATA.train.x_ND)[0].softmax(1).numpy()
    row, found = train_trial(spec, DATA).history[0], expected(p_NC, DATA.train.y_N.numpy())
    assert {key: row[f"train_{key}"] for key in found} == pytest.approx(found, abs=1e-6)


@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="this torch multiplies by another library than MKL")
def test_a_trial_has_the_same_bits_alone_and_beside_others():
    losses = [LOSSES["cross_entropy"](), LOSSES["mse"](), LOSSES["one_vs_all"](), LOSSES["nll"](label_smoothing=0.1)]
    specs = [replace(SMALL, loss=loss, seed=seed) for seed, loss in enumerate(losses)]
    alone = [exactly(train_trial(spec, DATA)) for spec in specs]
    for n_trials in (2, 4):
        assert [exactly(result) for result in train_cohort(specs[:n_trials], DATA)] == alone[:n_trials]


def test_what_is_computed_each_epoch_changes_no_weight():
    plain = replace(SMALL, trainer=replace(SMALL.trainer, metrics=()))
    one, other = train_trial(SMALL, DATA), train_trial(plain, DATA)
    assert one.metrics == other.metrics
    assert all(one.weights[name].equal(other.weights[name]) for name in one.weights)
    assert [row.further for row in other.history] == [{}] * 3


def test_by_default_no_step_and_no_epoch_computes_more(monkeypatch):
    kept = []
    monkeypatch.setattr(
        evaluation, "_further", lambda wanted, class_TN, *_: kept.append(wanted) or [{}] * len(class_TN)
    )
    spec = replace(SMALL, trainer=TrainerSpec(epochs=2))
    cohort = Cohort(spec, DATA)
    cohort.join([spec])
    cohort.epoch()
    assert [wanted.names for wanted in kept] == [()] * 1  # of the training; an evaluation does not even ask
    tally = evaluation.Tally(DATA.train.y_N[None], cohort.chunks[0].stack.loss, 1, n_classes=3)
    assert tally.logits_TNC is None


def test_the_objective_is_computed_each_epoch_and_chooses_the_best():
    for objective, best in (("val_brier", min), ("val_f1_macro", max)):
        spec = replace(SMALL, objective=objective, trainer=TrainerSpec(epochs=6, batch_size=16))
        result = train_trial(spec, DATA)
        assert list(result.history[0].further) == [f"train_{objective[4:]}", objective]
        assert result.objective.value == best(row[objective] for row in result.history)
        assert result.objective.direction == METRICS[objective[4:]].direction


def test_sampled_steps_know_no_metric_of_training():
    spec = replace(SMALL, loss=LOSSES["sampled_softmax"](n_sampled=2))
    result = train_trial(spec, DATA)
    row = result.history[-1]
    assert {name for name, value in row.further.items() if math.isnan(value)} == {f"train_{name}" for name in ALL}
    found = expected(probabilities(spec, result.weights, DATA.test), DATA.test.y_N.numpy())
    assert {key: result.metrics[f"test_{key}"] for key in found} == pytest.approx(found, abs=1e-6)


def without_class(split, c):
    kept = split.y_N != c
    return Split(split.x_ND[kept], split.y_N[kept])


def test_an_absent_class_is_told_and_leaves_the_others():
    data = replace(DATA, val=without_class(DATA.val, 1))
    result = train_trial(SMALL, data)
    lost = {name for name, value in result.metrics.flat().items() if value is None}
    assert lost == {"val_auroc", "val_average_precision"}
    assert result.notes == (
        f"val_auroc and val_average_precision are not defined: no validation sample has the class {data.classes[1]!r}",
    )


def test_an_objective_without_a_value_on_the_data_is_refused():
    data = replace(DATA, val=without_class(DATA.val, 1))
    check_objective(replace(SMALL, objective="val_f1_macro"), data)
    check_objective(replace(SMALL, objective="val_auroc"), DATA)
    with pytest.raises(
        SpecError, match=r"no validation sample has the class .*, got 'val_auroc'; try objective=val_bal"
    ):
        check_objective(replace(SMALL, objective="val_auroc"), data)


def test_too_many_probabilities_are_computed_only_where_asked_for(monkeypatch):
    monkeypatch.setattr(metric_check, "MAX_PROBABILITIES", 100)
    result = train_trial(replace(SMALL, trainer=replace(SMALL.trainer, metrics=("ece",))), DATA)
    assert "train_auroc" not in result.metrics.further
    assert result.metrics["train_ece"] is not None
    assert result.metrics["test_f1_macro"] is not None
    assert result.notes[0].endswith("only where trainer.metrics names them")


def test_a_digest_knows_what_was_asked_for_and_an_earlier_one_stays():
    plain = TrialSpec()
    assert not [key for key in determining(plain) if "metric" in key]
    asked = replace(plain, trainer=TrainerSpec(metrics=("ece",)))
    assert config_digest(asked) != config_digest(plain)
    assert pickle.loads(pickle.dumps(asked)) == asked


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: TrainerSpec(metrics=("f1_makro", "ece", "val_auroc")),
         r"and not 'f1_makro', 'val_auroc', got .*; try 'trainer.metrics=\[f1_macro,ece,auroc\]'"),
        (lambda: TrainerSpec(metrics=("f1", "precision")), r"try 'trainer.metrics=\[f1_macro,precision_macro\]'"),
        (lambda: TrialSpec(objective="f1_macro"), "try objective=val_f1_macro"),
        (lambda: TrialSpec(objective="val_F1_macr"), "try objective=val_f1_macro"),
        (lambda: TrialSpec(objective="test_ece"), r"never chooses anything\), got 'test_ece'; try objective=val_ece"),
        (lambda: TrialSpec(objective="nothing"), "from a file in extensions/, got 'nothing'; try objective=val_accuracy"),
    ],
)  # fmt: skip
def test_a_name_that_does_not_exist_is_told_with_the_nearest_one(make, text):
    with pytest.raises(SpecError, match=text):
        make()


def test_a_table_and_a_checkpoint_hold_them(tmp_path):
    cohort = Cohort(SMALL, DATA)
    (position,) = cohort.join([SMALL])
    cohort.epoch()
    snapshot = cohort.snapshot(position)
    write_checkpoint(
        tmp_path / "c.safetensors", {"trial": {}, "data_digest": "", "versions": {}, "format": 1}, [snapshot]
    )
    (read,) = read_checkpoint(tmp_path / "c.safetensors")[1]
    assert read.history == snapshot.history
    (tmp_path / "metrics.csv").write_text(metrics_csv(snapshot.history))
    assert read_metrics(tmp_path / "metrics.csv") == snapshot.history
