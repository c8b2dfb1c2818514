"""`model.safetensors`: the weights, and all that is needed to rebuild the network and to predict.

A safetensors file holds tensors and text and no code, so a model from an unknown source is safe to load.
Axes: N rows, D features, H hidden units, C classes, P parameters.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from phalanx.core.errors import DataError, RequestError, RunFolderError
from phalanx.core.extensions import CODE, SIBLINGS, SOURCE, find_extension
from phalanx.core.result import TrialResult
from phalanx.core.specs import keys_of
from phalanx.data.base import Dataset
from phalanx.data.encoders import Features, features_from_json
from phalanx.data.images import ImageForm
from phalanx.data.table_encoder import TableFeatures
from phalanx.nn.losses.functional import SCORES
from phalanx.nn.models import MODELS, Layout, ModelSpec
from phalanx.nn.models.base import InputShape
from phalanx.nn.models.estimator import EstimatorSpec
from phalanx.runs.ensemble_file import ENSEMBLE, SavedEnsemble, rebuild_ensemble
from phalanx.runs.input_rows import array_rows, table_rows
from phalanx.runs.layout import RunPaths
from phalanx.runs.own_options import check_source
from phalanx.runs.tensor_file import read_tensors, write_tensors
from phalanx.training.evaluation import logits
from phalanx.training.spec import TrialSpec

FORMAT = 2  # since 2 a model of a table has how the table is read
CALIBRATED = 3  # as 2, with a temperature, which an earlier version must not overlook
READABLE = (1, 2, 3)
_CHUNK_ROWS = 512  # always as many at once, so that a row alone and among others has the same last bits


class OverflowingRows(DataError):
    """The network gives no finite number for some rows."""

    def __init__(self, rows: list[int]) -> None:
        super().__init__(f"the network overflows on {len(rows)} rows, first row {rows[0] + 1}")
        self.rows = rows  # from 0


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
    image_form: ImageForm | None = None  # of the image files that it was trained on
    probabilities: str = "softmax"  # how logits become scores before the softmax: a key of `SCORES`
    temperature: float = 1.0  # by which the scores are divided: see `phalanx calibrate`

    def predict(self, rows: Any) -> np.ndarray:
        """Class probabilities, float32 (N, C), for rows as the data source has them.

        Args:
            rows: For a model of arrays what `array_rows` takes: arrays, tensors, lists, tables. For a model of tables
                what `table_rows` takes.

        Raises:
            DataError: The rows do not fit; the message names row and column.
            OverflowingRows: The network overflows.
        """
        return self.predict_with_notes(rows)[0]

    def predict_with_notes(self, rows: Any) -> tuple[np.ndarray, list[str]]:
        """Class probabilities as of `predict`, and what training never had in the rows."""
        if isinstance(self.features, TableFeatures):
            table = table_rows(rows, self.features)
            x_ND, notes = table.encoded(), table.notes()
        else:
            array = array_rows(rows, self.n_features, self.image_shape)
            x_ND, notes = self.features.transform(array), self.features.notes(array)
        probabilities_NC: np.ndarray = self.probabilities_of(self.logits(torch.from_numpy(x_ND))).numpy()
        broken = np.flatnonzero(~np.isfinite(probabilities_NC).all(1))
        if len(broken):
            raise OverflowingRows(broken.tolist())
        return probabilities_NC, notes

    def logits(self, x_ND: torch.Tensor) -> torch.Tensor:
        """The logits (N, C) of encoded features (N, D)."""
        return saved_logits(self.model, self.weights, x_ND, len(self.classes))

    def probabilities_of(self, logits_NC: torch.Tensor) -> torch.Tensor:
        """The calibrated class probabilities (N, C) of logits; NaN in rows of which one is not finite."""
        return torch.softmax(SCORES[self.probabilities](logits_NC) / self.temperature, -1)


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
    if isinstance(model, EstimatorSpec):
        return model.logits(weights, x_ND, n_classes)
    layout, params_1P = _stacked(model, weights, x_ND.shape[1], n_classes)
    n_rows = len(x_ND)
    padded_ND = torch.nn.functional.pad(x_ND, (0, 0, 0, -n_rows % _CHUNK_ROWS))
    chunks = [logits(model, layout, params_1P, x_BD)[0] for x_BD in torch.split(padded_ND, _CHUNK_ROWS)]
    return torch.cat(chunks)[:n_rows]


def saved_hidden(
    model: ModelSpec, weights: Mapping[str, torch.Tensor], x_ND: torch.Tensor, n_classes: int
) -> list[torch.Tensor]:
    """Computes the outputs (N, H) of each hidden layer of one network; the arguments are those of `saved_logits`."""
    if isinstance(model, EstimatorSpec):
        return []
    layout, params_1P = _stacked(model, weights, x_ND.shape[1], n_classes)
    return [outputs_1NH[0] for outputs_1NH in model.hidden_outputs(layout.views(params_1P), x_ND[None])]


def _stacked(
    model: ModelSpec, weights: Mapping[str, torch.Tensor], n_features: int, n_classes: int
) -> tuple[Layout, torch.Tensor]:
    """The saved tensors as a stack (1, P) of one trial."""
    layout = model.layout(n_features, n_classes)
    return layout, layout.row(weights)[None]


def save_model(path: Path, spec: TrialSpec, dataset: Dataset, result: TrialResult) -> None:
    """Writes the weights of a result atomically; without weights nothing is written.

    Args:
        path: The file.
        spec: The trial that was trained.
        dataset: The data that it was trained on.
        result: What the training returned.
    """
    if result.weights is not None:
        write_tensors(path, result.weights, model_entries(spec, dataset, result))


def model_entries(spec: TrialSpec, dataset: Dataset, result: TrialResult) -> dict[str, Any]:
    """What a model file says beside the weights, as JSON's types; the arguments are those of `save_model`."""
    about: dict[str, Any] = {
        "format": FORMAT,
        "model": {"name": spec.model.name, **{f.name: getattr(spec.model, f.name) for f in keys_of(spec.model)}},
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
    if dataset.image_form is not None:
        about["image"] = asdict(dataset.image_form)
    if spec.data.source:  # for the record: the encoder is all that a prediction needs of a source
        about["data_source"] = spec.data.source
    if extension := find_extension(spec.model.config_group, spec.model.name):
        about |= {SOURCE: spec.model.source, CODE: extension.source.text}
        about |= {SIBLINGS: dict(extension.source.siblings)} if extension.source.siblings else {}
    return about


def set_temperature(file: Path, temperature: float) -> None:
    """Writes the temperature of a calibration into a model file, which keeps everything else.

    Args:
        file: The model file.
        temperature: By which the scores are divided, above 0; 1 for a model that is not calibrated.

    Raises:
        UnreadableFile: The file is damaged.
    """
    about, weights = read_tensors(file)
    changed = {**about, "format": CALIBRATED, "temperature": temperature}
    if changed != about:
        write_tensors(file, weights, changed)


def load_model(path: Path | str) -> SavedModel | SavedEnsemble:
    """The model in a run folder or a `.safetensors` file. Raises `RunFolderError` if there is none or it is damaged."""
    path = Path(path)
    is_file = path.suffix == ".safetensors" and not path.is_dir()
    file = path.resolve() if is_file else RunPaths(path).check().model  # a link that was typed is followed
    if not file.exists():
        why = "this run kept no weights (see tracking.keep)" if path.is_dir() else "give a run folder or its model file"
        raise RunFolderError(f"{file} does not exist: {why}")
    about, weights = read_tensors(file)
    if about.get("format") == ENSEMBLE:
        return rebuild_ensemble(about, weights, file, rebuild)
    return rebuild(about, weights, file)


def load_network(path: Path | str) -> SavedModel:
    """As `load_model`, for what needs a single network. Raises `RunFolderError` for an ensemble."""
    found = load_model(path)
    if isinstance(found, SavedEnsemble):
        raise RunFolderError(
            f"{path} is an ensemble of {len(found.members)} networks, and this needs a single one; give the folder "
            "of a run or a trial"
        )
    return found


def rebuild(about: dict[str, Any], weights: dict[str, torch.Tensor], file: Path) -> SavedModel:
    """The network of a model file's content.

    Args:
        about: What the file says of it.
        weights: Its tensors by name.
        file: The file, for messages.

    Raises:
        RunFolderError: It is of a later version or damaged, or its network is not loaded.
    """
    if about.get("format") not in READABLE:
        known = " and ".join(map(str, (*READABLE, ENSEMBLE)))
        raise RunFolderError(f"{file} has format {about.get('format')!r}, this version of Phalanx reads {known}")
    try:
        check_source("model", about["model"]["name"], about.get(SOURCE), MODELS, str(file))
        return _rebuild(about, weights)
    except RunFolderError:
        raise
    except RequestError as error:
        raise RunFolderError(f"{file}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, LookupError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise RunFolderError(f"{file} describes a network that this version cannot build: {reason}") from error


def _rebuild(about: dict[str, Any], weights: dict[str, torch.Tensor]) -> SavedModel:
    """Raises `KeyError`, `TypeError`, `ValueError` or `AttributeError` if parts are missing or do not fit."""
    options = dict(about["model"])
    image_shape = tuple(about["image_shape"]) if about["image_shape"] else None
    shape = InputShape(about["n_features"], len(about["classes"]), image_shape)
    saved = SavedModel(
        model=MODELS[options.pop("name")](**options).bound(shape),
        features=features_from_json(about["features"]),
        classes=tuple(about["classes"]),
        weights=weights,
        n_features=about["n_features"],
        data=about["data"],
        image_shape=image_shape,
        max_pixel=about["white"],
        image_form=ImageForm(**about["image"]) if "image" in about else None,
        probabilities=about.get("probabilities", "softmax"),
        temperature=float(about.get("temperature", 1.0)),
    )
    if not 0 < saved.temperature < math.inf:
        raise ValueError(f"its temperature must be a number above 0, got {saved.temperature}")
    SCORES[saved.probabilities]  # raises for one of a later version
    if isinstance(saved.model, EstimatorSpec):
        saved.model.fitted(weights, saved.n_features, len(saved.classes))  # raises for a state that is not sound
    else:
        _check_tensors(saved)
    if saved.image_form is not None and saved.image_form.n_numbers != saved.n_features:
        raise ValueError(f"its images have {saved.image_form.n_numbers} numbers, the network takes {saved.n_features}")
    if saved.features.n_features != saved.n_features:
        given = saved.features.n_features
        raise ValueError(f"its encoder gives {given} features, the network takes {saved.n_features}")
    return saved


def _check_tensors(saved: SavedModel) -> None:
    """Raises `ValueError` if the tensors are not those of the network."""
    layout, weights = saved.model.layout(saved.n_features, len(saved.classes)), saved.weights
    expected = dict(zip(layout.names, layout.shapes, strict=True))
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    odd = [name for name in sorted(expected | found) if expected.get(name) != found.get(name)]
    if odd:
        raise ValueError("; ".join(f"{n} must have the shape {expected.get(n)}, got {found.get(n)}" for n in odd))
    dtypes = {name: layout.dtype(place) for place, name in enumerate(layout.names)}
    types = [
        f"{name} must be {str(dtype).removeprefix('torch.')}, got {weights[name].dtype}"
        for name, dtype in dtypes.items()
        if weights[name].dtype != dtype
    ]
    if types:
        raise ValueError("; ".join(types))
