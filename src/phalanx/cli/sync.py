"""`phalanx sync`: logs to MLflow what it lacks of finished runs and sweeps."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from phalanx.cli.options import Subparsers
from phalanx.core.errors import RequestError, UnreadableFile
from phalanx.core.redaction import redact
from phalanx.runs.layout import relative

if TYPE_CHECKING:
    from phalanx.runs.left_out import LeftOut
    from phalanx.runs.options import TrackingSpec

_HELP = """\
Deliver to MLflow what it lacks: a tracking server was down, or runs were made with tracking=none.

PATH is the folder of a run or of a sweep, or one that contains many, such as outputs. What is in MLflow already is not
logged twice, so the command can be repeated. The store and the experiment are those of --uri and --experiment, else
those that the runs were configured with (tracking.uri, tracking.experiment). A folder may come from somebody else, so
a server in it is asked only if --uri or MLFLOW_TRACKING_URI names it too.
"""
_EXAMPLES = """\
examples:
  phalanx sync outputs/sweeps/my_study
  phalanx sync outputs --experiment archive
  MLFLOW_TRACKING_URI=http://server:5000 phalanx sync outputs

Exit status: 0 all is delivered; 1 some is not, or a file is damaged; 2 the request was wrong.
"""


def add(subparsers: Subparsers) -> None:
    """Adds the command's parser."""
    parser = subparsers.add_parser(
        "sync", help="deliver finished runs and sweeps to MLflow", description=_HELP, epilog=_EXAMPLES
    )
    parser.add_argument("paths", metavar="PATH", type=Path, nargs="+", help="run folder, sweep folder, or outputs")
    parser.add_argument("--uri", help="tracking store; one with a password belongs into MLFLOW_TRACKING_URI")
    parser.add_argument("--experiment", help="MLflow experiment that gets the runs")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Syncs every folder.

    Raises:
        NotDelivered: Some runs are not in MLflow.
        Incomplete: All are, but a file could not be read or written.
        RequestError: No folder could be synced as it was asked for.
    """
    from phalanx.runs.left_out import LeftOut
    from phalanx.tracking.sync_folders import NotDelivered, find_folders, goes_elsewhere, sync_folder

    if redact(arguments.uri or "") != (arguments.uri or ""):
        raise RequestError("--uri holds a password, which every user of this machine can see; set MLFLOW_TRACKING_URI")
    changes = {key: getattr(arguments, key) for key in ("uri", "experiment") if getattr(arguments, key) is not None}
    left_out = LeftOut()
    folders = find_folders(arguments.paths)
    specs = _configured(folders, changes, left_out)
    n_left = len(folders) - len(specs)
    for root, spec in specs.items():
        count = sync_folder(root, spec, left_out, keep_ids=goes_elsewhere(root, changes))
        print(f"{relative(root)}: {count}")
        n_left += count.n_left
    if n_left:
        also = "".join(f"\n  - {fault}" for fault in left_out.faults)
        raise NotDelivered(
            f"{n_left} of the runs are not in MLflow; what was delivered stays, so try again later{also}"
        )
    left_out.check("all that can be read is in MLflow")


def _configured(folders: Sequence[Path], changes: Mapping[str, str], left_out: LeftOut) -> dict[Path, TrackingSpec]:
    """Returns where each folder's runs go; a folder that cannot be read is left out.

    Raises:
        RequestError: A folder's configuration is wrong, or no folder is left.
    """
    from phalanx.tracking.sync_folders import configured_tracking

    specs, faults = {}, []
    for root in folders:
        try:
            specs[root] = configured_tracking(root, changes)
        except UnreadableFile as error:
            left_out.add(error)
        except RequestError as error:
            faults.append(str(error))
    if faults or not specs:
        raise RequestError("\n".join([*faults, *left_out.faults]))
    return specs
