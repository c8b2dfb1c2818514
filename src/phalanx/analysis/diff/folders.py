"""Two folders for a diff: what they are, and whether they can be compared."""

from __future__ import annotations

from pathlib import Path

from phalanx.analysis.diff.found import Diff
from phalanx.analysis.diff.runs import diff_runs
from phalanx.analysis.diff.sweeps import diff_sweeps
from phalanx.core.errors import RequestError, RunFolderError, all_of
from phalanx.runs.layout import RunPaths
from phalanx.runs.sweep_folder import is_sweep


def diff_folders(a: Path, b: Path) -> Diff:
    """What differs between two runs or two sweeps.

    Args:
        a: The folder of a run or of a sweep.
        b: A folder of the same kind.

    Raises:
        RequestError: A folder holds neither, both are one folder, or one is a run and the other a sweep.
    """
    kinds = all_of(lambda: _kind(a), lambda: _kind(b))
    if a.resolve() == b.resolve():
        raise RequestError(f"{a} and {b} are the same folder; give two different ones")
    if kinds[0] != kinds[1]:
        sweep, other = (a, b) if kinds[0] == "sweep" else (b, a)
        raise RequestError(
            f"{sweep} is a sweep and {other} is a run; give two runs or two sweeps: a trial is a run, such as {sweep}/0"
        )
    return diff_runs(a, b) if kinds[0] == "run" else diff_sweeps(a, b)


def _kind(folder: Path) -> str:
    """`run` or `sweep`. Raises `RunFolderError` for neither."""
    if folder.is_dir() and is_sweep(folder):
        return "sweep"
    if folder.is_dir() and not RunPaths(folder).result.is_file():
        raise RunFolderError(
            f"{folder} is not the folder of a finished run or of a sweep: it has no result.json and no sweep.json; "
            "these are listed by: ls outputs/runs outputs/sweeps"
        )
    RunPaths(folder).check()
    return "run"
