"""LightGBM. Axes: D features, C classes, I inner nodes of a tree, L leaves of it (L = I + 1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from phalanx.core.specs import stacked
from phalanx.nn.models.boosted import BoostedSpec, Probabilities, package
from phalanx.nn.models.estimator import CLASS_WEIGHTS, balanced, unsound_nodes

END = "end of trees\n"  # what follows it, importances and parameters, is not needed to predict and not kept
NUMBER = r"-?(?:\d+(?:\.\d+)?(?:e[-+]?\d+)?|inf)"
NUMBERS = re.compile(rf"(?:{NUMBER}(?: {NUMBER})*)?")
WHOLE = re.compile(r"(?:-?\d{1,9}(?: -?\d{1,9})*)?")
RANGES = re.compile(rf"(?:none|\[{NUMBER}:{NUMBER}\])(?: (?:none|\[{NUMBER}:{NUMBER}\]))*")
OF_INNER = ("split_feature", "decision_type", "left_child", "right_child", "internal_count")  # whole numbers (I,)
OF_LEAVES = ("leaf_value", "leaf_weight", "leaf_count")
FIELDS = (
    "num_leaves", "num_cat", "split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child",
    "leaf_value", "leaf_weight", "leaf_count", "internal_value", "internal_weight", "internal_count", "is_linear",
    "shrinkage",
)  # fmt: skip
DECISIONS = (0, 2, 4, 6, 8, 10)  # of numbers, with any default direction and any kind of missing values
MOST_LEAVES = 10_000  # LightGBM walks through a tree by recursion when it reads one


@dataclass(frozen=True, kw_only=True)
class LightGBM(BoostedSpec):
    """Boosted trees of LightGBM: `lightgbm.LGBMClassifier`, with one thread and `deterministic`.

    Its seed changes nothing up to 200,000 rows, unless `colsample_bytree` is below 1.
    """

    name: ClassVar[str] = "lightgbm"
    distribution: ClassVar[str] = "lightgbm"
    library: ClassVar[str] = "LightGBM"
    n_estimators: int = stacked(100, ge=1)  # trees a class, one for two classes
    num_leaves: int = stacked(31, ge=2, le=MOST_LEAVES)
    learning_rate: float = stacked(0.1, gt=0)
    max_depth: int | None = stacked(None, ge=1)
    min_child_samples: int = stacked(20, ge=1)
    colsample_bytree: float = stacked(1.0, gt=0, le=1)  # the share of the columns that each tree draws
    reg_lambda: float = stacked(0.0, ge=0)
    class_weight: str = stacked("none", choices=tuple(CLASS_WEIGHTS))

    def new(self, seed: int) -> Any:
        """See `EstimatorSpec.new`."""
        return package(self).LGBMClassifier(
            n_estimators=self.n_estimators, num_leaves=self.num_leaves, learning_rate=self.learning_rate,
            max_depth=-1 if self.max_depth is None else self.max_depth, min_child_samples=self.min_child_samples,
            colsample_bytree=self.colsample_bytree, reg_lambda=self.reg_lambda,
            class_weight=balanced(self.class_weight), random_state=seed, n_jobs=1, verbosity=-1, deterministic=True,
            force_row_wise=True,
        )  # fmt: skip

    def written(self, estimator: Any) -> bytes:
        """See `BoostedSpec.written`: LightGBM's text, up to its last tree."""
        text: str = estimator.booster_.model_to_string(importance_type="split")
        return (text[: text.index(END)] + END).encode("ascii")

    def read(self, content: bytes, n_features: int, n_classes: int) -> tuple[Probabilities, int]:
        """See `BoostedSpec.read`. LightGBM itself checks little: wrong numbers end the process or read other memory."""
        n_nodes = self._check(content.decode("ascii"), n_features, n_classes)
        booster = package(self).Booster(model_str=content.decode("ascii"))
        return lambda x_ND: booster.predict(x_ND, num_threads=1), n_nodes

    def _check(self, text: str, n_features: int, n_classes: int) -> int:
        """The number of nodes of all trees. Raises `ValueError` if the text is not sound."""
        head, _, trees = text.partition("\n\n")
        sizes = _check_head(head, n_features, n_classes)
        a_round = 1 if n_classes == 2 else n_classes
        if not 1 <= len(sizes) <= self.n_estimators * a_round or len(sizes) % a_round:
            raise ValueError(f"it has {len(sizes)} trees")
        start = n_nodes = 0
        for place, size in enumerate(sizes):
            n_leaves = _check_tree(trees[start : start + size], place, n_features)
            if n_leaves > self.num_leaves:
                raise ValueError(f"tree {place} has {n_leaves} leaves, more than {self.num_leaves}")
            start, n_nodes = start + size, n_nodes + 2 * n_leaves - 1
        if trees[start:] != END:
            raise ValueError("its trees do not end where it says")
        return n_nodes


def _check_head(head: str, n_features: int, n_classes: int) -> list[int]:
    """The sizes of the trees, in characters. Raises `ValueError` if the lines above the trees are not as LightGBM's."""
    two = n_classes == 2
    lines, n_columns = head.split("\n"), 1 if two else n_classes
    expected = [
        "tree", "version=v4", f"num_class={n_columns}", f"num_tree_per_iteration={n_columns}", "label_index=0",
        f"max_feature_idx={n_features - 1}",
        "objective=" + ("binary sigmoid:1" if two else f"multiclass num_class:{n_classes}"),
        "feature_names=" + " ".join(f"Column_{place}" for place in range(n_features)),
    ]  # fmt: skip
    if odd := [line for line, given in zip(expected, lines, strict=False) if line != given]:
        raise ValueError(f"it does not say {odd[0][:60]}")
    rest = dict(line.partition("=")[::2] for line in lines[len(expected) :])
    if len(lines) != len(expected) + 2 or [*rest] != ["feature_infos", "tree_sizes"]:
        raise ValueError("the lines above its trees are not those of LightGBM")
    if not RANGES.fullmatch(rest["feature_infos"]) or rest["feature_infos"].count(" ") != n_features - 1:
        raise ValueError("it has other ranges of features than numbers")
    return _whole("tree_sizes", rest["tree_sizes"]).tolist()  # type: ignore[no-any-return]


def _check_tree(block: str, place: int, n_features: int) -> int:
    """The number of leaves of a tree. Raises `ValueError` if its lines or its nodes are not sound."""
    lines = block.split("\n")
    pairs = [line.partition("=") for line in lines[1:-3]]
    if lines[:1] != [f"Tree={place}"] or lines[-3:] != [""] * 3 or [pair[0] for pair in pairs] != [*FIELDS]:
        raise ValueError(f"the lines of tree {place} are not those of LightGBM")
    field = {name: value for name, _, value in pairs}
    if field["num_cat"] != "0" or field["is_linear"] != "0":
        raise ValueError(f"tree {place} splits by categories or has linear leaves")
    if not re.fullmatch(r"[1-9]\d{0,5}", field["num_leaves"]) or not re.fullmatch(NUMBER, field["shrinkage"]):
        raise ValueError(f"tree {place} has {field['num_leaves'][:20]} leaves")
    n_leaves = int(field["num_leaves"])
    for name in FIELDS[2:-2]:
        allowed = {n_leaves} if name in OF_LEAVES else {n_leaves - 1}
        if n_leaves == 1 and name in OF_LEAVES[1:]:
            allowed = {0, 1}
        value = field[name]
        if not NUMBERS.fullmatch(value) or (value.count(" ") + 1 if value else 0) not in allowed:
            raise ValueError(f"{name} of tree {place} is no row of as many numbers as it needs")
    inner = {name: _whole(name, field[name]) for name in OF_INNER}
    if not np.isin(inner["decision_type"], DECISIONS).all():
        raise ValueError(f"tree {place} has a kind of split that there is not")
    if n_leaves > 1 and _leaves_its_nodes(inner, n_leaves, n_features):
        raise ValueError(f"tree {place} has a node whose children or column do not exist")
    return n_leaves


def _leaves_its_nodes(inner: dict[str, np.ndarray], n_leaves: int, n_features: int) -> bool:
    """See `unsound_nodes`; here the leaves come after the inner nodes. In the file leaf 0 is child -1, leaf 1 is -2."""
    n_inner = n_leaves - 1
    padded = {name: np.pad(values_I, (0, n_leaves)) for name, values_I in inner.items()}
    children = [padded[name] for name in ("left_child", "right_child")]
    if any((child >= n_inner).any() for child in children):
        return True
    left, right = (np.where(child < 0, n_inner + ~child, child) for child in children)
    is_inner = np.arange(n_inner + n_leaves) < n_inner
    return unsound_nodes(left, right, padded["split_feature"], is_inner, n_features)


def _whole(name: str, value: str) -> np.ndarray:
    if not WHOLE.fullmatch(value):
        raise ValueError(f"{name} has other values than whole numbers")
    return np.array(value.split(), dtype=np.int64)
