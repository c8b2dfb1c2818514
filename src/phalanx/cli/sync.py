"""`phalanx sync`: what MLflow did not get of finished runs and sweeps is delivered later."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from phalanx.core.errors import RequestError
from phalanx.core.redaction import redact
from phalanx.runs.layout import relative
from phalanx.tracking.sync_folders import Undelivered, asked, deliver, targets

_HELP = """\
Deliver to MLflow what it did not get: a tracking server was down, or runs were made with tracking=none.

PATH is the folder of a run or of a sweep, or one that holds many, such as outputs. What is there already is not
logged twice, so this can be repeated. Where to: as the run was told (tracking.uri, tracking.experiment), or as
--uri and --experiment say.
"""
_EXAMPLES = """\
examples:
  phalanx sync outputs/sweeps/my_study
  phalanx sync outputs --experiment archive
  MLFLOW_TRACKING_URI=http://server:5000 phalanx sync outputs

Exit status: 0 all is delivered; 1 some is not, try again later; 2 the request was wrong.
"""


def add_sync(commands: Any) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "sync",
        help="deliver finished runs and sweeps to MLflow",
        description=_HELP,
        epilog=_EXAMPLES,
    )
    parser.add_argument("paths", metavar="PATH", type=Path, nargs="+", help="run folder, sweep folder, or outputs")
    parser.add_argument("--uri", help="tracking store; one with a password belongs into MLFLOW_TRACKING_URI")
    parser.add_argument("--experiment", help="MLflow experiment that gets the runs")
    parser.set_defaults(run=_sync)


def _sync(arguments: argparse.Namespace) -> None:
    if redact(arguments.uri or "") != (arguments.uri or ""):
        raise RequestError("--uri holds a password, which every user of this machine can see; set MLFLOW_TRACKING_URI")
    changes = {key: getattr(arguments, key) for key in ("uri", "experiment") if getattr(arguments, key) is not None}
    counts = []
    for root in targets(arguments.paths):
        counts.append(deliver(root, replace(asked(root), **changes), elsewhere=bool(changes)))
        print(f"{relative(root)}: {counts[-1]}")
    left = sum(count.left for count in counts)
    if left:
        raise Undelivered(f"{left} of the runs are not in MLflow; what was delivered stays, so try again later")
