"""Products and sums of T matrices whose last bits depend neither on T nor on the number of threads.

On a CPU, MKL adds in one order for a product in a batch, and in another for a product alone if that has one column, or
one row (on a CPU with AMX), or if it is small and several threads share it. Axes: T trials, M rows, K summed numbers,
N columns, B batch, H units.
"""

from contextlib import nullcontext

import torch
from torch import Tensor

from phalanx.core.device import threads

SIDE = 32  # a product gets one thread up to as many numbers as a square has whose side is this times the threads


def product(left_TMK: Tensor, right_TKN: Tensor, bias: Tensor | None = None, out_TMN: Tensor | None = None) -> Tensor:
    """The product of each trial's matrices, (T, M, N).

    Args:
        left_TMK: The left matrices.
        right_TKN: The right matrices.
        bias: Is added to the product; its shape can be expanded to (T, M, N).
        out_TMN: Takes the product, if given.
    """
    n_rows, n_columns = left_TMK.size(1), right_TKN.size(2)
    n_threads, is_vector = torch.get_num_threads(), n_columns == 1 or n_rows == 1
    if (n_threads == 1 and not is_vector) or not left_TMK.is_cpu:
        return _product(left_TMK, right_TKN, bias, out_TMN)
    n_trials = len(left_TMK)
    is_small = n_trials * n_rows * n_columns <= (SIDE * n_threads) ** 2
    with threads(1) if is_small and n_threads > 1 else nullcontext():
        if n_trials != 1 or not is_vector:
            return _product(left_TMK, right_TKN, bias, out_TMN)
        bias = None if bias is None else bias.expand(2, -1, -1)
        found_TMN = _product(left_TMK.expand(2, -1, -1), right_TKN.expand(2, -1, -1), bias)[:1]
        return found_TMN if out_TMN is None else out_TMN.copy_(found_TMN)


def sum_of_batch(values_TBH: Tensor, out_TH: Tensor) -> Tensor:
    """The sum over the batch, written into `out_TH`."""
    if out_TH.numel() > 1 or torch.get_num_threads() == 1 or not out_TH.is_cpu:
        return torch.sum(values_TBH, 1, out=out_TH)
    with threads(1):  # several would divide the only sum
        return torch.sum(values_TBH, 1, out=out_TH)


def _product(left_TMK: Tensor, right_TKN: Tensor, bias: Tensor | None, out_TMN: Tensor | None = None) -> Tensor:
    if bias is not None:
        return torch.baddbmm(bias, left_TMK, right_TKN, out=out_TMN)
    return torch.bmm(left_TMK, right_TKN, out=out_TMN)
