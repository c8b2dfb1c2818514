"""Products and sums of T matrices whose last bits depend neither on T nor on the number of threads.

On a CPU, MKL adds in one order for a product in a batch, and in another for a product alone if that has one column, or
if it is small and several threads share it. Axes: T trials, M rows, K summed numbers, N columns, B batch, H units.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

SIDE = 32  # a product gets one thread up to as many numbers as a square has whose side is this times the threads


def product(left_TMK: Tensor, right_TKN: Tensor, bias: Tensor | None = None, out_TMN: Tensor | None = None) -> Tensor:
    """The product of each trial's matrices, (T, M, N).

    Args:
        left_TMK: The left matrices.
        right_TKN: The right matrices.
        bias: Is added to the product; its shape can be expanded to (T, M, N).
        out_TMN: Takes the product, if given.
    """
    if not left_TMK.is_cpu:
        return _product(left_TMK, right_TKN, bias, out_TMN)
    n_trials, n_rows, _ = left_TMK.shape
    n_columns = right_TKN.shape[2]
    is_small = n_trials * n_rows * n_columns <= (SIDE * torch.get_num_threads()) ** 2
    if n_trials == n_columns == 1:  # as the first of two
        pair = [None if x is None else x.expand(2, -1, -1) for x in (left_TMK, right_TKN, bias)]
        found_TMN = _call(is_small, _product, *pair)[:1]
        return found_TMN if out_TMN is None else out_TMN.copy_(found_TMN)
    return _call(is_small, _product, left_TMK, right_TKN, bias, out_TMN)


def sum_of_batch(values_TBH: Tensor, out_TH: Tensor) -> Tensor:
    """The sum over the batch, written into `out_TH`."""
    is_alone = out_TH.numel() == 1  # several threads would share it
    return _call(is_alone, lambda: torch.sum(values_TBH, 1, out=out_TH))


def _product(left_TMK: Tensor, right_TKN: Tensor, bias: Tensor | None, out_TMN: Tensor | None = None) -> Tensor:
    if bias is not None:
        return torch.baddbmm(bias, left_TMK, right_TKN, out=out_TMN)
    return torch.bmm(left_TMK, right_TKN, out=out_TMN)


def _call(on_one_thread: bool, function: Callable[..., Tensor], *arguments: Any) -> Tensor:
    n_threads = torch.get_num_threads()
    if n_threads == 1 or not on_one_thread:
        return function(*arguments)
    torch.set_num_threads(1)
    try:
        return function(*arguments)
    finally:
        torch.set_num_threads(n_threads)
