"""Gradient boosting over histograms. Axes: N nodes of a tree, D features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from phalanx.core.specs import stacked
from phalanx.nn.models.estimator import CLASS_WEIGHTS, EstimatorSpec, balanced, unsound_nodes


@dataclass(frozen=True, kw_only=True)
class HistGradientBoosting(EstimatorSpec):
    """Boosted trees over binned columns, as LightGBM: `sklearn.ensemble.HistGradientBoostingClassifier`.

    All training rows are used: nothing is held out to stop early. Up to 200,000 rows the seed changes nothing.
    """

    name: ClassVar[str] = "hist_gradient_boosting"
    trusted: ClassVar[tuple[str, ...]] = ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",)
    learning_rate: float = stacked(0.1, gt=0)
    max_iter: int = stacked(100, ge=1)  # trees a class
    max_leaf_nodes: int = stacked(31, ge=2)
    max_depth: int | None = stacked(None, ge=1)
    min_samples_leaf: int = stacked(20, ge=1)
    l2_regularization: float = stacked(0.0, ge=0)
    class_weight: str = stacked("none", choices=tuple(CLASS_WEIGHTS))

    def new(self, seed: int) -> Any:
        """See `EstimatorSpec.new`."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        return HistGradientBoostingClassifier(
            learning_rate=self.learning_rate, max_iter=self.max_iter, max_leaf_nodes=self.max_leaf_nodes,
            max_depth=self.max_depth, min_samples_leaf=self.min_samples_leaf,
            l2_regularization=self.l2_regularization, class_weight=balanced(self.class_weight),
            early_stopping=False, random_state=seed,
        )  # fmt: skip

    def size(self, fitted: Any) -> int:
        """The nodes of all trees, leaves among them."""
        return sum(len(tree.nodes) for trees in _trees(fitted) for tree in trees)

    def unsound(self, fitted: Any, n_features: int) -> str:
        """See `EstimatorSpec.unsound`: every tree walks in its own nodes, and none has a split by categories."""
        for place, tree in enumerate(tree for trees in _trees(fitted) for tree in trees):
            nodes, inner_N = tree.nodes, tree.nodes["is_leaf"] == 0
            left_N, right_N, feature_N = (nodes[name].astype("int64") for name in ("left", "right", "feature_idx"))
            if (inner_N & (nodes["is_categorical"] != 0)).any():
                return f"tree {place} splits by categories"
            if unsound_nodes(left_N, right_N, feature_N, inner_N, n_features):
                return f"tree {place} has a node whose children or column do not exist"
        return ""


def _trees(fitted: Any) -> Any:
    """The trees by iteration and class. scikit-learn has no public name for them."""
    return fitted._predictors
