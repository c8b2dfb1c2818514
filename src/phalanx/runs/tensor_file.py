"""safetensors files of Phalanx: tensors by name, a JSON text that describes them, and a check sum of both.

They hold no code. Files of earlier versions have no check sum and are read as they are.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from phalanx.core.errors import UnreadableFile
from phalanx.core.files import replacing
from phalanx.core.reading import MAX_DATA, check_file, parse_json

if TYPE_CHECKING:
    import torch

KEY = "phalanx"  # the metadata entry with everything but the tensors: the only one, since safetensors keeps no order
CHECK = "check"  # the last key in it
_SEPARATOR = f', "{CHECK}": "'


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], about: Mapping[str, Any]) -> None:
    """Writes a safetensors file atomically.

    Args:
        path: The file.
        tensors: Tensors on the CPU by name.
        about: What describes them, as JSON's types; at least one entry.
    """
    from safetensors.torch import save

    text, own = json.dumps(about), {name: tensor.contiguous() for name, tensor in tensors.items()}
    check = _check_sum(text, {name: tensor.numpy() for name, tensor in own.items()})
    with replacing(path) as temporary:
        # Not `save_file`, which hides a full disk behind an exception of its own.
        temporary.write_bytes(save(own, metadata={KEY: f'{text[:-1]}{_SEPARATOR}{check}"}}'}))


def read_tensors(
    file: Path, what: str = "a model", *, inside: Path | None = None
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Reads what `write_tensors` wrote.

    Args:
        file: The file.
        what: What it should be, for messages.
        inside: The folder that the file must not lead out of by a link; None for its own.

    Returns:
        What describes the tensors, and the tensors by name.

    Raises:
        UnreadableFile: The file is missing, damaged or not one of Phalanx.
    """
    import torch

    about, arrays = read_arrays(file, what, inside=inside)
    return about, {name: torch.from_numpy(array) for name, array in arrays.items()}


def read_arrays(
    file: Path, what: str = "a model", *, inside: Path | None = None
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """As `read_tensors`, with arrays of numpy, and without importing torch."""
    from safetensors import SafetensorError, safe_open

    try:
        check_file(file, inside=inside, limit=MAX_DATA)
        with safe_open(file.resolve(), framework="numpy") as stored:
            text = (stored.metadata() or {})[KEY]
            about = parse_json(text, file)
            if not isinstance(about, dict):
                raise ValueError("what describes its tensors is no JSON object")
            arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except UnreadableFile:
        raise
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableFile(file, f"is not {what} written by Phalanx, or is damaged: {error}") from error
    if CHECK in about and about.pop(CHECK) != _check_sum(text.rpartition(_SEPARATOR)[0] + "}", arrays):
        raise UnreadableFile(
            file, "is damaged: its check sum is not the one that was written; take another copy, or train again"
        )
    return about, arrays


def _check_sum(text: str, arrays: Mapping[str, np.ndarray]) -> str:
    """The CRC-32 of the text and of every array with its name, type and shape."""
    total = zlib.crc32(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        total = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), total)
        total = zlib.crc32(np.ascontiguousarray(array).data, total)
    return f"{total:08x}"
