"""Our own losses, optimizers, models and schedules keep the contracts that other people's have to keep."""

from __future__ import annotations

import pytest

from phalanx import LOSSES, MLP, OPTIMIZERS, SCHEDULES
from phalanx.nn.models.activations import ACTIVATIONS
from phalanx.testing import LossContract, ModelContract, OptimizerContract, ScheduleContract

FORMS = {f"{name}-{output}": LOSSES[name](output=output) for name, cls in LOSSES.items() for output in cls.outputs}
SAMPLED = LOSSES["sampled_softmax"](n_sampled=2)  # fewer than the contract has classes
MODELS = {
    **{name: MLP(hidden=(8, 7), activation=name) for name in ACTIVATIONS},
    "dropout": MLP(hidden=(9,), dropout=0.3),
    "dropout-last": MLP(hidden=(9, 8), dropout=0.3, dropout_at="last"),
    "layer-norm": MLP(hidden=(9, 9), residual=True, norm="layer", dropout=0.3, activation="gelu"),
}
UPDATES = {
    **{name: cls(lr=0.05) for name, cls in OPTIMIZERS.items()},
    "sgd-plain": OPTIMIZERS["sgd"](momentum=0.0),
    "sgd-nesterov": OPTIMIZERS["sgd"](lr=0.02, nesterov=True, weight_decay=0.01),
    "rmsprop-centered": OPTIMIZERS["rmsprop"](lr=0.01, centered=True, momentum=0.5, weight_decay=0.01),
    "muon-plain": OPTIMIZERS["muon"](lr=0.02, momentum=0.0, nesterov=False, last_layer="muon", step_size="original"),
    "nadam-decoupled": OPTIMIZERS["nadam"](lr=0.05, weight_decay=0.1, decoupled=True),
    "adamw-decay": OPTIMIZERS["adamw"](lr=0.05, weight_decay=0.1, beta1=0.0),
}
RATES = {
    **{name: cls() for name, cls in SCHEDULES.items()},
    "step-often": SCHEDULES["step"](every_epochs=1, gamma=0.5),
    "cosine-floor": SCHEDULES["cosine"](min_factor=0.1, warmup_epochs=1),
}


class TestLosses(LossContract):
    @pytest.fixture(params=[*FORMS, "sampled"])
    def spec(self, request):
        return SAMPLED if request.param == "sampled" else FORMS[request.param]


class TestOptimizers(OptimizerContract):
    @pytest.fixture(params=UPDATES)
    def spec(self, request):
        return UPDATES[request.param]


class TestModels(ModelContract):
    @pytest.fixture(params=MODELS)
    def spec(self, request):
        return MODELS[request.param]


class TestBatchNorm(ModelContract):
    """Its gradients are those of a training, which `forward` does not compute: see test_norms.py."""

    option = MLP(hidden=(8, 8), norm="batch", residual=True, dropout=0.3)
    small = tuple(sizes for sizes in ModelContract.small if sizes[-1] not in (1, 25))  # no batch of one sample
    test_gradients_are_those_of_autograd = None


class TestSchedules(ScheduleContract):
    @pytest.fixture(params=RATES)
    def spec(self, request):
        return RATES[request.param]
