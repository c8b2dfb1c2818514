"""`phalanx ensemble`: one model of several networks of a sweep, which predicts by the mean of their probabilities."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from phalanx.cli.options import Subparsers, positive_integer, say_listed
from phalanx.core.console import busy, plain_console, print_line
from phalanx.runs.layout import ENSEMBLE
from phalanx.runs.manifest import WAYS

HELP = """\
Make one model of several networks of a sweep: it predicts with the weighted mean of their class probabilities.

--how seeds    all seeds and folds of the best point, with equal weights; where the sweep has one seed of it, further
               ones are trained, five in all. The surest gain
--how greedy   members drawn one after another with replacement, each time the one with which the mean is best
               (Caruana et al. 2004); its weight is how often a member was drawn. Needs many validation samples
--how best     the best members, as many as give the best mean

All seeds are averaged without a choice; a note says where they are worse on validation than the best of them alone,
and one names seeds that diverged, which are left out. For greedy and best the validation samples choose, out of fold
in a sweep over folds, and on them the ensemble is never worse than the best network that it was chosen from. Networks
whose weights were not kept are trained again, on a CPU to the last bit. The test split is read once, when the members
are chosen.
"""
EXAMPLES = """\
examples:
  phalanx ensemble outputs/sweeps/my_search
  phalanx ensemble outputs/sweeps/my_search --how greedy --into outputs/runs/greedy
  phalanx ensemble outputs/sweeps/my_folds --how best --members 3

The folder is that of a run: phalanx predict, inspect, compare, report and sync take it. It appears whole or not at all.
Exit status: 0 done; 1 a file cannot be written; 2 the request was wrong.
"""


def add(subparsers: Subparsers) -> None:
    """Adds the parser of this subcommand."""
    title = "make one model of several networks of a sweep"
    parser = subparsers.add_parser("ensemble", help=title, description=HELP, epilog=EXAMPLES)
    parser.add_argument("sweep", metavar="SWEEP", type=Path, help="sweep folder")
    parser.add_argument("--how", choices=WAYS, default=WAYS[0], help="which networks; default: seeds")
    parser.add_argument(
        "--members", metavar="K", type=positive_integer,
        help="at most so many seeds, draws (greedy) or networks (best); default: all seeds, 20 draws, 5 networks",
    )  # fmt: skip
    parser.add_argument("--into", metavar="FOLDER", type=Path, help="folder to write; default: ensemble in SWEEP")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Makes the ensemble and prints what it is."""
    from phalanx.analysis.ensemble.build import make_ensemble
    from phalanx.analysis.ensemble.show import show

    screen = plain_console()
    folder = arguments.into or arguments.sweep / ENSEMBLE
    with busy(screen, "making the ensemble"):
        found = make_ensemble(
            arguments.sweep, arguments.how, arguments.members, folder, lambda text: print_line(screen, text)
        )
    show(screen, found)
    say_listed(folder)
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
