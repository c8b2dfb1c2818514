"""What is known of baselines without importing them: their names, and the config groups that mean nothing for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Of baselines that need a package more, the names under which pip installs it.
PACKAGES = {"catboost": ("catboost",), "lightgbm": ("lightgbm",), "xgboost": ("xgboost", "xgboost-cpu")}
NAMES = (
    "catboost", "hist_gradient_boosting", "lightgbm", "logistic_regression", "majority", "nearest_neighbours",
    "random_forest", "xgboost",
)  # fmt: skip
SEEDLESS = tuple(name for name in NAMES if name not in ("random_forest", *PACKAGES))  # the same at every seed
# The same at every seed where these keys are 1.
DRAWS = {"lightgbm": ("colsample_bytree",), "xgboost": ("subsample", "colsample_bytree")}
UNUSED = ("loss", "optimizer", "schedule", "trainer")
FITTED = "whole, not by epochs"  # how a baseline trained, in `TrialResult.way`
NOTE = (
    "baselines are fitted whole, not by epochs: loss, optimizer, schedule and trainer, but for trainer.metrics, mean "
    "nothing for them and are left out of their config digest; most do not depend on the seed"
)


def seedless(config: Mapping[str, Any]) -> bool:
    """Whether a flat configuration is that of a baseline that is the same at every seed.

    Examples:
        >>> from phalanx.core.baselines import seedless
        >>> seedless({"model.name": "majority"}), seedless({"model.name": "random_forest"})
        (True, False)
    """
    name = config.get("model.name")
    return name in SEEDLESS or (name in DRAWS and all(config.get(f"model.{key}") == 1 for key in DRAWS[name]))


def without_unused(config: Mapping[str, Any]) -> dict[str, Any]:
    """A flat configuration (`model.name: majority`) without the keys that mean nothing for its model.

    Examples:
        >>> from phalanx.core.baselines import without_unused
        >>> without_unused({"model.name": "majority", "loss.name": "mse", "seed": 0})
        {'model.name': 'majority', 'seed': 0}
        >>> without_unused({"model.name": "mlp", "loss.name": "mse"})
        {'model.name': 'mlp', 'loss.name': 'mse'}
    """
    unused = UNUSED if config.get("model.name") in NAMES else ()
    return {key: value for key, value in config.items() if key.partition(".")[0] not in unused}
