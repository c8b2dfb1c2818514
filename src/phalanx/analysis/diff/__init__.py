"""What differs between two runs (`runs`, `samples`) or two sweeps (`sweeps`), and its tables (`tables`). The figure is
in `phalanx.report.run_figures.two_curves`."""

from phalanx.analysis.diff.folders import diff_folders
from phalanx.analysis.diff.found import Diff
from phalanx.analysis.diff.rows import Row
from phalanx.analysis.diff.samples import Disagreement, SampleDiff

__all__ = ["Diff", "Disagreement", "Row", "SampleDiff", "diff_folders"]
