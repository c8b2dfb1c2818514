"""One trial's tensors as a flat row of float32 numbers. Axes: T trials, P numbers of one trial."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

WIDE = 8  # bytes to which a buffer is aligned, so that it can be of any type


@dataclass(frozen=True)
class Layout:
    """Names and shapes of one trial's tensors, which lie one after another in a flat row of P numbers.

    Attributes:
        names: The tensors' names.
        shapes: Their shapes; () for a scalar.
        dtypes: Their types; empty where all are float32.
        n_buffers: How many of them, the last ones, are not trained. They keep their type: the row holds their bytes.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[torch.dtype, ...] = ()
    n_buffers: int = 0

    @cached_property
    def _ends(self) -> tuple[int, ...]:
        """Where each tensor ends in the row, a buffer with what aligns the next one."""
        ends, end = [], 0
        n_trained = len(self.shapes) - self.n_buffers
        for place, shape in enumerate(self.shapes):
            if place < n_trained:
                end += math.prod(shape)
            else:
                end += end % 2 if place == n_trained else 0
                n_bytes = math.prod(shape) * self.dtypes[place].itemsize
                end += -(-n_bytes // WIDE) * WIDE // 4
            ends.append(end)
        return tuple(ends)

    @cached_property
    def size(self) -> int:
        """P, the length of the row."""
        return self._ends[-1] if self._ends else 0

    @cached_property
    def n_trained(self) -> int:
        """How many numbers of the row, the first ones, are trained: the number of parameters."""
        return sum(math.prod(shape) for shape in self.shapes[: len(self.shapes) - self.n_buffers])

    def dtype(self, place: int) -> torch.dtype:
        """The type of the tensor at this place."""
        return self.dtypes[place] if self.dtypes else torch.float32

    def views(self, flat_TP: Tensor) -> list[Tensor]:
        """Each tensor as a view (T, *shape) of the flat rows, which shares their memory.

        Rows that hold the trained numbers alone, such as gradients, give views of these alone.
        """
        n_trained, n_trials, views = len(self.shapes) - self.n_buffers, len(flat_TP), []
        is_whole = not self.n_buffers or flat_TP.shape[1] == self.size
        for place, (shape, end) in enumerate(zip(self.shapes, self._ends, strict=True)):
            if place < n_trained:
                views.append(flat_TP[:, end - math.prod(shape) : end].view(n_trials, *shape))
            elif is_whole:
                dtype, count = self.dtypes[place], math.prod(shape)
                start = end - -(-count * dtype.itemsize // WIDE) * WIDE // 4
                views.append(flat_TP[:, start:end].view(dtype)[:, :count].view(n_trials, *shape))
        return views

    def row(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """A flat row (P,) of these tensors."""
        flat_1P = torch.zeros(1, self.size)
        for name, view in zip(self.names, self.views(flat_1P), strict=True):
            view[0].copy_(tensors[name])
        return flat_1P[0]
