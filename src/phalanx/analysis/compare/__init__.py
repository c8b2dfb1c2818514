"""Comparison of runs: they are read (`sources`, `mlflow_runs`), grouped (`groups`), tested (`comparison`, over several
data sets `over_data`) and written as tables (`tables`, `over_tables`). The figures are in `phalanx.report.run_figures`:
`comparison` and `critical_difference`."""

from phalanx.analysis.compare.comparison import compare_runs
from phalanx.analysis.compare.found import Comparison, OverData, Part
from phalanx.analysis.compare.over_data import with_over_data
from phalanx.analysis.compare.run import Run
from phalanx.analysis.compare.sources import read_sources

__all__ = ["Comparison", "OverData", "Part", "Run", "compare_runs", "read_sources", "with_over_data"]
