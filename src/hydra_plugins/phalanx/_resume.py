"""`resume=<run>`: continues a run that was interrupted or killed, in its folder and with its configuration."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra_plugins.phalanx._overrides import extract, folder_of, key_of, overrides_of, typed
from phalanx.core.errors import RequestError, RunFolderError
from phalanx.core.result import Status
from phalanx.runs.checkpoint import read_checkpoint
from phalanx.runs.config_file import ASIDE, read_values
from phalanx.runs.layout import FINAL, SPLIT, RunPaths, SweepPaths
from phalanx.runs.run_folder import lock_run
from phalanx.runs.stored_run import find_stored_run

if TYPE_CHECKING:
    from filelock import FileLock

KEY = "resume"
FREE = ("trainer.epochs", "device", *ASIDE, "hydra")  # what may be given beside it


def resumed(arguments: Sequence[str], app: Callable[[], object]) -> tuple[list[str], FileLock | None]:
    """Replaces `resume=…` by the run's configuration and folder, and returns the folder's lock, for the caller to hold.

    Exits with status 0 if the run has ended. Raises `RequestError` if it cannot go on, or if another process trains it.
    """
    run, rest = extract(KEY, arguments)
    if run is None:
        return rest, None
    _check_arguments(run, rest)
    paths = _run(run)
    _leave_if_ended(paths)
    lock = lock_run(paths)
    _leave_if_ended(paths)  # in another process, which has just released it
    if paths.checkpoint.is_file():
        read_checkpoint(paths.checkpoint)
    else:
        print(f"{paths.root} has no checkpoint: the run starts from its beginning")
    values = read_values(paths.config_resolved)
    taken = {key_of(argument) for argument in rest}
    aside = {f"{g}.{name}": value for g in ASIDE if g not in taken for name, value in values.get(g, {}).items()}
    kept = [f"++{key}={typed(value)}" for key, value in aside.items() if key not in taken]
    place = f"hydra.run.dir={typed(str(paths.root))}"
    return [*overrides_of(values, folder_of(app), taken), *kept, place, *rest], lock


def _check_arguments(run: str, rest: Sequence[str]) -> None:
    if any(a in ("-m", "--multirun") for a in rest):
        raise RequestError(f"{KEY} goes on with a single run; a sweep goes on by its own command, typed again")
    keys = [key_of(a) for a in rest if not a.startswith("-")]
    free = [key for key in keys if key != "hydra.run.dir" and (key in FREE or key.partition(".")[0] in FREE)]
    others = [key for key in keys if key not in free]
    if others:
        raise RequestError(
            f"{KEY} goes on with a run as it is, so {', '.join(others)} cannot be given beside it; for a run with "
            f"changes type from_run={run}"
        )


def _run(given: str) -> RunPaths:
    folder = Path(given)
    if not given or not folder.is_dir():
        raise RunFolderError(f"{KEY} must be the folder of a run, got {given!r}; try {KEY}=outputs/runs/<time>-<id>")
    point = folder.absolute()
    above = (point.parent if point.name.startswith(SPLIT) else point).parent
    above = above.parent if above.name == FINAL else above
    for sweep in (folder.absolute(), above):
        if SweepPaths(sweep).manifest.is_file():
            raise RequestError(
                f"{KEY}={given}: a sweep goes on by its own command, typed again with the same study_name or "
                f"hydra.sweep.dir={sweep}; its trials go on from their checkpoints"
            )
    if not RunPaths(folder).config_resolved.is_file():
        raise RunFolderError(f"{KEY}={given}: there is no run's config.yaml; try {KEY}=outputs/runs/<time>-<id>")
    return RunPaths(folder)


def _leave_if_ended(paths: RunPaths) -> None:
    stored = find_stored_run(paths.root)
    if stored is not None and stored.status is not Status.FAILED:
        print(
            f"{paths.root} has ended ({stored.status}, {stored.epochs} epochs), so there is nothing to go on "
            f"with; for a longer run type from_run={paths.root} trainer.epochs=…"
        )
        sys.exit(0)
