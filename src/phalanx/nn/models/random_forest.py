"""Random forests. Axes: N nodes of a tree, D features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from phalanx.core.specs import stacked
from phalanx.nn.models.estimator import CLASS_WEIGHTS, EstimatorSpec, balanced, unsound_nodes


@dataclass(frozen=True, kw_only=True)
class RandomForest(EstimatorSpec):
    """A forest of decision trees on bootstrap samples: `sklearn.ensemble.RandomForestClassifier`."""

    name: ClassVar[str] = "random_forest"
    trusted: ClassVar[tuple[str, ...]] = ("sklearn.tree._tree.Tree",)  # arrays of nodes, which `unsound` looks at
    n_estimators: int = stacked(100, ge=1)
    max_depth: int | None = stacked(None, ge=1)  # null: until the leaves are pure
    min_samples_leaf: int = stacked(1, ge=1)
    max_features: str = stacked("sqrt", choices=("sqrt", "log2", "all"))  # columns that a split chooses from
    class_weight: str = stacked("none", choices=tuple(CLASS_WEIGHTS))

    def new(self, seed: int) -> Any:
        """See `EstimatorSpec.new`."""
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(
            self.n_estimators, max_depth=self.max_depth, min_samples_leaf=self.min_samples_leaf,
            max_features=None if self.max_features == "all" else self.max_features,
            class_weight=balanced(self.class_weight), n_jobs=1, random_state=seed,
        )  # fmt: skip

    def size(self, fitted: Any) -> int:
        """The nodes of all trees, leaves among them."""
        return sum(tree.tree_.node_count for tree in fitted.estimators_)

    def unsound(self, fitted: Any, n_features: int) -> str:
        """See `EstimatorSpec.unsound`: every tree is one, and walks in its own nodes."""
        from sklearn.tree import DecisionTreeClassifier

        for place, member in enumerate(fitted.estimators_):
            if type(member) is not DecisionTreeClassifier:
                return f"tree {place} is a {type(member).__name__}"
            tree = member.tree_
            if not 0 < tree.node_count <= tree.capacity or tree.n_features != n_features:
                return f"tree {place} has {tree.node_count} nodes and takes {tree.n_features} features"
            inner_N = tree.children_left != -1
            if unsound_nodes(tree.children_left, tree.children_right, tree.feature, inner_N, n_features):
                return f"tree {place} has a node whose children or column do not exist"
        return ""
