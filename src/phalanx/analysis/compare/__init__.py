"""Comparison of runs: they are read (`sources`, `mlflow_runs`), grouped (`groups`), tested (`comparison`) and written
as tables (`tables`). The figure is in `phalanx.report.run_figures.comparison`."""

from phalanx.analysis.compare.comparison import Comparison, Part, compare_runs
from phalanx.analysis.compare.run import Run
from phalanx.analysis.compare.sources import read_sources

__all__ = ["Comparison", "Part", "Run", "compare_runs", "read_sources"]
