"""What a trained network says about one split of its data. Axes: N samples, D features, C classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from phalanx.core.result import TrialResult
from phalanx.data import Dataset
from phalanx.nn.losses.functional import SCORES
from phalanx.runs.model_file import saved_logits
from phalanx.training.spec import TrialSpec


@dataclass(frozen=True)
class Predicted:
    """One split with its predictions. `predicted_N` is the class of the largest logit, as in the metrics."""

    split: str  # "test" or "validation"
    classes: tuple[str, ...]
    y_N: np.ndarray
    predicted_N: np.ndarray
    p_NC: np.ndarray
    x_ND: np.ndarray
    image_shape: tuple[int, int] | None = None

    @property
    def wrong_N(self) -> np.ndarray:
        return self.predicted_N != self.y_N


def predict_split(spec: TrialSpec, dataset: Dataset, result: TrialResult) -> Predicted:
    """Predictions on the test split, or on the validation split where training left the test split unread.

    `result.weights` must be there.
    """
    name = "validation" if result.metrics.test_loss is None else "test"
    split = (dataset.val if name == "validation" else dataset.test).to("cpu")
    logits_NC = saved_logits(spec.model, result.weights or {}, split.x_ND, dataset.n_classes)
    return Predicted(
        split=name,
        classes=dataset.classes,
        y_N=split.y_N.numpy(),
        predicted_N=logits_NC.argmax(-1).numpy(),
        p_NC=torch.softmax(SCORES[spec.loss.probabilities](logits_NC), -1).nan_to_num(nan=0.0).numpy(),
        x_ND=split.x_ND.numpy(),
        image_shape=dataset.image_shape,
    )
