"""What was trained, compared: runs are read (`sources`, `tracked`), grouped (`groups`), tested (`comparison`), written
(`tables`). The figure is in `phalanx.report.comparison`.
"""

from phalanx.compare.comparison import Comparison, Part, compare_runs
from phalanx.compare.sources import Run, read_sources

__all__ = ["Comparison", "Part", "Run", "compare_runs", "read_sources"]
