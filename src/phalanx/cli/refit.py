"""`phalanx refit`: a chosen configuration trained again on training and validation rows together."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from phalanx.cli.options import Subparsers, positive_integer, say_listed
from phalanx.core.console import busy, plain_console, print_line, print_words
from phalanx.runs.layout import REFIT, RunPaths, sibling
from phalanx.runs.sweep_folder import is_sweep

HELP = """\
Train a chosen configuration again, on training and validation rows together, for the number of epochs that validation
chose (the best epoch; of several seeds or folds their median). The test split is that of RUN, and its metrics are
printed beside those of the training that was validated.

RUN is the folder of a run or of a trial, or that of a sweep, whose best point is trained again. The schedule stays that
of RUN: planned for trainer.epochs and left at the best epoch. Nothing stops the training early, and the last weights
are saved. Validation metrics are null, since no rows are left for them.
"""
EXAMPLES = """\
examples:
  phalanx refit outputs/runs/2026-01-31_12-00-00-a1b2
  phalanx refit outputs/sweeps/my_search --seeds 3
  phalanx refit outputs/sweeps/my_search/17 --into outputs/runs/chosen

With several seeds the mean of their class probabilities predicts. The folder of the sweep, given to phalanx predict,
predicts with its refit. phalanx sync FOLDER brings it to MLflow.
Exit status: 0 done; 1 a file cannot be written; 2 the request was wrong.
"""


def add(subparsers: Subparsers) -> None:
    """Adds the parser of this subcommand."""
    title = "train a chosen configuration again on all rows but the test split"
    parser = subparsers.add_parser("refit", help=title, description=HELP, epilog=EXAMPLES)
    parser.add_argument("run_folder", metavar="RUN", type=Path, help="run folder, trial folder or sweep folder")
    parser.add_argument("--seeds", metavar="K", type=positive_integer, default=1, help="how many seeds; default: 1")
    parser.add_argument(
        "--into", metavar="FOLDER", type=Path, help="folder to write; default: refit in a sweep, RUN-refit beside a run"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Trains and prints what came of it."""
    from phalanx.analysis.refit import lines, refit
    from phalanx.report.run_figures.draw import draw_plots

    screen, source = plain_console(), arguments.run_folder
    beside = source / REFIT if is_sweep(source) else sibling(source, f"{source.name}-{REFIT}")
    folder = arguments.into or beside
    with busy(screen, "training"):
        found = refit(source, arguments.seeds, folder, lambda text: print_line(screen, text))
        draw_plots(RunPaths(folder), found.spec, found.dataset, found.result)
    for line in lines(found):
        print_words(screen, line)
    say_listed(folder)
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
