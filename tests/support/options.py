"""Options as a user might write them, which no registry knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from phalanx.core.seeding import generator
from phalanx.core.specs import stacked, static
from phalanx.data import DataSpec
from phalanx.data.base import Raw
from phalanx.data.encoders import ArrayFeatures
from phalanx.nn.losses import LossSpec
from phalanx.nn.losses.functional import negative_log
from phalanx.nn.models import Layout, ModelSpec
from phalanx.nn.optimizers import OptimizerSpec
from phalanx.nn.schedules import ScheduleSpec

spec_class = dataclass(frozen=True, kw_only=True)


@spec_class
class Focal(LossSpec):
    """Lin et al., "Focal loss for dense object detection", 2017."""

    name: ClassVar[str] = "focal"
    stackable: ClassVar[bool] = False
    outputs: ClassVar[tuple[str, ...]] = ("log_softmax",)
    output: str = static("log_softmax", choices=("log_softmax", "logits"))
    gamma: float = stacked(2.0, ge=0)

    def per_sample(self, output_TBC, y_TB, target_TBC):
        return negative_log((1 - output_TBC.exp()) ** self.gamma * output_TBC, y_TB, target_TBC)


@spec_class
class Adagrad(OptimizerSpec):
    """Its state is not zero at the beginning, and one tensor of it has one number per trial."""

    name: ClassVar[str] = "adagrad"
    lr: float = stacked(0.05, gt=0)

    def init(self, params_TP, columns):
        return {"square_TP": torch.full_like(params_TP, 0.1), "count_T": torch.ones_like(params_TP[:, 0])}

    def update(self, params_TP, grads_TP, state, at, columns):
        state["square_TP"].addcmul_(grads_TP, grads_TP)
        state["count_T"].add_(1)
        params_TP.addcdiv_(grads_TP * at["lr"], state["square_TP"].sqrt() * state["count_T"][:, None] ** 0.1, value=-1)


@spec_class
class Prototypes(ModelSpec):
    """Distances to one point per class, with a temperature, which is a scalar, and dropout in the second layer."""

    name: ClassVar[str] = "prototypes"
    dropout: float = stacked(0.0, ge=0, lt=1)

    def layout(self, n_features, n_classes):
        return Layout(("scale", "points"), ((), (n_classes, n_features)))

    def initial(self, layout, seeds):
        return torch.stack([torch.randn(layout.size, generator=generator(seed, "init")) for seed in seeds])

    def forward(self, tensors, x_TBD, dropout=None, depths=None):
        scale_T, points_TCD = tensors
        if dropout is not None:
            x_TBD = x_TBD * dropout.factors(1, x_TBD)
        products_TBC = torch.bmm(x_TBD, points_TCD.transpose(1, 2))
        return scale_T[:, None, None] * (products_TBC - 0.5 * points_TCD.square().sum(-1)[:, None])


@spec_class
class Linear(ScheduleSpec):
    name: ClassVar[str] = "linear"

    def shape(self, step_ST, steps_per_epoch, total_T, hyper):
        return (1 - step_ST / total_T).clamp(min=0)


@spec_class
class Rings(DataSpec):
    name: ClassVar[str] = "rings"
    n_train: int | None = static(40, ge=1)

    def read(self):
        y, angle = np.arange(90) % 3, np.random.default_rng(0).uniform(0, 6.28, 90)
        x = np.stack([(y + 1) * np.cos(angle), (y + 1) * np.sin(angle)], 1)
        return Raw(x=x, y=y, classes=("inner", "middle", "outer"))

    def features(self):
        return ArrayFeatures()
