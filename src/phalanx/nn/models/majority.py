"""The baseline that knows the classes' shares alone. Axes: C classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from phalanx.nn.models.estimator import EstimatorSpec


@dataclass(frozen=True, kw_only=True)
class Majority(EstimatorSpec):
    """Predicts the most frequent class of the training rows, with the classes' shares of them as probabilities:
    `sklearn.dummy.DummyClassifier(strategy="prior")`. What no model should be worse than."""

    name: ClassVar[str] = "majority"

    def new(self, seed: int) -> Any:
        """See `EstimatorSpec.new`."""
        from sklearn.dummy import DummyClassifier

        return DummyClassifier(strategy="prior")

    def size(self, fitted: Any) -> int:
        """The shares (C,)."""
        return len(fitted.class_prior_)
