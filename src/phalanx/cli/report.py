"""`phalanx report`: one HTML file about a run or a sweep."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from phalanx.core.errors import RequestError

HELP = """\
Write the report of a run or a sweep: one HTML file that opens offline, on a phone too.

PATH is a run's or a sweep's folder. A sweep writes its report.html by itself when it ends; this command writes it
again, also while the sweep still runs, or after it was killed.
"""
EXAMPLES = """\
examples:
  phalanx report outputs/sweeps/my_search
  phalanx report outputs/runs/2026-01-31_12-00-00-a1b2 --output report.html

Exit status 2: the request was wrong.
"""


def add(commands: Any) -> None:
    """Adds the parser of this command."""
    parser = commands.add_parser(
        "report",
        help="write the report of a run or a sweep",
        description=HELP,
        epilog=EXAMPLES,
    )
    parser.add_argument("folder", metavar="PATH", type=Path, help="run folder or sweep folder")
    parser.add_argument("--output", metavar="FILE", type=Path, help="default: report.html in the folder")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Writes the report and says where it is."""
    if arguments.output is not None and arguments.output.is_dir():
        raise RequestError(f"--output {arguments.output} is a folder; give the name of a file")
    from phalanx.report.build import write_report

    print(f"wrote {write_report(arguments.folder, arguments.output)}")
