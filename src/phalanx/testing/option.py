"""What holds for the options of every group."""

import dataclasses
import math
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from phalanx.core.constraints import Constraint
from phalanx.core.errors import SpecError
from phalanx.core.result import Status, TrialResult
from phalanx.core.specs import Spec, constraint_of, key_of, stacked_values, without_stacked
from phalanx.data import Dataset, Split
from phalanx.data.encoders import ArrayFeatures
from phalanx.nn.models.base import ModelSpec
from phalanx.nn.models.mlp import MLP
from phalanx.nn.optimizers.base import OptimizerSpec
from phalanx.nn.optimizers.sgd import SGD
from phalanx.training.cohort import Cohort
from phalanx.training.loop import train_cohort, train_trial
from phalanx.training.spec import TrainerSpec, TrialSpec


def blobs(n_train: int = 96, n_val: int = 40, n_features: int = 6, n_classes: int = 3, seed: int = 0) -> Dataset:
    """A small data set of overlapping Gaussian clouds, one per class.

    Args:
        n_train: Training samples.
        n_val: Validation samples, and as many test samples.
        n_features: D.
        n_classes: C, at most 10.
        seed: The seed of centres and points.
    """
    stream = torch.Generator().manual_seed(seed)
    centres_CD = torch.randn(n_classes, n_features, generator=stream)

    def split(n: int) -> Split:
        y_N = torch.randint(n_classes, (n,), generator=stream)
        return Split(centres_CD[y_N] + 0.8 * torch.randn(n, n_features, generator=stream), y_N)

    splits, names = (split(n_train), split(n_val), split(n_val)), tuple("abcdefghij"[:n_classes])
    features = ArrayFeatures(normalize="none", mean=(0.0,), std=(1.0,), n_features=n_features)
    return Dataset("blobs", *splits, names, features, "blobs")


# Hidden layers, features, validation samples, and batch size. MKL computes a product of one column, which may be that
# of a gradient, in a way of its own, which shows with some other sizes alone.
Sizes = tuple[tuple[int, ...], int, int, int | None]
SMALL: tuple[Sizes, ...] = (
    ((1,), 2, 2, 1), ((1,), 33, 1, 64), ((33, 1), 1, 1, 25), ((1, 33), 2, 2, 25), ((2, 1), 1, 1, None),
    ((17, 2), 1, 1, 64),
)  # fmt: skip


class OptionContract:
    """Base of the contracts. Set `option` in a subclass, or override the fixture `spec`."""

    option: ClassVar[Spec]
    # Whether a trial gives the same bits alone and in a cohort. False allows rounding errors, which some operations of
    # torch make depending on the size of the tensor: convolutions, powers with an exponent such as 1.5.
    exact: ClassVar[bool] = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]

    small: ClassVar[tuple[Sizes, ...]] = SMALL  # that are compared alone and in a cohort

    @pytest.fixture
    def spec(self) -> Spec:
        """The option under test."""
        return self.option

    @pytest.fixture
    def dataset(self, spec: Spec) -> Dataset:
        """The data to train on."""
        return blobs(n_train=60, n_val=30)

    def test_it_is_a_frozen_value_with_a_name(self, spec: Spec) -> None:
        assert spec.name
        assert (replace(spec), hash(replace(spec))) == (spec, hash(spec))
        field = next(iter(dataclasses.fields(spec)), None)
        if field is not None:
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(spec, field.name, None)
        assert all(not value_T.isnan().any() for value_T in stacked_values([spec]).values())

    def test_values_out_of_bounds_are_rejected(self, spec: Spec) -> None:
        for field in dataclasses.fields(spec):
            for value in _out_of_bounds(constraint_of(field), isinstance(getattr(spec, field.name), tuple)):
                with pytest.raises(SpecError, match=rf"{key_of(spec, field.name)} must be"):
                    replace(spec, **{field.name: value})

    def test_a_training_completes(self, spec: Spec, dataset: Dataset) -> None:
        result = train_trial(trial(spec), dataset)
        assert result.status is Status.COMPLETED, result.error
        assert all(math.isfinite(row.train_loss) and math.isfinite(row.val_loss) for row in result.history)

    def test_a_trial_is_the_same_in_a_cohort(self, spec: Spec, dataset: Dataset) -> None:
        specs = [trial(without_stacked(spec), seed=1, lr=0.3), trial(spec), trial(spec, seed=2)]
        for one, result in zip(specs, train_cohort(specs, dataset), strict=True):
            self._assert_same(result, train_trial(one, dataset))

    def test_a_trial_is_the_same_beside_one_that_diverges(self, spec: Spec, dataset: Dataset) -> None:
        results = train_cohort([trial(spec, seed=1, lr=1e30), trial(spec)], dataset)
        self._assert_same(results[1], train_trial(trial(spec), dataset))

    def test_a_trial_that_resumes_or_joins_late_is_the_same(self, spec: Spec, dataset: Dataset) -> None:
        before, cohort = Cohort(trial(spec), dataset), Cohort(trial(spec), dataset)
        for each, seed in ((before, 0), (cohort, 1)):
            each.join([trial(spec, seed=seed)])
            each.epoch()
        places = cohort.join([trial(spec), trial(spec, seed=2)], [before.snapshot(0)])
        results: dict[int, TrialResult] = {}
        while cohort.running:
            results |= cohort.epoch()
        for place, seed in zip(places, (0, 2), strict=True):
            self._assert_same(results[place], train_trial(trial(spec, seed=seed), dataset))

    def test_the_smallest_sizes_are_the_same_in_a_cohort(self, spec: Spec) -> None:
        for hidden, n_features, n_val, batch_size in self.small:
            dataset = self.small_dataset(spec, n_features, n_val)
            trials = trial(without_stacked(spec), seed=1), trial(spec), trial(spec, seed=2)
            specs = [_small(one, spec, hidden, batch_size) for one in trials]
            for one, result in zip(specs, train_cohort(specs, dataset), strict=True):
                self._assert_same(result, train_trial(one, dataset))

    def small_dataset(self, spec: Spec, n_features: int, n_val: int) -> Dataset:
        """Samples of two classes. Override it for a model that needs other data.

        Args:
            spec: The option under test.
            n_features: 1, 2 or more.
            n_val: Validation samples, 1 or 2.
        """
        return blobs(n_train=101, n_val=n_val, n_features=n_features, n_classes=2)

    def _assert_same(self, one: TrialResult, other: TrialResult) -> None:
        assert one.weights is not None
        assert other.weights is not None
        if self.exact:
            assert one.metrics == other.metrics
        for name, weight in one.weights.items():
            self._assert_equal(weight, other.weights[name])

    def _assert_equal(self, one: Tensor, other: Tensor) -> None:
        rtol, atol = (0.0, 0.0) if self.exact else (1e-4, 1e-5)
        torch.testing.assert_close(one, other, rtol=rtol, atol=atol)


def trial(spec: Spec, *, seed: int = 0, lr: float = 0.05) -> TrialSpec:
    """A short trial with this option.

    Args:
        spec: The option of any group.
        seed: The trial's seed.
        lr: Its learning rate. An optimizer under test keeps its own, unless `lr` is not the default.
    """
    optimizer: Any = spec if isinstance(spec, OptimizerSpec) else SGD(lr=lr)
    if isinstance(spec, OptimizerSpec) and lr != 0.05:
        optimizer = replace(spec, lr=lr)
    parts: dict[str, Any] = {spec.config_group: spec, "optimizer": optimizer}
    return TrialSpec(**parts, trainer=TrainerSpec(epochs=3, batch_size=25), seed=seed)


def _small(one: TrialSpec, spec: Spec, hidden: tuple[int, ...], batch_size: int | None) -> TrialSpec:
    """The trial with these hidden layers, unless its model is under test, and so many samples a step."""
    model = one.model if isinstance(spec, ModelSpec) else MLP(hidden=hidden)
    return replace(one, model=model, trainer=TrainerSpec(epochs=2, batch_size=batch_size))


def _out_of_bounds(constraint: Constraint, is_list: bool) -> list[Any]:
    """Values that the constraint does not allow."""
    at_bound = [bound for bound in (constraint.gt, constraint.lt) if bound is not None]
    beyond = [] if constraint.ge is None else [constraint.ge - 1]
    beyond += [] if constraint.le is None else [constraint.le + 1]
    values: list[Any] = [*at_bound, *beyond, *(["no such choice"] if constraint.choices else [])]
    return [(value,) for value in values] + [()] * bool(constraint.min_items) if is_list else values
