"""`phalanx calibrate`: a temperature for the probabilities of a trained run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from phalanx.cli.options import Subparsers, check_files, console, say_written

if TYPE_CHECKING:
    from phalanx.analysis.calibration import Calibration

HELP = """\
Fit a temperature to the probabilities of a trained run and write it into its model file, from which phalanx predict
and a served model take it. The temperature T is the one with the least negative log-likelihood (NLL) of
softmax(scores / T) on the validation split; no predicted class changes.

Printed are NLL, the expected calibration error (ECE) and the Brier score on the test split, before and after, with 95 %
intervals over its samples (bootstrap). Where the run has not read the test split, as the trials of a search, they are
of the validation split. Calibrating again starts from the scores and gives the same. The folder of a sweep means its
best trial.
"""
EXAMPLES = """\
examples:
  phalanx calibrate outputs/runs/2026-01-31_12-00-00-a1b2
  phalanx calibrate outputs/sweeps/my_grid/3 --figure reliability.png

A model that is registered in MLflow already keeps its probabilities; register it again.
Exit status: 0 done; 1 a file cannot be written; 2 the request was wrong.
"""


def add(subparsers: Subparsers) -> None:
    """Adds the parser of this subcommand."""
    title = "fit a temperature to the probabilities of a trained run"
    parser = subparsers.add_parser("calibrate", help=title, description=HELP, epilog=EXAMPLES)
    parser.add_argument("run_folder", metavar="RUN", type=Path, help="run folder, or that of a sweep")
    parser.add_argument(
        "--figure", metavar="FILE", type=Path, help="draw the reliability before and after: .png or .svg"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Calibrates, prints the measures, and draws the figure."""
    check_files(arguments)
    from phalanx.analysis.calibration import calibrate

    found = calibrate(arguments.run_folder)
    _show(found)
    if arguments.figure is not None:
        from phalanx.core.named_files import named_file
        from phalanx.report.run_figures.reliability import draw_reliability
        from phalanx.report.style import save_figure

        panels = [(f"{found.split}, before", found.before), (f"{found.split}, after", found.after)]
        say_written(save_figure(draw_reliability(panels), arguments.figure, named_file))


def _show(found: Calibration) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    screen = console()
    fitted = f"temperature {found.temperature:.4f}, fitted on {found.n_validation:,} validation samples"
    earlier = "" if found.earlier == 1 else f"; it was {found.earlier:.4f}"
    screen.print(Text(f"{fitted}, is in the model file{earlier}"), soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD)
    for place, title in enumerate([f"{found.n_samples:,} {found.split} samples", "before", "after", "after - before"]):
        table.add_column(Text(title), justify="left" if place == 0 else "right", overflow="fold")
    for m in found.measures:
        values = ((m.before, m.before_interval), (m.after, m.after_interval), (m.after - m.before, m.change_interval))
        cells = [f"{value:.4f} [{interval.low:.4f}, {interval.high:.4f}]" for value, interval in values]
        table.add_row(*map(Text, [m.name, *cells]))
    screen.print(table)
    for note in found.notes:
        screen.print(Text(f"note: {note}"), style="dim", soft_wrap=True)
