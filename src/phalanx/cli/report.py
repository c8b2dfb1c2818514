"""`phalanx report`: one HTML file about a run or a sweep."""

import argparse
from pathlib import Path

from phalanx.cli.options import Subparsers, check_files, positive_number, say_written

HELP = """\
Write the report of a run or a sweep: one HTML file that opens offline, and fits a phone too.

PATH is the folder of a run or a sweep. Every sweep writes its report.html when it ends; use this command while a sweep
is still running, or after it was killed. With hydra.sweeper.live_report_s=30 a sweep writes it every 30 seconds itself.
"""
EXAMPLES = """\
examples:
  phalanx report outputs/sweeps/my_search
  phalanx report outputs/sweeps/my_search --refresh 30
  phalanx report outputs/runs/2026-01-31_12-00-00-a1b2 --output report.html

Exit status: 0 the report is written; 1 it cannot be written, or leaves out damaged files; 2 the request was wrong.
"""


def add(subparsers: Subparsers) -> None:
    """Adds the parser of this subcommand."""
    title = "write the report of a run or a sweep"
    parser = subparsers.add_parser("report", help=title, description=HELP, epilog=EXAMPLES)
    parser.add_argument("folder", metavar="PATH", type=Path, help="run folder or sweep folder")
    parser.add_argument("--output", metavar="FILE", type=Path, help="default: report.html in the folder")
    parser.add_argument("--refresh", metavar="SECONDS", type=positive_number,
                        help="the page loads itself again so often, while the sweep runs")  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Writes the report and prints where it is. Raises `Incomplete` if it lacks what a damaged file holds."""
    check_files(arguments)
    from phalanx.report.build import write_report
    from phalanx.runs.left_out import LeftOut

    left_out = LeftOut()
    path = write_report(arguments.folder, arguments.output, left_out, arguments.refresh)
    say_written(path)
    left_out.check("the report is whole")
