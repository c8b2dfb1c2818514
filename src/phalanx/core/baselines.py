"""What is known of baselines without importing them: their names, and the config groups that mean nothing for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMES = ("hist_gradient_boosting", "logistic_regression", "majority", "nearest_neighbours", "random_forest")
SEEDLESS = tuple(name for name in NAMES if name != "random_forest")  # the same at every seed
UNUSED = ("loss", "optimizer", "schedule", "trainer")
FITTED = "whole, by scikit-learn"  # how a baseline trained, in `TrialResult.way`
NOTE = (
    "baselines are fitted whole by scikit-learn: loss, optimizer, schedule and trainer, but for trainer.metrics, mean "
    "nothing for them and are left out of their config digest; only random_forest depends on the seed"
)


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
