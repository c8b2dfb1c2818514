"""Statistics of values that hardly differ, and values that float32 does not have. Axes: N samples, D columns."""

from collections.abc import Sequence

import numpy as np

from phalanx.core.errors import DataError

ROUNDING = 64  # neighbours in float64, up to which values differ by rounding
# The standard deviation, as a fraction of the values, below which their sum loses what distinguishes them.
NARROW = 1e-12


def narrow_statistics(values_N: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of float64 values that hardly differ; the latter is 0 if only rounding differs.

    Whole numbers that float64 holds exactly are no result of rounding.
    """
    largest, width = np.abs(values_N).max(), np.ptp(values_N)
    is_exact = largest <= 2**53 and bool((values_N % 1 == 0).all())
    if width == 0 or (not is_exact and width <= ROUNDING * np.spacing(largest)):
        return float(values_N[0]), 0.0
    from_first_N = values_N - values_N[0]
    return float(values_N[0] + from_first_N.mean()), float(from_first_N.std())


def refuse_overflow(encoded_ND: np.ndarray, column: str, names: Sequence[str] = ()) -> None:
    """Raises `DataError` if an encoded value is not a finite float32, with its row and column.

    Args:
        encoded_ND: The encoded rows.
        column: What to call a column.
        names: The names of the columns; their numbers from 1 if empty.
    """
    if np.isfinite(encoded_ND).all():
        return
    row, place = np.argwhere(~np.isfinite(encoded_ND))[0]
    name = repr(names[place]) if names else place + 1
    raise DataError(
        f"{column} {name} in row {row + 1} is not a finite number in float32 after it was standardized with the mean "
        "and standard deviation of the training rows; correct it or leave the row out"
    )
