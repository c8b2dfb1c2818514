"""XGBoost. Axes: D features, C classes, T trees, M nodes of a tree."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from phalanx.core.specs import stacked
from phalanx.nn.models.boosted import BoostedSpec, Probabilities, numbers, package, strict_json
from phalanx.nn.models.estimator import unsound_nodes

NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
WHOLE = ("default_left", "left_children", "parents", "right_children", "split_indices", "split_type")  # of a node (M,)
REAL = ("base_weights", "loss_changes", "split_conditions", "sum_hessian")  # of a node (M,)
EMPTY = ("categories", "categories_nodes", "categories_segments", "categories_sizes")  # of splits by categories
NO_PARENT = 2**31 - 1  # of the first node
MOST_DEPTH = 64  # a tree of it is read by recursion


@dataclass(frozen=True, kw_only=True)
class XGBoost(BoostedSpec):
    """Boosted trees of XGBoost: `xgboost.XGBClassifier`, with one thread.

    Its seed changes nothing unless `subsample` or `colsample_bytree` is below 1.
    """

    name: ClassVar[str] = "xgboost"
    distribution: ClassVar[str] = "xgboost"
    library: ClassVar[str] = "XGBoost"
    n_estimators: int = stacked(100, ge=1)  # trees a class, one for two classes
    max_depth: int = stacked(6, ge=1, le=MOST_DEPTH)
    learning_rate: float = stacked(0.3, gt=0)
    min_child_weight: float = stacked(1.0, ge=0)  # the sum of second derivatives in a leaf
    subsample: float = stacked(1.0, gt=0, le=1)  # the share of the rows that each tree draws
    colsample_bytree: float = stacked(1.0, gt=0, le=1)  # the share of the columns that each tree draws
    reg_lambda: float = stacked(1.0, ge=0)

    def new(self, seed: int) -> Any:
        """See `EstimatorSpec.new`."""
        return package(self).XGBClassifier(
            n_estimators=self.n_estimators, max_depth=self.max_depth, learning_rate=self.learning_rate,
            min_child_weight=self.min_child_weight, subsample=self.subsample, colsample_bytree=self.colsample_bytree,
            reg_lambda=self.reg_lambda, tree_method="hist", random_state=seed, n_jobs=1, verbosity=0,
        )  # fmt: skip

    def written(self, estimator: Any) -> bytes:
        """See `BoostedSpec.written`: XGBoost's JSON."""
        return bytes(estimator.get_booster().save_raw("json"))

    def read(self, content: bytes, n_features: int, n_classes: int) -> tuple[Probabilities, int]:
        """See `BoostedSpec.read`. XGBoost checks little of a tree, so it gets JSON that is made of what was checked."""
        model, n_nodes = self._checked(strict_json(content), n_features, n_classes)
        booster = package(self).Booster({"nthread": 1, "verbosity": 0})
        booster.load_model(bytearray(json.dumps(model, allow_nan=False).encode("ascii")))
        booster.set_param({"nthread": 1})
        return booster.inplace_predict, n_nodes

    def _checked(self, given: Any, n_features: int, n_classes: int) -> tuple[dict[str, Any], int]:
        """The model anew, of its numbers that have been checked, and its nodes. Raises where one is not sound."""
        learner = given["learner"]
        booster, a_round = learner["gradient_booster"], 1 if n_classes == 2 else n_classes
        objective = _objective(n_classes)
        if (learner["objective"]["name"], booster["name"]) != (objective["name"], "gbtree"):
            raise ValueError(f"it is no classifier of {n_classes} classes by trees")
        if len(trees := booster["model"]["trees"]) > self.n_estimators * a_round or not trees or len(trees) % a_round:
            raise ValueError(f"it has {len(trees)} trees")
        base = learner["learner_model_param"]["base_score"]
        if not re.fullmatch(rf"{NUMBER}|\[{NUMBER}(?:,{NUMBER})*\]", base) or base.count(",") + 1 not in (1, a_round):
            raise ValueError("its base_score is no row of as many numbers as it needs")
        checked = [_checked_tree(tree, place, n_features, self.max_depth) for place, tree in enumerate(trees)]
        model = {
            "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(len(trees))},
            "iteration_indptr": [*range(0, len(trees) + 1, a_round)],
            "tree_info": [place % a_round for place in range(len(trees))],
            "trees": checked,
        }
        if "cats" in booster["model"]:  # which versions before 3.1 do not have
            model["cats"] = {"enc": [], "feature_segments": [], "sorted_idx": []}
        shape = {
            "base_score": base, "boost_from_average": "1", "num_class": str(0 if n_classes == 2 else n_classes),
            "num_feature": str(n_features), "num_target": "1",
        }  # fmt: skip
        anew = {
            "attributes": {}, "feature_names": [], "feature_types": [], "learner_model_param": shape,
            "gradient_booster": {"model": model, "name": "gbtree"}, "objective": objective,
        }  # fmt: skip
        version = numbers(given["version"], 3, "version", whole=True).tolist()
        return {"learner": anew, "version": version}, sum(len(tree["parents"]) for tree in checked)


def _objective(n_classes: int) -> dict[str, Any]:
    if n_classes == 2:
        return {"name": "binary:logistic", "reg_loss_param": {"scale_pos_weight": "1"}}
    return {"name": "multi:softprob", "softmax_multiclass_param": {"num_class": str(n_classes)}}


def _checked_tree(tree: Mapping[str, Any], place: int, n_features: int, max_depth: int) -> dict[str, Any]:
    """A tree anew. Raises `ValueError` if it is none, is deeper than `max_depth`, or looks at columns that are not."""
    n_nodes = len(tree["parents"])
    node = {name: numbers(tree[name], n_nodes, name, whole=True) for name in WHOLE}
    left_M, right_M, parents_M = (node[name] for name in ("left_children", "right_children", "parents"))
    inner_M = left_M != -1
    if node["split_type"].any() or any(tree[name] for name in EMPTY):
        raise ValueError(f"tree {place} splits by categories")
    if (
        unsound_nodes(left_M, right_M, node["split_indices"], inner_M, n_features)
        or (right_M[~inner_M] != -1).any()
        or sorted([*left_M[inner_M], *right_M[inner_M]]) != [*range(1, n_nodes)]
    ):
        raise ValueError(f"tree {place} has a node whose children or column do not exist")
    expected_M = np.full(n_nodes, NO_PARENT)
    expected_M[left_M[inner_M]] = expected_M[right_M[inner_M]] = np.flatnonzero(inner_M)
    depths = [0] * n_nodes
    for child, parent in enumerate(expected_M.tolist()[1:], start=1):
        depths[child] = depths[parent] + 1  # a parent comes before its children
    if (expected_M != parents_M).any() or max(depths) > max_depth:
        raise ValueError(f"tree {place} has nodes of other parents, or is deeper than {max_depth}")
    node["split_indices"] = np.where(inner_M, node["split_indices"], 0)
    node["default_left"] = (node["default_left"] != 0).astype(int)
    real = {name: numbers(tree[name], n_nodes, name).tolist() for name in REAL}
    about = {
        "num_deleted": "0", "num_feature": str(n_features), "num_nodes": str(n_nodes), "size_leaf_vector": "1",
    }  # fmt: skip
    return {
        **real, **{name: values_M.tolist() for name, values_M in node.items()}, **{name: [] for name in EMPTY},
        "id": place, "tree_param": about,
    }  # fmt: skip
