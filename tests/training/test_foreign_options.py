"""Options unlike our own, trained and evaluated: what is taken for granted of ours has to hold for them too."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.options import Adagrad, Focal, Prototypes

from phalanx import MLP, TrainerSpec, TrialSpec
from phalanx.core.device import DeviceSpec
from phalanx.nn.losses.cross_entropy import CrossEntropy
from phalanx.nn.losses.stacked import StackedLoss
from phalanx.training.cohort import Cohort
from phalanx.training.evaluation import evaluate
from phalanx.training.loop import train_cohort, train_trial


def test_a_loss_that_shares_no_cohort_keeps_its_training_accuracy(dataset):
    result = train_trial(TrialSpec(loss=Focal(), trainer=TrainerSpec(epochs=3)), dataset)
    assert all(0 < row.train_accuracy <= 1 and 0 < row.train_likelihood <= 1 for row in result.history)
    assert result.history[-1].train_accuracy == pytest.approx(result.metrics.train_accuracy, abs=0.1)


def test_a_model_with_a_scalar_parameter_is_evaluated(dataset):
    model = Prototypes()
    layout = model.layout(dataset.n_features, dataset.n_classes)
    params_TP = model.initial(layout, [0, 1])
    assert layout.size == 1 + dataset.n_features * dataset.n_classes
    assert layout.views(params_TP)[0].shape == (2,)
    loss = StackedLoss([CrossEntropy()] * 2, torch.device("cpu"))
    logits_TBC = model.forward(layout.views(params_TP), dataset.val.x_ND.expand(2, -1, -1))
    for row, logits_BC in zip(evaluate(model, layout, loss, params_TP, dataset.val), logits_TBC, strict=True):
        assert row.accuracy == (logits_BC.argmax(-1) == dataset.val.y_N).double().mean().item()
        assert row.loss == pytest.approx(torch.nn.functional.cross_entropy(logits_BC, dataset.val.y_N).item())


def test_a_model_with_a_scalar_parameter_is_trained(dataset):
    result = train_trial(TrialSpec(model=Prototypes(dropout=0.2), trainer=TrainerSpec(epochs=3)), dataset)
    assert result.weights["scale"].shape == ()
    assert result.n_parameters == 1 + dataset.n_features * dataset.n_classes
    assert result.history[-1].train_loss < result.history[0].train_loss


def test_a_state_that_is_no_row_of_parameters_is_resumed_in_padded_networks(dataset):
    like = TrialSpec(optimizer=Adagrad(), device=DeviceSpec(pad=True), trainer=TrainerSpec(epochs=3))
    specs = [replace(like, model=MLP(hidden=hidden)) for hidden in ((9,), (4,))]
    before, resumed, results = Cohort(like, dataset), Cohort(like, dataset), {}
    before.join(specs)
    before.epoch()
    resumed.join(specs, [before.snapshot(position) for position in range(2)])
    while resumed.running:
        results |= resumed.epoch()
    for position, whole in enumerate(train_cohort(specs, dataset)):
        assert all(weight.equal(whole.weights[name]) for name, weight in results[position].weights.items())
