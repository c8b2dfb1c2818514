"""What a folder holds already, which a new run or a new sweep would write over or take for its own."""

import os
from pathlib import Path

from phalanx.core.errors import RunFolderError, listed
from phalanx.core.result import Status
from phalanx.runs.layout import FINAL, SPLIT, RunPaths, SweepPaths
from phalanx.runs.stored_run import find_stored_run
from phalanx.runs.sweep_folder import is_sweep, numbered

OF_RUN = ("result", "metrics", "model", "checkpoint")  # which no sweep has in its own folder
OF_BEGUN = ("lock", "hydra", "attempt", "checkpoint")  # which a run has from its start on
WRITTEN_BY_RUN = ("config_resolved", "metrics", "model", "seeds", "plots", "example")
WRITTEN_BY_SWEEP = ("trials", "best_config", "report", "optimization_results", "final_table", "final_tests")


def held_before_run(root: Path) -> str | None:
    """What keeps a run from being trained in a folder, as the end of a sentence; None if nothing does.

    An unfinished run does not, since the same command goes on with it.
    """
    if is_sweep(root):
        return f"is the folder of a sweep with {n_trials_of(root)}"
    if (sweep := sweep_around(root)) is not None:
        return f"lies in the folder of the sweep {sweep}, which has a folder for each of its trials"
    if not root.is_dir():
        return None
    paths = RunPaths(root)
    try:
        stored = find_stored_run(root)
    except (RunFolderError, OSError) as error:
        return f"holds a result that cannot be read ({error})"
    if stored is not None:
        ended = stored.status is not Status.FAILED
        return f"holds a run that has ended ({stored.status}, {stored.epochs} epochs)" if ended else None
    if any(_is_there(paths, name) for name in OF_BEGUN):
        return None
    return _foreign(paths, WRITTEN_BY_RUN)


def held_before_sweep(root: Path) -> str | None:
    """What keeps a sweep from a folder that has no manifest of a sweep, as `held_before_run` does for a run."""
    if (sweep := sweep_around(root)) is not None:
        return f"lies in the folder of the sweep {sweep}, which has a folder for each of its trials"
    if not root.is_dir():
        return None
    if any(_is_there(RunPaths(root), name) for name in OF_RUN):
        return "is the folder of a run"
    if inside := sorted(child.name for child in root.iterdir() if is_sweep(child)):
        return f"holds sweeps ({listed(inside)}), so it is not the folder of one"
    if trials := list(map(str, trials_in(root))):
        return f"holds trials ({listed(trials)}), and the {SweepPaths(root).manifest.name} of their sweep is missing"
    return _foreign(SweepPaths(root), WRITTEN_BY_SWEEP)


def trials_in(root: Path) -> list[int]:
    """The numbers of the trials that have files in a sweep's folder, of its final too."""
    return sorted({n for folder in (root, root / FINAL) for n in numbered(folder) if any(_entries(folder / str(n)))})


def _entries(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else [folder.name]


def sweep_around(root: Path) -> Path | None:
    """The sweep in whose folder a folder lies, as that of one of its trials does, or of a point of its final."""
    point = Path(os.path.abspath(root))
    above = (point.parent if point.name.startswith(SPLIT) else point).parent
    above = above.parent if above.name == FINAL else above
    return above if is_sweep(above) else None


def _is_there(paths: RunPaths | SweepPaths, name: str) -> bool:
    return os.path.lexists(getattr(paths, name))


def _foreign(paths: RunPaths | SweepPaths, names: tuple[str, ...]) -> str | None:
    found = [getattr(paths, name).name for name in names if _is_there(paths, name)]
    kind = "run" if isinstance(paths, RunPaths) else "sweep"
    return f"holds files of the same names as a {kind}'s ({', '.join(found)})" if found else None


def n_trials_of(root: Path) -> str:
    """The number of trials in a sweep's folder, in words."""
    n = len(trials_in(root))
    return "1 trial" if n == 1 else f"{n} trials"
