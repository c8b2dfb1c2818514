"""`model.safetensors`: the weights, and all that is needed to rebuild the network and to predict.

A safetensors file holds tensors and text and no code, so a model from an unknown source is safe to load.
Axes: N rows, D features, H hidden units, C classes, P parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from phalanx.core.errors import RunFolderError
from phalanx.core.result import TrialResult
from phalanx.data.base import Dataset
from phalanx.data.encoders import Features, features_from_json
from phalanx.nn.losses.functional import SCORES
from phalanx.nn.models import MODELS, Layout, ModelSpec
from phalanx.runs.layout import RunPaths
from phalanx.runs.tensor_file import read_tensors, write_tensors
from phalanx.training.evaluation import logits
from phalanx.training.spec import TrialSpec

FORMAT = 1
_CHUNK_ROWS = 4096  # rows whose activations are in memory at once


@dataclass(frozen=True)
class SavedModel:
    """A trained network with its encoder."""

    model: ModelSpec
    features: Features
    classes: tuple[str, ...]
    weights: dict[str, torch.Tensor]
    n_features: int
    data: str
    image_shape: tuple[int, int] | None
    max_pixel: float = 255.0  # the grey level of white, in rows of images
    probabilities: str = "softmax"  # how logits become scores before the softmax: a key of `SCORES`

    def predict(self, rows: Any) -> np.ndarray:
        """Class probabilities, float32 (N, C), for rows as the data source has them: an array (N, D) or a table."""
        x_ND = torch.from_numpy(self.features.transform(rows))
        logits_NC = saved_logits(self.model, self.weights, x_ND, len(self.classes))
        probabilities_NC: np.ndarray = torch.softmax(SCORES[self.probabilities](logits_NC), -1).numpy()
        return probabilities_NC


def saved_logits(
    model: ModelSpec, weights: Mapping[str, torch.Tensor], x_ND: torch.Tensor, n_classes: int
) -> torch.Tensor:
    """Computes the logits of one network on the CPU.

    Args:
        model: The network's spec.
        weights: Its saved tensors by name.
        x_ND: Encoded features (N, D).
        n_classes: The number of classes.

    Returns:
        Logits (N, C).
    """
    layout, params_1P = _stacked(model, weights, x_ND.shape[1], n_classes)
    return torch.cat([logits(model, layout, params_1P, x_BD)[0] for x_BD in torch.split(x_ND, _CHUNK_ROWS)])


def saved_hidden(
    model: ModelSpec, weights: Mapping[str, torch.Tensor], x_ND: torch.Tensor, n_classes: int
) -> list[torch.Tensor]:
    """Computes the outputs (N, H) of each hidden layer of one network; the arguments are those of `saved_logits`."""
    layout, params_1P = _stacked(model, weights, x_ND.shape[1], n_classes)
    return [outputs_1NH[0] for outputs_1NH in model.hidden_outputs(layout.views(params_1P), x_ND[None])]


def _stacked(
    model: ModelSpec, weights: Mapping[str, torch.Tensor], n_features: int, n_classes: int
) -> tuple[Layout, torch.Tensor]:
    """The saved tensors as a stack (1, P) of one trial."""
    layout = model.layout(n_features, n_classes)
    return layout, torch.cat([weights[name].reshape(-1) for name in layout.names])[None]


def save_model(path: Path, spec: TrialSpec, dataset: Dataset, result: TrialResult) -> None:
    """Writes the weights of a result atomically; without weights nothing is written.

    Args:
        path: The file.
        spec: The trial that was trained.
        dataset: The data that it was trained on.
        result: What the training returned.
    """
    if result.weights is None:
        return
    about = {
        "format": FORMAT,
        "model": {"name": spec.model.name, **{f.name: getattr(spec.model, f.name) for f in fields(spec.model)}},
        "output": spec.loss.output,
        "probabilities": spec.loss.probabilities,
        "classes": dataset.classes,
        "features": dataset.features.to_json(),
        "n_features": dataset.n_features,
        "image_shape": dataset.image_shape,
        "data": dataset.name,
        "white": spec.data.max_pixel,
        "config_digest": result.config_digest,
        "data_digest": result.data_digest,
    }
    write_tensors(path, result.weights, about)


def load_model(path: Path | str) -> SavedModel:
    """The model in a run folder or a `.safetensors` file. Raises `RunFolderError` if there is none or it is damaged."""
    path = Path(path)
    is_file = path.suffix == ".safetensors" and not path.is_dir()
    file = path.resolve() if is_file else RunPaths(path).check().model  # a link that was typed is followed
    if not file.exists():
        why = "this run kept no weights (see tracking.keep)" if path.is_dir() else "give a run folder or its model file"
        raise RunFolderError(f"{file} does not exist: {why}")
    about, weights = read_tensors(file)
    if about.get("format") != FORMAT:
        raise RunFolderError(f"{file} has format {about.get('format')!r}, this version of Phalanx reads {FORMAT}")
    try:
        return _rebuild(about, weights)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise RunFolderError(f"{file} describes a network that this version cannot build: {reason}") from error


def _rebuild(about: dict[str, Any], weights: dict[str, torch.Tensor]) -> SavedModel:
    """Raises `KeyError`, `TypeError`, `ValueError` or `AttributeError` if parts are missing or do not fit."""
    options = dict(about["model"])
    saved = SavedModel(
        model=MODELS[options.pop("name")](**options),
        features=features_from_json(about["features"]),
        classes=tuple(about["classes"]),
        weights=weights,
        n_features=about["n_features"],
        data=about["data"],
        image_shape=tuple(about["image_shape"]) if about["image_shape"] else None,
        max_pixel=about["white"],
        probabilities=about.get("probabilities", "softmax"),
    )
    SCORES[saved.probabilities]  # raises for one of a later version
    layout = saved.model.layout(saved.n_features, len(saved.classes))
    expected = dict(zip(layout.names, layout.shapes, strict=True))
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    odd = [name for name in sorted(expected | found) if expected.get(name) != found.get(name)]
    if odd:
        raise ValueError("; ".join(f"{n} must have the shape {expected.get(n)}, got {found.get(n)}" for n in odd))
    types = {name: tensor.dtype for name, tensor in weights.items() if tensor.dtype != torch.float32}
    if types:
        raise ValueError("; ".join(f"{name} must be float32, got {dtype}" for name, dtype in types.items()))
    if saved.features.n_features != saved.n_features:
        given = saved.features.n_features
        raise ValueError(f"its encoder gives {given} features, the network takes {saved.n_features}")
    return saved
