"""The predictions of a trained network on one split. Axes: N samples, D features, C classes."""

from dataclasses import dataclass

import numpy as np
import torch

from phalanx.core.result import TrialResult
from phalanx.data import Dataset
from phalanx.nn.losses.functional import SCORES
from phalanx.nn.models.base import InputShape
from phalanx.runs.model_file import saved_logits
from phalanx.training.spec import TrialSpec


@dataclass(frozen=True)
class Predicted:
    """One split with its predictions."""

    split: str  # "test" or "validation"
    classes: tuple[str, ...]
    y_N: np.ndarray  # true class
    predicted_N: np.ndarray  # class with the largest logit, as the metrics count it
    p_NC: np.ndarray  # probabilities
    x_ND: np.ndarray  # encoded features
    image_shape: tuple[int, int] | None = None  # height, width
    rows_N: np.ndarray | None = None  # the row of each sample in its source, from 0; None where that is not known
    official: bool = False  # whether the rows are those of the source's own test split


def predict_split(spec: TrialSpec, dataset: Dataset, result: TrialResult) -> Predicted:
    """Predicts the test split, or the validation split if training did not read the test split.

    Args:
        spec: What was trained.
        dataset: Its data.
        result: Its result, with weights.
    """
    name = "validation" if result.metrics.test_loss is None else "test"
    split = (dataset.val if name == "validation" else dataset.test).to("cpu")
    model = spec.model.bound(InputShape(*dataset.sizes))
    logits_NC = saved_logits(model, result.weights or {}, split.x_ND, dataset.n_classes)
    return Predicted(
        split=name,
        classes=dataset.classes,
        y_N=split.y_N.numpy(),
        predicted_N=logits_NC.argmax(-1).numpy(),
        p_NC=torch.softmax(SCORES[spec.loss.probabilities](logits_NC), -1).nan_to_num(nan=0.0).numpy(),
        x_ND=split.x_ND.numpy(),
        image_shape=dataset.image_shape,
        rows_N=dataset.row_numbers.get("val" if name == "validation" else "test"),
        official=name == "test" and dataset.official_test,
    )
