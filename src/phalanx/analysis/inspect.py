"""What a trained network looks like inside: shapes, counts, spread of weights and biases, dead ReLU units.

Axes: N samples, H units of a hidden layer.
"""

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from phalanx.core.errors import RequestError, RunFolderError, UnreadableFile
from phalanx.core.quantities import counted
from phalanx.data import Dataset
from phalanx.data.cache import dataset_of
from phalanx.nn.models.estimator import EstimatorSpec
from phalanx.runs.config import trial_spec
from phalanx.runs.config_file import read_values
from phalanx.runs.ensemble_file import SavedEnsemble
from phalanx.runs.layout import RunPaths
from phalanx.runs.metrics_csv import check_length
from phalanx.runs.model_file import SavedModel, load_model, saved_hidden
from phalanx.runs.stored_run import find_stored_run, read_stored_run
from phalanx.runs.trained_on import with_places
from phalanx.runs.used_run import used_run

BINS = 16
CHUNK_ROWS = 4096  # validation samples whose hidden outputs are held at once


@dataclass(frozen=True)
class TensorInfo:
    """One weight matrix or bias vector, in the layout of `torch.nn.Linear`. Numbers are over its finite values, None
    where it has none; `counts` are of `BINS` equal steps from `low` to `high`."""

    name: str
    shape: tuple[int, ...]
    count: int
    not_finite: int
    mean: float | None
    std: float | None  # over all values (n)
    low: float | None
    high: float | None
    counts: tuple[int, ...]
    values: np.ndarray  # the finite ones


@dataclass(frozen=True)
class HiddenLayer:
    """A hidden layer's units on the validation split: how many there are, and how many give 0 for every sample."""

    units: int
    dead: int


@dataclass(frozen=True)
class Inspection:
    """A network's tensors in order, its hidden layers where they were looked at, and what has to be said."""

    title: str
    tensors: tuple[TensorInfo, ...]
    hidden: tuple[HiddenLayer, ...]
    activation: str
    notes: tuple[str, ...]
    n_parameters: int  # trained numbers; the tensors hold a module's buffers too


def inspect_run(path: Path) -> tuple[Inspection, SavedModel | None, Dataset | None]:
    """The network in a run's folder or `.safetensors` file, or of a sweep's best trial, and its data where they are
    there; of an ensemble the tensors of all members, without a network.

    Raises `RunFolderError` where there is no network.
    """
    path, said = used_run(path)
    found, saved, dataset = _inspected(path)
    return replace(found, notes=(*said, *found.notes)), saved, dataset


def _inspected(path: Path) -> tuple[Inspection, SavedModel | None, Dataset | None]:
    """As `inspect_run`, of a run."""
    saved = load_model(path)
    if isinstance(saved, SavedEnsemble):
        return _inspect_ensemble(saved), None, None
    notes: list[str] = []
    dataset = _dataset(path, notes)
    _check_curve(path, notes)
    hidden: tuple[HiddenLayer, ...] = ()
    if isinstance(saved.model, EstimatorSpec):
        return _baseline(saved.model, saved), saved, dataset
    if dataset is not None:
        hidden = hidden_layers(saved, dataset.val.x_ND)
    activation = str(getattr(saved.model, "activation", ""))
    if hidden and activation != "relu":
        notes.append(f"dead units are told of relu alone; this network has {activation}")
    tensors = tuple(tensor_info(name, tensor) for name, tensor in in_order(saved).items())
    widths = (saved.n_features, *saved.model.hidden_widths, len(saved.classes))
    title = f"{saved.data}: {saved.model.name} {'-'.join(map(str, widths))} {saved.model.traits}".rstrip()
    n_parameters = saved.model.layout(saved.n_features, len(saved.classes)).n_trained
    return Inspection(title, tensors, hidden, activation, tuple(notes), n_parameters), saved, dataset


def _baseline(model: EstimatorSpec, saved: SavedModel) -> Inspection:
    """What can be said of a baseline, which has no layers."""
    fitted = model.fitted(saved.weights, saved.n_features, len(saved.classes))
    title = f"{saved.data}: {model.name} {saved.n_features}-{len(saved.classes)} {model.traits}".rstrip()
    notes = (f"model={model.name} is fitted by {model.library} and has no layers: see its options in the title",)
    return Inspection(title, (), (), "", notes, model.size(fitted))


def _inspect_ensemble(saved: SavedEnsemble) -> Inspection:
    """The tensors of all members, by the member's place from 0; of baselines, which have no layers, only their size."""
    members = list(enumerate(saved.members))
    networks = [(place, member) for place, member in members if not isinstance(member.model, EstimatorSpec)]
    own = {f"{place}.{name}": tensor for place, member in networks for name, tensor in member.weights.items()}
    tensors = tuple(tensor_info(name, tensor) for name, tensor in own.items())
    title = f"{saved.data}: ensemble of {counted(len(saved.members), 'network')}"
    weights = ", ".join(f"{weight:.3g}" for weight in saved.weights)
    note = f"class probabilities are the mean of the members' with the weights {weights}"
    sizes = [
        member.model.size(member.model.fitted(member.weights, member.n_features, len(member.classes)))
        for _, member in members
        if isinstance(member.model, EstimatorSpec)
    ]
    n_parameters = sum(tensor.count for tensor in tensors) + sum(sizes)
    return Inspection(title, tensors, (), "", (note,), n_parameters)


def in_order(saved: SavedModel) -> dict[str, torch.Tensor]:
    """The tensors in the order of the layers."""
    layout = saved.model.layout(saved.n_features, len(saved.classes))
    return {name: saved.weights[name] for name in layout.names}


def tensor_info(name: str, tensor: torch.Tensor) -> TensorInfo:
    """Statistics of one tensor."""
    numbers = tensor.detach().cpu().double().numpy().ravel()
    values = numbers[np.isfinite(numbers)]
    shape, count = tuple(tensor.shape), numbers.size
    if not values.size:
        return TensorInfo(name, shape, count, count, None, None, None, None, (0,) * BINS, values)
    counts, _ = np.histogram(values, BINS, (values.min(), values.max()))
    return TensorInfo(
        name, shape, count, count - values.size, float(values.mean()), float(values.std()), float(values.min()),
        float(values.max()), tuple(counts.tolist()), values,
    )  # fmt: skip


def hidden_layers(saved: SavedModel, x_ND: torch.Tensor) -> tuple[HiddenLayer, ...]:
    """Each hidden layer on these samples, which are encoded already; none for a family that does not show them."""
    silent: list[torch.Tensor] = []
    for x_BD in torch.split(x_ND.to("cpu"), CHUNK_ROWS):
        layers = saved_hidden(saved.model, saved.weights, x_BD, len(saved.classes))
        here = [(outputs_NH == 0).all(0) for outputs_NH in layers]
        silent = [a & b for a, b in zip(silent, here, strict=True)] if silent else here
    return tuple(HiddenLayer(len(dead_H), int(dead_H.sum())) for dead_H in silent)


def _dataset(path: Path, notes: list[str]) -> Dataset | None:
    """The data that the run was trained on; None, with a note, where they are not there any more."""
    paths = RunPaths(path)
    if not paths.config_resolved.exists():
        notes.append("without its run folder a model has no data, so hidden layers are not looked at")
        return None
    try:
        dataset = dataset_of(trial_spec(with_places(read_values(paths.config_resolved), path)).data)
    except RequestError as error:
        where = "" if isinstance(error, RunFolderError) else f" (by {paths.config_resolved})"
        notes.append(f"the data cannot be read{where}, so hidden layers are not looked at: {error}")
        return None
    try:
        stored = find_stored_run(path)
    except RunFolderError as error:
        notes.append(f"whether the data are those that were trained on is not known: {error}")
        stored = None
    if stored is not None and stored.data_digest not in (None, dataset.digest):
        notes.append(
            f"the data have changed since this run was trained: their digest was {stored.data_digest} and is "
            f"{dataset.digest} now"
        )
    return dataset if dataset.n_features else None


def _check_curve(path: Path, notes: list[str]) -> None:
    """Notes a `metrics.csv` with fewer epochs than were trained."""
    with contextlib.suppress(RunFolderError, FileNotFoundError, NotADirectoryError):
        n_rows = read_stored_run(path).n_rows
        try:
            check_length(RunPaths(path).metrics, n_rows)
        except UnreadableFile as error:
            notes.append(str(error))
