"""CatBoost. Axes: D features, C classes, K scores of a leaf (one for two classes, else C)."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from phalanx.core.errors import RequestError
from phalanx.core.specs import stacked
from phalanx.nn.models.boosted import BoostedSpec, Probabilities, numbers, package, strict_json

PARTS = ("features_info", "oblivious_trees", "scale_and_bias")  # of CatBoost's JSON, what its predictions need
FILE = "model.json"
AUTO = ("none", "Balanced", "SqrtBalanced")


@dataclass(frozen=True, kw_only=True)
class CatBoost(BoostedSpec):
    """Boosted symmetric trees of CatBoost: `catboost.CatBoostClassifier`, with one thread."""

    name: ClassVar[str] = "catboost"
    distribution: ClassVar[str] = "catboost"
    library: ClassVar[str] = "CatBoost"
    iterations: int = stacked(1000, ge=1)  # trees, each with the scores of all classes
    depth: int = stacked(6, ge=1, le=16)
    learning_rate: float | None = stacked(None, gt=0)  # null: derived from the numbers of rows and iterations
    l2_leaf_reg: float | None = stacked(None, ge=0)  # null: 3; CatBoost derives no learning rate where it is given
    random_strength: float = stacked(1.0, ge=0)  # how much chance there is in the choice of a split
    auto_class_weights: str = stacked("none", choices=AUTO)

    def new(self, seed: int) -> Any:
        """See `EstimatorSpec.new`."""
        return package(self).CatBoostClassifier(
            iterations=self.iterations, depth=self.depth, learning_rate=self.learning_rate,
            l2_leaf_reg=self.l2_leaf_reg, random_strength=self.random_strength,
            auto_class_weights=None if self.auto_class_weights == "none" else self.auto_class_weights,
            random_seed=seed, thread_count=1, verbose=False, allow_writing_files=False,
        )  # fmt: skip

    def train(self, x_ND: Tensor, y_N: Tensor, seed: int) -> tuple[Any, list[str]]:
        """See `EstimatorSpec.train`. Raises `RequestError` for rows that CatBoost refuses."""
        try:
            return super().train(x_ND, y_N, seed)
        except package(self).CatBoostError as error:
            why = str(error).rpartition(": ")[2]
            raise RequestError(f"model=catboost cannot be fitted to these rows: {why}") from error

    def written(self, estimator: Any) -> bytes:
        """See `BoostedSpec.written`: of CatBoost's JSON, the parts that its predictions need."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, FILE)
            estimator.save_model(str(file), format="json")
            model = strict_json(file.read_bytes())
        return json.dumps({name: model[name] for name in PARTS}, separators=(",", ":")).encode("ascii")

    def read(self, content: bytes, n_features: int, n_classes: int) -> tuple[Probabilities, int]:
        """See `BoostedSpec.read`. CatBoost gets JSON that is made of what was checked."""
        n_scores = 1 if n_classes == 2 else n_classes
        model, n_nodes = self._checked(strict_json(content), n_features, n_scores)
        booster = package(self).CatBoost()
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, FILE)
            file.write_text(json.dumps(model, allow_nan=False))
            booster.load_model(str(file), format="json")

        def probabilities(x_ND: np.ndarray) -> np.ndarray:
            from scipy.special import expit, softmax

            scores = np.asarray(booster.predict(x_ND, prediction_type="RawFormulaVal", thread_count=1))
            found: np.ndarray = expit(scores) if n_scores == 1 else softmax(scores, axis=1)
            return found

        return probabilities, n_nodes

    def _checked(self, given: Any, n_features: int, n_scores: int) -> tuple[dict[str, Any], int]:
        """The model anew, of its numbers that have been checked, and its nodes. Raises where one is not sound."""
        features, trees = given["features_info"]["float_features"], given["oblivious_trees"]
        if [*given["features_info"]] != ["float_features"] or len(features) != n_features:
            raise ValueError(f"it has other columns than {n_features} of numbers")
        if not isinstance(trees, list) or not 1 <= len(trees) <= self.iterations:
            raise ValueError(f"it has {len(trees)} trees")
        scale, bias = given["scale_and_bias"]
        borders = [_borders(feature, place) for place, feature in enumerate(features)]
        checked = [_checked_tree(tree, place, borders, n_scores, self.depth) for place, tree in enumerate(trees)]
        columns = [
            {
                "borders": found, "feature_id": "", "feature_index": place, "flat_feature_index": place,
                "has_nans": False, "nan_value_treatment": "AsIs",
            }
            for place, found in enumerate(borders)
        ]  # fmt: skip
        model = {
            "features_info": {"float_features": columns},
            "oblivious_trees": checked,
            "scale_and_bias": [
                numbers([scale], 1, "scale").tolist()[0], numbers(bias, n_scores, "bias").tolist(),
            ],
        }  # fmt: skip
        return model, sum(2 ** (len(tree["splits"]) + 1) - 1 for tree in checked)


def _borders(feature: Any, place: int) -> list[float]:
    """The numbers that splits compare a column with. Raises `ValueError` if they are not sound."""
    borders = numbers(feature["borders"], len(feature["borders"]), f"borders of column {place}")
    if feature["flat_feature_index"] != place or feature["has_nans"] is not False or (np.diff(borders) <= 0).any():
        raise ValueError(f"column {place} is another one, or its borders are not in order")
    return borders.tolist()  # type: ignore[no-any-return]


def _checked_tree(
    tree: Any, place: int, borders: Sequence[Sequence[float]], n_scores: int, depth: int
) -> dict[str, Any]:
    """A tree anew. Raises `ValueError` if it is none, is deeper than `depth`, or has splits that are in no column."""
    splits, starts = tree["splits"] or [], np.cumsum([0, *map(len, borders)]).tolist()
    if not isinstance(splits, list) or len(splits) > depth:
        raise ValueError(f"tree {place} is deeper than {depth}")
    anew = []
    for split in splits:
        (column,) = numbers([split["float_feature_index"]], 1, f"column of tree {place}", whole=True).tolist()
        if split["split_type"] != "FloatFeature" or not 0 <= column < len(borders):
            raise ValueError(f"tree {place} splits by a column that there is not")
        if split["border"] not in borders[column]:
            raise ValueError(f"tree {place} splits at a number that is none of its column's borders")
        anew.append({
            "border": split["border"], "float_feature_index": column, "split_type": "FloatFeature",
            "split_index": starts[column] + borders[column].index(split["border"]),
        })  # fmt: skip
    n_leaves = 2 ** len(splits)
    values = numbers(tree["leaf_values"], n_leaves * n_scores, f"leaf_values of tree {place}")
    weights = numbers(tree["leaf_weights"], n_leaves, f"leaf_weights of tree {place}")
    return {"leaf_values": values.tolist(), "leaf_weights": weights.tolist(), "splits": anew}
