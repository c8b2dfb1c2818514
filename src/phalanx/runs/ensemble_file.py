"""`model.safetensors` of an ensemble: several networks, each with its encoder, and the weights of their probabilities.

Axes: K members, N rows, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from phalanx.core.errors import RunFolderError
from phalanx.data.table_encoder import DecodedTable
from phalanx.runs.tensor_file import write_tensors

if TYPE_CHECKING:
    from phalanx.data.encoders import Features
    from phalanx.data.images import ImageForm
    from phalanx.nn.models import ModelSpec

ENSEMBLE = 4  # the format of such a file
SHARED = ("classes", "n_features", "features", "image_shape", "data", "white", "image", "data_source", "data_digest",
          "model")  # fmt: skip
# of the first member, for what reads the entries of a model without its networks

Stored = tuple[Mapping[str, Any], Mapping[str, torch.Tensor]]  # the entries and the tensors of one model file
Tensors = dict[str, torch.Tensor]


class Member(Protocol):
    """What an ensemble needs of a network: `phalanx.runs.model_file.SavedModel`."""

    @property
    def model(self) -> ModelSpec: ...
    @property
    def features(self) -> Features: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def weights(self) -> Tensors: ...
    @property
    def n_features(self) -> int: ...
    @property
    def data(self) -> str: ...
    @property
    def image_shape(self) -> tuple[int, int] | None: ...
    @property
    def max_pixel(self) -> float: ...
    @property
    def image_form(self) -> ImageForm | None: ...
    def predict_with_notes(self, rows: Any) -> tuple[np.ndarray, list[str]]: ...


@dataclass(frozen=True)
class SavedEnsemble:
    """Trained networks that predict together: the weighted mean of their class probabilities.

    Attributes:
        members: K networks with the same classes.
        weights: Of each; above 0, their sum is 1.
    """

    members: tuple[Member, ...]
    weights: tuple[float, ...]

    @property
    def features(self) -> Features:
        """The encoder of the first member, which says what rows have to look like."""
        return self.members[0].features

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in their order."""
        return self.members[0].classes

    @property
    def n_features(self) -> int:
        """The numbers of a row, encoded."""
        return self.members[0].n_features

    @property
    def data(self) -> str:
        """The name of the data source."""
        return self.members[0].data

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """Height and width where rows are images."""
        return self.members[0].image_shape

    @property
    def image_form(self) -> ImageForm | None:
        """The form of the image files that the members were trained on."""
        return self.members[0].image_form

    @property
    def max_pixel(self) -> float:
        """The grey level of white."""
        return self.members[0].max_pixel

    def predict(self, rows: Any) -> np.ndarray:
        """Class probabilities, float32 (N, C), for rows as the data source has them; as `SavedModel.predict`."""
        return self.predict_with_notes(rows)[0]

    def predict_with_notes(self, rows: Any) -> tuple[np.ndarray, list[str]]:
        """Class probabilities as of `predict`, and what training never had in the rows."""
        p_KNC, notes = list[np.ndarray](), dict[str, None]()
        for member in self.members:
            p_NC, said = member.predict_with_notes(_for_member(rows, member))
            p_KNC.append(p_NC)
            notes |= dict.fromkeys(said)
        return weighted_mean(p_KNC, self.weights).astype(np.float32), list(notes)


def _for_member(rows: Any, member: Member) -> Any:
    """Rows that were decoded for another member with another encoder, as of another fold, are decoded again."""
    return rows.rows if isinstance(rows, DecodedTable) and rows.features != member.features else rows


def weighted_mean(p_KNC: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """The mean of class probabilities, float64 (N, C).

    Args:
        p_KNC: Of K members, (N, C) each.
        weights: Of each member; their sum is 1.
    """
    mean_NC = np.zeros(p_KNC[0].shape)
    for weight, p_NC in zip(weights, p_KNC, strict=True):
        mean_NC += weight * p_NC.astype(np.float64)
    return mean_NC


def save_ensemble(path: Path, members: Sequence[Stored], weights: Sequence[float], how: str) -> None:
    """Writes the model file of an ensemble atomically.

    Args:
        path: The file.
        members: The entries and the tensors of each network's model file.
        weights: Of each, above 0; they are divided by their sum.
        how: In which way the members were chosen, for the record.
    """
    first, total = members[0][0], math.fsum(weights)
    entries = [{key: value for key, value in about.items() if key != "data_source"} for about, _ in members]
    about = {
        "format": ENSEMBLE,
        **{key: first[key] for key in SHARED if key in first},
        "how": how,
        "weights": [weight / total for weight in weights],
        "members": entries,
    }
    tensors = {f"{place}.{name}": tensor for place, (_, own) in enumerate(members) for name, tensor in own.items()}
    write_tensors(path, tensors, about)


def rebuild_ensemble(
    about: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], file: Path,
    rebuild: Callable[[dict[str, Any], Tensors, Path], Member],
) -> SavedEnsemble:  # fmt: skip
    """The ensemble of a model file's content.

    Args:
        about: What the file says of its members.
        tensors: The tensors of all members, by the member's place, a dot and their name.
        file: The file, for messages.
        rebuild: Builds one network of its entries and tensors.

    Raises:
        RunFolderError: The file is damaged, or a member's network is not loaded.
    """
    try:
        entries, weights = [dict(entry) for entry in about["members"]], [float(weight) for weight in about["weights"]]
    except (KeyError, TypeError, ValueError) as error:
        raise RunFolderError(f"{file} is damaged: its members cannot be read ({error})") from error
    own: list[Tensors] = [{} for _ in entries]
    for name, tensor in tensors.items():
        place, _, rest = name.partition(".")
        if not place.isdecimal() or int(place) >= len(own):
            raise RunFolderError(f"{file} is damaged: the tensor {name} belongs to none of its {len(own)} members")
        own[int(place)][rest] = tensor
    sound = len(weights) == len(entries) and all(0 < weight < math.inf for weight in weights)
    if not entries or not sound or not math.isclose(math.fsum(weights), 1.0, rel_tol=1e-6):
        raise RunFolderError(
            f"{file} is damaged: it must have a weight above 0 for each of its {len(entries)} members, 1 in sum, got "
            f"{weights}"
        )
    members = [rebuild(entry, mine, file) for entry, mine in zip(entries, own, strict=True)]
    if len({member.classes for member in members}) > 1:
        raise RunFolderError(f"{file} is damaged: its members have different classes")
    return SavedEnsemble(tuple(members), tuple(weights))
