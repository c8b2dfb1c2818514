"""A trial's product has the same bits alone and beside others, with any number of threads."""

from __future__ import annotations

import itertools

import pytest
import torch

from phalanx.core.device import threads
from phalanx.nn.products import product, sum_of_batch

T = 5
SHAPES = [
    *itertools.product([1, 2, 29, 85, 100], [1, 2, 5, 17, 129], [1, 2, 10, 33]),
    (1, 1, 784), (1000, 300, 1), (3, 26, 1000), (96, 8, 100), (34, 1000, 200), (257, 34, 128),
]  # fmt: skip
needs_mkl = pytest.mark.skipif(
    not torch.backends.mkl.is_available(), reason="this torch multiplies by another library than MKL"
)


def operands(n_rows, n_summed, n_columns, *, turned):
    """Matrices of T trials as they lie in memory in a forward pass (right turned) and a backward pass (left turned)."""
    stream = torch.Generator().manual_seed(0)

    def matrix(rows, columns, is_turned):
        shape = (T, columns, rows) if is_turned else (T, rows, columns)
        values = torch.randn(shape, generator=stream)
        return values.transpose(1, 2) if is_turned else values

    left = matrix(n_rows, n_summed, turned == "left")
    return left, matrix(n_summed, n_columns, turned == "right"), torch.randn(T, 1, n_columns, generator=stream)


@pytest.mark.parametrize("turned", ["left", "right", "neither"])
def test_a_product_is_that_of_float64(turned):
    for shape in SHAPES:
        left, right, bias = operands(*shape, turned=turned)
        for n in (1, T):
            exact = left[:n].double() @ right[:n].double()
            out = torch.empty(n, shape[0], shape[2])
            assert product(left[:n], right[:n], out_TMN=out).data_ptr() == out.data_ptr()
            torch.testing.assert_close(out.double(), exact, rtol=1e-4, atol=1e-4)
            found = product(left[:n], right[:n], bias[:n])
            torch.testing.assert_close(found.double(), exact + bias[:n].double(), rtol=1e-4, atol=1e-4)


@needs_mkl
@pytest.mark.parametrize("turned", ["left", "right", "neither"])
@pytest.mark.parametrize("n_threads", [1, 2, 4])
def test_a_product_has_the_same_bits_alone_and_with_any_number_of_threads(n_threads, turned):
    for shape in SHAPES:
        left, right, bias = operands(*shape, turned=turned)
        with threads(1):
            together, with_bias = product(left, right), product(left, right, bias)
        with threads(n_threads):
            for one in (slice(0, 1), slice(4, 5), slice(1, 3), slice(1, 4), slice(0, 5)):
                assert product(left[one], right[one]).equal(together[one]), (shape, one)
                assert product(left[one], right[one], bias[one]).equal(with_bias[one]), (shape, one)
                assert product(left[one], right[one], out_TMN=torch.empty_like(together[one])).equal(together[one])


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_sum_of_many_samples_has_the_same_bits_alone_and_with_any_number_of_threads(n_threads):
    values_TBH = torch.randn(2, 70_001, 1, generator=torch.Generator().manual_seed(0))
    with threads(1):
        together_TH = sum_of_batch(values_TBH, torch.empty(2, 1))
    with threads(n_threads):
        assert sum_of_batch(values_TBH[1:], torch.empty(1, 1)).equal(together_TH[1:])
    torch.testing.assert_close(together_TH.double(), values_TBH.double().sum(1), rtol=1e-4, atol=1e-2)


def test_the_number_of_threads_is_as_before():
    with threads(2):
        product(*operands(3, 4, 5, turned="left"))
        assert torch.get_num_threads() == 2
        with pytest.raises(RuntimeError):
            product(torch.ones(2, 3, 4), torch.ones(2, 5, 6))
        assert torch.get_num_threads() == 2


@pytest.mark.parametrize("shape", [(1, 3, 5), (5, 3, 1), (5, 3, 4)])
def test_no_trial_has_an_empty_product(shape):
    """As where no network of a padded cohort has the deepest layer any more."""
    n_rows, n_summed, n_columns = shape
    left, right = torch.ones(0, n_rows, n_summed), torch.ones(0, n_summed, n_columns)
    assert product(left, right, torch.ones(0, 1, n_columns)).shape == (0, n_rows, n_columns)
