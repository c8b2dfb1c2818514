"""The factors of dropout on a CPU: in pieces that stay in its cache, and in memory that is allocated once.

The numbers are those of `phalanx.core.seeding.hashed_bits`. NumPy computes most of the hash: it shifts unsigned
numbers, so one operation does what takes two with PyTorch's signed ones, and a call costs less.

Axes: S steps, T trials, B batch, H units, R steps times trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from phalanx.core.seeding import FACTORS, STEP_FACTOR, mask_counters

PIECE = 1 << 17  # units that are computed at a time
_FIRST, _SECOND, _15, _16 = map(np.uint32, (*FACTORS, 15, 16))


class _Piece(NamedTuple):
    """Views of some rows, or of some lines of the batch of one row."""

    counters: Tensor
    keys: Tensor
    hashes: Tensor
    unsigned: npt.NDArray[np.uint32]  # the hashes
    shifted: npt.NDArray[np.uint32]
    numbers: Tensor  # the halves of the hashes
    smallest_kept: Tensor
    scale: Tensor
    factors: Tensor


class CPUFactors:
    """Computes the factors of one layer, S steps at a time.

    Args:
        keys_T: The key of each trial (see `dropout_keys`).
        smallest_kept_T: The smallest number with which a unit is kept, int16, shape (T, 1, 1).
        scale_T: The factor of a kept unit, float32, shape (T, 1, 1).
        shape: S, T, B and H.
        scratch: Memory for intermediate results: int32, shape (2, `scratch_size(shape)` or more).

    Attributes:
        steps: The factors of each step, (T, B, H).
    """

    def __init__(
        self, keys_T: Tensor, smallest_kept_T: Tensor, scale_T: Tensor, shape: Sequence[int], scratch: Tensor
    ) -> None:
        n_steps, _, n_batch, n_units = shape
        self._first_ST = keys_T + torch.arange(n_steps, dtype=torch.int32)[:, None] * STEP_FACTOR
        self._keys_ST = torch.empty_like(self._first_ST)
        factors_STBH = torch.empty(*shape)
        self.steps: list[Tensor] = list(factors_STBH)
        keys_R1, factors_RBH = self._keys_ST.view(-1, 1), factors_STBH.flatten(0, 1)
        counters_BH = mask_counters(n_batch, n_units, keys_T.device)
        smallest_kept_R, scale_R = (values_T.repeat(n_steps, 1, 1) for values_T in (smallest_kept_T, scale_T))
        n_rows, n_lines = _size(shape)
        self._pieces: list[_Piece] = []
        for first in range(0, len(keys_R1), n_rows):
            rows = slice(first, first + n_rows)
            for line in range(0, n_batch, n_lines):
                counters, factors = counters_BH[line : line + n_lines], factors_RBH[rows, line : line + n_lines]
                hashes, shifted = scratch[:, : len(factors) * counters.numel()]
                self._pieces.append(
                    _Piece(
                        counters.reshape(1, -1), keys_R1[rows], hashes.view(len(factors), -1), _unsigned(hashes),
                        _unsigned(shifted), hashes.view(torch.int16).view(*factors.shape[:2], -1)[..., :n_units],
                        smallest_kept_R[rows], scale_R[rows], factors,
                    )
                )  # fmt: skip

    def compute(self, step_T: Tensor) -> None:
        """Writes the factors of the next S steps into `steps`, after `step_T` updates of each trial."""
        torch.add(self._first_ST, step_T, alpha=STEP_FACTOR, out=self._keys_ST)
        for piece in self._pieces:
            torch.bitwise_xor(piece.counters, piece.keys, out=piece.hashes)  # PyTorch is faster with short rows
            x, shifted = piece.unsigned, piece.shifted
            np.multiply(x, _FIRST, out=x)
            np.bitwise_xor(x, np.right_shift(x, _15, out=shifted), out=x)
            np.multiply(x, _SECOND, out=x)
            np.bitwise_xor(x, np.right_shift(x, _16, out=shifted), out=x)
            piece.factors.copy_(piece.numbers.ge_(piece.smallest_kept)).mul_(piece.scale)


def scratch_size(shape: Sequence[int]) -> int:
    """The hashes of the largest piece, for factors of the shape (S, T, B, H)."""
    n_rows, n_lines = _size(shape)
    return n_rows * n_lines * _n_pairs(shape)


def _size(shape: Sequence[int]) -> tuple[int, int]:
    """The rows and the lines of the batch of the largest piece."""
    n_steps, n_trials, n_batch, _ = shape
    n_lines = max(1, min(n_batch, PIECE // (2 * _n_pairs(shape))))
    return max(1, min(n_steps * n_trials, PIECE // (2 * n_batch * _n_pairs(shape)))), n_lines


def _n_pairs(shape: Sequence[int]) -> int:
    return (shape[3] + 1) // 2


def _unsigned(numbers: Tensor) -> npt.NDArray[np.uint32]:
    """The same memory as unsigned numbers."""
    return numbers.numpy().view(np.uint32)
