"""Tells rows in other units than the training rows, such as pixels from 0 to 1 instead of 0 to 255. Axes: D columns."""

import numpy as np

PIXELS, COLUMNS = 0.1, 0.02  # of the largest value in training: less in every column is another unit
_TIMES = 10.0  # the largest value in training, which most columns exceed in another unit only
_FEW = 4  # columns, of which all may be small by chance


def scale_notes(found_D: np.ndarray, largest_D: np.ndarray, small: float) -> list[str]:
    """One note if values cannot be in the units of training; else none.

    Args:
        found_D: The largest magnitude of each column; NaN where it has no value.
        largest_D: The same of the training rows.
        small: The part of the latter that some column of usual rows exceeds.
    """
    is_used_D = (largest_D > 0) & ~np.isnan(found_D)
    if is_used_D.sum() < _FEW or not found_D[is_used_D].any():
        return []
    part_D = found_D[is_used_D] / largest_D[is_used_D]
    found, largest = found_D[is_used_D].max(), largest_D[is_used_D].max()
    if part_D.max() <= small:
        how = f"in every column less than {small:.0%} of the largest value that training had"
    elif np.median(part_D[part_D > 0]) >= _TIMES:
        how = f"in most columns over {_TIMES:.0f} times the largest value that training had"
    else:
        return []
    return [f"the values reach {found:.6g}, {how}, which reached {largest:.6g}: give them in the units of the training "
            "data"]  # fmt: skip
