"""Two groups of seeds, and their comparison."""

from __future__ import annotations

import numpy as np
from scipy import stats

from phalanx.analysis.compare import compare_runs, read_sources

# The accuracy by seed.
A = {s: 0.90 + 0.001 * v for s, v in enumerate([0, 4, 2, 7, 5, 1])}
B = {s: 0.88 + 0.001 * v for s, v in enumerate([3, 1, 4, 8, 2, 6])}


def compared(folder, *by, **options):
    read = read_sources([str(f) for f in (folder if isinstance(folder, list) else [folder])])
    return compare_runs(read.runs, by, notes=read.notes, **options)


def scaled_ttest(a, b, step):
    """Student's paired test with the variance that steps of `step` add."""
    away = 100 * np.subtract(a, b)
    spread = np.sqrt(away.var(ddof=1) + (100 * step) ** 2 / 12)
    return 2 * stats.t.sf(abs(away.mean()) / spread * np.sqrt(len(away)), len(away) - 1), away.mean()
