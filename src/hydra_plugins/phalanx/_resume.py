"""`resume=<run>`: continues a run that was interrupted or killed, in its folder and with its configuration."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_plugins.phalanx._overrides import check_plain, extract, key_of, overrides_of, stores_in, typed
from hydra_plugins.phalanx._state import STATE
from phalanx.core.advice import folder_option, override
from phalanx.core.baselines import FITTED
from phalanx.core.errors import RequestError, RunFolderError, UnreadableFile, pasted
from phalanx.core.files import delete_stale
from phalanx.core.redaction import redact
from phalanx.core.result import Status
from phalanx.runs.checkpoint import read_checkpoint
from phalanx.runs.config_file import ASIDE, read_values
from phalanx.runs.folder_lock import lock_run
from phalanx.runs.layout import FINAL, SPLIT, RunPaths, SweepPaths
from phalanx.runs.stored_run import find_stored_run
from phalanx.runs.trained_on import with_places
from phalanx.runs.trust import is_own_store

if TYPE_CHECKING:
    from filelock import FileLock

KEY = "resume"
FREE = ("trainer.epochs", "trainer.min_updates", "device", *ASIDE, "hydra")  # what may be given beside it


def resumed(arguments: Sequence[str], conf: Path) -> tuple[list[str], FileLock | None]:
    """Replaces `resume=…` by the run's configuration and folder, and returns the folder's lock, for the caller to hold.

    Exits with status 0 if the run has ended. Raises `RequestError` if it cannot go on, or if another process trains it.
    """
    run, rest = extract(KEY, arguments)
    if run is None:
        return rest, None
    _check_arguments(run, rest)
    paths = _run(run)
    _leave_if_ended(paths)
    lock = lock_run(paths.root)
    _leave_if_ended(paths)  # in another process, which has just released it
    if paths.checkpoint.is_file():
        read_checkpoint(paths.checkpoint)
    else:
        print(f"{paths.root} has no checkpoint: the run starts from its beginning")
    values = with_places(read_values(paths.config_resolved), paths.root)
    STATE.source = str(paths.config_resolved)
    taken = {key_of(argument) for argument in rest}
    aside = _aside(values, conf, taken, paths)
    place = f"hydra.run.dir={typed(str(paths.root))}"
    own = overrides_of(values, conf, taken, paths.config_resolved)
    return [*own, *(f"++{key}={typed(value)}" for key, value in aside.items()), place, *rest], lock


def _aside(values: Mapping[str, Any], conf: Path, taken: Collection[str], paths: RunPaths) -> dict[str, Any]:
    """The run's own tracking and checkpoint options by key, without those that are `taken`.

    Raises `RequestError` for a tracking store that the user has to name, and for other interpolations.
    """
    groups = {group: values.get(group, {}) for group in ASIDE if group not in taken}
    if odd := [group for group, options in groups.items() if not isinstance(options, Mapping)]:
        raise UnreadableFile(paths.config_resolved, f"is damaged: {', '.join(odd)} must be a config group")
    found = {f"{group}.{name}": value for group, options in groups.items() for name, value in options.items()}
    found = {key: value for key, value in found.items() if key not in taken}
    uri = found.get("tracking.uri")
    if groups.get("tracking", {}).get("kind") == "none":
        found.pop("tracking.uri", None)  # which is unused
    elif not is_own_store(uri, [] if uri is None else stores_in(conf)):
        own = redact(str(uri), str(uri))
        # An interpolation is typed as one, not as text.
        typed = pasted(f"tracking.uri={own}") if "${" in own else override("tracking.uri", own)
        raise RequestError(
            f"{paths.config_resolved} has tracking.uri={own!r}, and an address is not taken from a folder, which may "
            "come from somebody else; to use it type "
            f"{folder_option(KEY, paths.root)} {typed}, else tracking=none"
        )
    check_plain({key: value for key, value in found.items() if key != "tracking.uri"}, paths.config_resolved)
    return found


def _check_arguments(run: str, rest: Sequence[str]) -> None:
    if any(a in ("-m", "--multirun") for a in rest):
        raise RequestError(f"{KEY} goes on with a single run; a sweep goes on by its own command, typed again")
    keys = [key_of(a) for a in rest if not a.startswith("-")]
    free = [key for key in keys if key != "hydra.run.dir" and (key in FREE or key.partition(".")[0] in FREE)]
    others = [key for key in keys if key not in free]
    if others:
        raise RequestError(
            f"{KEY} goes on with a run as it is, so {', '.join(others)} cannot be given beside it; for a run with "
            f"changes type {folder_option('from_run', run)}"
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
                f"{override('hydra.sweep.dir', str(sweep))}; its trials go on from their checkpoints"
            )
    if not RunPaths(folder).config_resolved.is_file():
        raise RunFolderError(f"{KEY}={given}: there is no run's config.yaml; try {KEY}=outputs/runs/<time>-<id>")
    return RunPaths(folder)


def _leave_if_ended(paths: RunPaths) -> None:
    stored = find_stored_run(paths.root)
    if stored is not None and stored.status is not Status.FAILED:
        more = f"; for a longer run type {folder_option('from_run', paths.root)} trainer.epochs=…"
        print(
            f"{paths.root} has ended ({stored.status}, {stored.epochs} epochs), so there is nothing to go on "
            f"with{'' if stored.way == FITTED else more}"
        )
        _finish(paths)
        sys.exit(0)


def _finish(paths: RunPaths) -> None:
    """Removes and draws what a process left that was killed after it had written the result.

    Raises `RequestError` if that process still runs.
    """
    delete_stale(paths.root)
    if paths.plots.is_dir():
        return
    lock = lock_run(paths.root)
    try:
        from phalanx.jobs.run import draw_again

        draw_again(paths)
    except (RequestError, OSError) as error:
        print(f"the plots of {paths.root} cannot be drawn: {error}", file=sys.stderr)
    finally:
        lock.release()
