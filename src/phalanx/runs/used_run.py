"""Which run a command takes that is given the folder of a sweep."""

from pathlib import Path

from phalanx.core.reading import read_json
from phalanx.runs.layout import REFIT, RunPaths
from phalanx.runs.sweep_folder import best_with_weights, is_sweep, sweep_summary


def used_run(path: Path | str) -> tuple[Path, tuple[str, ...]]:
    """The run to take for a path, and what to say of the choice; nothing where the path is that of a run itself.

    For a sweep it is the refit of its best point, if there is one of the point that is the best now, else the best
    trial that keeps its weights.

    Args:
        path: A run's folder, its model file, or the folder of a sweep.

    Raises:
        RunFolderError: No trial of the sweep keeps weights.
    """
    sweep = Path(path)
    if not is_sweep(sweep):
        return sweep, ()
    made = RunPaths(sweep / REFIT)
    if made.model.is_file() and made.refit.is_file():
        record = read_json(made.refit)
        if isinstance(record, dict) and record.get("best") == sweep_summary(sweep).get("best"):
            return made.root, ("the refit of the sweep's best point is used",)
    run = best_with_weights(sweep).root
    return run, (f"trial {run.name} is used, the best of the sweep",)
