"""Each contract holds for an option that a user might write, and fails for one that breaks it."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from support.options import Adagrad, Focal, Linear, Prototypes, Rings

from phalanx.core.errors import DataError
from phalanx.data import load_dataset
from phalanx.data.base import Raw
from phalanx.data.encoders import ArrayFeatures
from phalanx.nn.losses.functional import negative_log
from phalanx.nn.losses.sampled_softmax import SampledSoftmax
from phalanx.nn.models import Layout
from phalanx.testing import DataContract, LossContract, ModelContract, OptimizerContract, ScheduleContract, blobs


class TestFocal(LossContract):
    option = Focal(gamma=2.0)


class TestAdagrad(OptimizerContract):
    option = Adagrad()


class TestPrototypes(ModelContract):
    option = Prototypes(dropout=0.2)


class TestLinear(ScheduleContract):
    option = Linear()


class TestRings(DataContract):
    option = Rings()


class WrongGradient(Focal):
    def value_and_grad(self, logits_TBC, y_TB, smoothing_T=None):
        loss_TB, grad_TBC = super().value_and_grad(logits_TBC, y_TB, smoothing_T)
        return loss_TB, grad_TBC * y_TB.shape[1]  # of the sum, not of the mean


class WeighedByTheBatch(Focal):
    def weighted_value_and_grad(self, logits_TBC, y_TB, smoothing_T, weight_TB):
        weight_TB = weight_TB / weight_TB.mean(1, keepdim=True)  # as torch's CrossEntropyLoss
        return super().weighted_value_and_grad(logits_TBC, y_TB, smoothing_T, weight_TB)


class Detached(Focal):
    def per_sample(self, output_TBC, y_TB, target_TBC):
        return super().per_sample(output_TBC, y_TB, target_TBC) * output_TBC.detach()[..., 0]


class MeanOfBatch(Focal):
    def per_sample(self, output_TBC, y_TB, target_TBC):
        loss_TB = super().per_sample(output_TBC, y_TB, target_TBC)
        return loss_TB + loss_TB.mean()


class Overflowing(Focal):
    outputs: ClassVar[tuple[str, ...]] = ("logits", "log_softmax")

    def per_sample(self, output_TBC, y_TB, target_TBC):
        return negative_log(output_TBC.exp(), y_TB, target_TBC)


class Unsmoothed(Focal):
    def per_sample(self, output_TBC, y_TB, target_TBC):
        return super().per_sample(output_TBC, y_TB, None) + (0 if target_TBC is None else 1)


class NoDistribution(Focal):
    def log_probabilities(self, logits_TBC):
        return logits_TBC


class TakesAll(Focal):
    def conflicts(self):
        return []


class Stackable(SampledSoftmax):
    stackable: ClassVar[bool] = True


class Unchecked(Focal):
    def __post_init__(self):
        pass


class Global(Adagrad):
    def update(self, params_TP, grads_TP, state, at, columns):
        super().update(params_TP, grads_TP / grads_TP.norm(), state, at, columns)  # of all trials


class Ascending(Adagrad):
    def update(self, params_TP, grads_TP, state, at, columns):
        super().update(params_TP, -grads_TP, state, at, columns)


class Replaced(Adagrad):
    def update(self, params_TP, grads_TP, state, at, columns):
        state["square_TP"] = state["square_TP"] + grads_TP**2


class Taken(Adagrad):
    def init(self, params_TP, columns):
        return {**super().init(params_TP, columns), "params_TP": torch.zeros_like(params_TP)}


class Remembering(Adagrad):
    seen: ClassVar[list[int]] = []

    def update(self, params_TP, grads_TP, state, at, columns):
        self.seen.append(0)
        params_TP.sub_(grads_TP / len(self.seen))


class Drifting(Adagrad):
    def update(self, params_TP, grads_TP, state, at, columns):
        params_TP.sub_(at["lr"])


class Numbered(Prototypes):
    def initial(self, layout, seeds):
        return super().initial(layout, range(len(seeds)))


class Centred(Prototypes):
    def forward(self, tensors, x_TBD, dropout=None, depths=None):
        return super().forward(tensors, x_TBD - x_TBD.mean(0), dropout, depths)  # of all trials


class OneUnit(Prototypes):
    """A product of one column adds in another order for a trial alone, as MKL does on some processors."""

    def layout(self, n_features, n_classes):
        return Layout(("first", "last"), ((n_features, 1), (1, n_classes)))

    def forward(self, tensors, x_TBD, dropout=None, depths=None):
        terms_TBD = x_TBD * tensors[0].transpose(1, 2)
        total_TB = sum((terms_TBD.flip(2) if len(x_TBD) == 1 else terms_TBD).unbind(2))
        return total_TB[:, :, None].tanh() * tensors[1]


class BatchNormalized(Prototypes):
    def forward(self, tensors, x_TBD, dropout=None, depths=None):
        return super().forward(tensors, x_TBD - x_TBD.mean(1, keepdim=True), dropout, depths)


class Adding(Prototypes):
    def vjp(self, tensors, x_TBD, dropout=None, depths=None, sampled=None):
        logits, backward = super().vjp(tensors, x_TBD, dropout, depths, sampled)

        def add(grad, out):
            found = [torch.empty_like(target) for target in out]
            backward(grad, found)
            for target, one in zip(out, found, strict=True):
                target.add_(one)  # not in place of what was there

        return logits, add


class Flat(Prototypes):
    def hidden_outputs(self, tensors, x_TBD):
        return [x_TBD[0]]


class Negative(Linear):
    def shape(self, step_ST, steps_per_epoch, total_T, hyper):
        return 1 - 2 * step_ST / total_T


class Shared(Linear):
    def shape(self, step_ST, steps_per_epoch, total_T, hyper):
        return (1 - step_ST / total_T.max()).clamp(min=0)


class Counting(Linear):
    def shape(self, step_ST, steps_per_epoch, total_T, hyper):
        return (1 - (step_ST - step_ST[0]) / total_T).clamp(min=0)


class WithoutWarmUp(Linear):
    def factors(self, step_ST, steps_per_epoch, total_T, hyper):
        return self.shape(step_ST, steps_per_epoch, total_T, hyper)


class Untruthful(Linear):
    needs_total_steps: ClassVar[bool] = False


class Unseeded(Rings):
    def read(self):
        raw = super().read()
        return Raw(x=raw.x + torch.rand(1).item(), y=raw.y, classes=raw.classes)


class FromOne(Rings):
    def read(self):
        raw = super().read()
        return Raw(x=raw.x, y=raw.y + 1, classes=raw.classes)


class Unsplit(Rings):
    def read(self):
        raw = super().read()
        return (
            Raw(raw.x[:60], raw.y[:60], raw.classes, raw.x[60:], raw.y[60:]) if self.split_seed == 0 else super().read()
        )


class Gaps(Rings):
    def read(self):
        raw = super().read()
        raw.x[:, 0] = np.nan
        return raw


@dataclass(frozen=True)
class PerBatch(ArrayFeatures):
    def transform(self, rows):
        return super().transform(rows) - super().transform(rows).mean(0)


class EncodedByBatch(Rings):
    def features(self):
        return PerBatch()


BROKEN = [
    (LossContract, "values_out_of_bounds_are_rejected", Unchecked()),
    (LossContract, "the_gradient_is_that_of_autograd", WrongGradient()),
    (LossContract, "weights_of_samples_scale_their_part_of_the_gradient", WeighedByTheBatch()),
    (LossContract, "the_gradient_is_the_slope", Detached()),
    (LossContract, "no_smoothing_is_a_smoothing_of_zero", Unsmoothed()),
    (LossContract, "a_sample_depends_on_no_other_sample_or_trial", MeanOfBatch()),
    (LossContract, "a_trial_is_the_same_in_a_cohort", MeanOfBatch()),
    (LossContract, "large_logits_give_finite_losses_and_gradients", Overflowing(output="logits")),
    (LossContract, "probabilities_sum_to_one", NoDistribution()),
    (LossContract, "outputs_that_it_does_not_accept_are_rejected", TakesAll()),
    (LossContract, "sampled_classes_depend_on_the_seed_and_step_alone", Stackable(n_sampled=2)),
    (OptimizerContract, "it_descends", Ascending()),
    (OptimizerContract, "a_trial_depends_on_no_other", Global()),
    (OptimizerContract, "a_trial_is_the_same_in_a_cohort", Global()),
    (OptimizerContract, "a_trial_is_the_same_beside_one_that_diverges", Global()),
    (OptimizerContract, "it_works_in_place_on_a_state_with_a_row_per_trial", Replaced()),
    (OptimizerContract, "it_works_in_place_on_a_state_with_a_row_per_trial", Taken()),
    (OptimizerContract, "parameters_and_state_are_all_that_is_remembered", Remembering()),
    (OptimizerContract, "a_trial_that_resumes_or_joins_late_is_the_same", Remembering()),
    (OptimizerContract, "padding_stays_zero", Drifting()),
    (ModelContract, "initial_weights_depend_on_the_seed_alone", Numbered()),
    (ModelContract, "a_trial_depends_on_no_other", Centred()),
    (ModelContract, "the_smallest_sizes_are_the_same_in_a_cohort", OneUnit()),
    (ModelContract, "a_sample_depends_on_no_other_when_evaluated", BatchNormalized()),
    (ModelContract, "gradients_are_those_of_autograd", Adding()),
    (ModelContract, "hidden_outputs_have_a_row_per_sample", Flat()),
    (ScheduleContract, "factors_are_finite_and_not_negative", Negative()),
    (ScheduleContract, "a_trial_depends_on_no_other", Shared()),
    (ScheduleContract, "a_step_depends_on_no_earlier_call", Counting()),
    (ScheduleContract, "the_warm_up_rises_linearly", WithoutWarmUp()),
    (ScheduleContract, "it_needs_the_total_number_of_steps_if_it_says_so", Untruthful()),
    (DataContract, "classes_are_indices", FromOne()),
    (DataContract, "reading_again_gives_the_same", Unseeded()),
    (DataContract, "features_are_finite", Gaps()),
    (DataContract, "a_row_is_encoded_by_itself_and_the_same_after_json", EncodedByBatch()),
]


@pytest.mark.parametrize(
    ("contract", "name", "spec"), BROKEN, ids=[f"{name}-{type(s).__name__}" for _, name, s in BROKEN]
)
def test_a_broken_option_is_caught(contract, name, spec):
    def run() -> None:
        test, given = getattr(contract(), f"test_{name}"), {"spec": spec}
        if "dataset" in inspect.signature(test).parameters:
            given["dataset"] = load_dataset(spec) if contract is DataContract else blobs(n_train=60, n_val=30)
        test(**given)

    with pytest.raises((AssertionError, pytest.fail.Exception, RuntimeError, IndexError, DataError)):
        run()


def test_every_test_of_a_contract_is_broken_by_some_option():
    """But for one, which would have to be a fault of `load_dataset`."""
    contracts = {contract for contract, _, _ in BROKEN}
    own = {(c, name.removeprefix("test_")) for c in contracts for name in vars(c) if name.startswith("test_")}
    assert own - {(contract, name) for contract, name, _ in BROKEN} == {
        (DataContract, "another_split_seed_gives_another_split")
    }


class TestRounded(LossContract):
    """torch.pow rounds an element depending on the size of its tensor."""

    exact = False
    option = Focal(gamma=1.3)
