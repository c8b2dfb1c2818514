"""The schedules of T trials in one cohort, which may be of several kinds. Axes: T trials, S steps."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from phalanx.core.specs import stacked_values
from phalanx.nn.schedules.base import ScheduleSpec


class StackedSchedule:
    """One schedule per trial, computed kind by kind."""

    def __init__(self, specs: Sequence[ScheduleSpec]) -> None:
        places: dict[type[ScheduleSpec], list[int]] = {}
        for place, spec in enumerate(specs):
            places.setdefault(type(spec), []).append(place)
        self.kinds = [(specs[where[0]], where, stacked_values([specs[w] for w in where])) for where in places.values()]

    def factors(self, step_ST: Tensor, steps_per_epoch: int, total_T: Tensor) -> Tensor:
        """The factors (S, T) of the learning rate; arguments as in `ScheduleSpec.factors`."""
        # torch.broadcast_shapes imports sympy, which takes half a second
        factor_ST = torch.empty(np.broadcast_shapes(step_ST.shape, total_T.shape), dtype=torch.float64)
        for kind, where, hyper in self.kinds:
            factor_ST[:, where] = kind.factors(step_ST[:, where], steps_per_epoch, total_T[where], hyper)
        return factor_ST
