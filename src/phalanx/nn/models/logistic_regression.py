"""Logistic regression. Axes: D features, C classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from phalanx.core.errors import Fault
from phalanx.core.specs import stacked
from phalanx.nn.models.estimator import CLASS_WEIGHTS, EstimatorSpec, balanced


@dataclass(frozen=True, kw_only=True)
class LogisticRegression(EstimatorSpec):
    """A linear classifier, multinomial, with an L2 penalty: `sklearn.linear_model.LogisticRegression`.

    It has one best solution, so its seed changes nothing.
    """

    name: ClassVar[str] = "logistic_regression"
    wide: ClassVar[bool] = True  # its optimizer converges sooner
    C: float = stacked(1.0, gt=0)  # the inverse strength of the penalty
    max_iter: int = stacked(1000, ge=1)  # at most so many iterations of L-BFGS
    class_weight: str = stacked("none", choices=tuple(CLASS_WEIGHTS))

    def new(self, seed: int) -> Any:
        """See `EstimatorSpec.new`."""
        from sklearn.linear_model import LogisticRegression as Estimator

        return Estimator(C=self.C, max_iter=self.max_iter, class_weight=balanced(self.class_weight), random_state=seed)

    def size(self, fitted: Any) -> int:
        """Weights (C, D), or (1, D) of two classes, and intercepts."""
        return int(fitted.coef_.size + fitted.intercept_.size)

    def faults(self, n_rows: int, n_classes: int) -> list[Fault | str]:
        """It needs two classes."""
        if n_classes > 1:
            return []
        return [Fault("model.name", self.name, "a model that can be fitted to rows of one class", "model=majority")]
