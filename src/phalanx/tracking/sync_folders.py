"""`phalanx sync`: brings finished folders up to date in MLflow."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import phalanx.runs.sweep_folder as sweep_folder
from phalanx.core.errors import PhalanxError, RunFolderError, UnreadableFile
from phalanx.core.files import write_text
from phalanx.runs.config import tracking_of
from phalanx.runs.config_file import read_values
from phalanx.runs.final_folder import chosen_by_final, decided
from phalanx.runs.layout import RunPaths, SweepPaths, TrackedPaths
from phalanx.runs.left_out import SHOWN, LeftOut
from phalanx.runs.made_folders import made_in
from phalanx.runs.manifest import update_manifest
from phalanx.runs.options import TrackingSpec
from phalanx.tracking.connection import silence
from phalanx.tracking.sync import FolderSync


class NotDelivered(PhalanxError):
    """Some runs are not in MLflow: the store could not be used, or another process logs the folder."""


@dataclass(frozen=True)
class SyncCount:
    """How many runs of a folder were logged, were in the store already, and are not logged, and why."""

    n_logged: int
    n_there: int
    n_left: int
    reason: str
    n_deleted: int = 0  # of those that were there, how many were deleted in MLflow and stay so

    def __str__(self) -> str:
        runs = "1 run" if self.n_logged == 1 else f"{self.n_logged} runs"
        there = f", {self.n_there} already there" if self.n_there else ""
        there += f" ({self.n_deleted} of them deleted in MLflow, and left so)" if self.n_deleted else ""
        left = f", {self.n_left} not delivered ({self.reason})" if self.n_left else ""
        return f"{runs} delivered{there}{left}"


def find_folders(paths: Sequence[Path]) -> list[Path]:
    """Returns the runs and sweeps in the folders, each once, and what was made of a sweep's trials.

    Raises `RunFolderError` for a path that has none.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        inside = [path] if _is_run_or_sweep(path) else list(_inside(path))
        if not inside:
            raise RunFolderError(
                f"{path} holds no run (result.json) and no sweep (sweep.json); try outputs, or outputs/sweeps/<study>"
            )
        made = [made for folder in inside if sweep_folder.is_sweep(folder) for made in made_in(folder)]
        inside += [folder for folder in made if RunPaths(folder).result.exists()]
        found |= {folder.resolve(): folder for folder in inside}
    return list(found.values())


def configured_tracking(root: Path, given: Mapping[str, Any] | None = None) -> TrackingSpec:
    """Returns the tracking options that the runs in a folder were started with; the defaults if that was `none`.

    Args:
        root: The folder; of a sweep the first configuration counts that can be read.
        given: Options that the user gives; they take the place of those of the folder.

    Raises:
        UnreadableFile: There are configurations, and none can be read.
        RequestError: The configuration names a store that is not taken from a folder.
    """
    file, given = _config(root), given or {}
    spec = replace(TrackingSpec(), **given) if file is None else tracking_of(file, given)
    return spec if spec.kind == "mlflow" else replace(TrackingSpec(register="none"), **given)


def goes_elsewhere(root: Path, given: Mapping[str, Any]) -> bool:
    """Whether the user gives another store or experiment than those that the runs in a folder were started with."""
    file = _config(root)
    stored = read_values(file).get("tracking", {}) if file else {}
    return any(stored.get(key) != value for key, value in given.items())


def _config(root: Path) -> Path | None:
    """The first configuration that can be read; None if there is none at all. Raises `UnreadableFile` if none can."""
    damaged = None
    for location in sweep_folder.run_locations(root):
        try:
            read_values(location.paths.config_resolved)
            return location.paths.config_resolved
        except FileNotFoundError:
            continue
        except UnreadableFile as error:
            damaged = damaged or error
    if damaged is not None:
        raise damaged
    return None


def sync_folder(root: Path, spec: TrackingSpec, left_out: LeftOut, *, keep_ids: bool = False) -> SyncCount:
    """Logs what MLflow lacks of one folder, and writes the ids of the runs in MLflow into it.

    Args:
        root: The folder of a run or a sweep.
        spec: Where to log.
        left_out: Takes what cannot be read or written in the folder.
        keep_ids: Keeps the ids that are there, because they are of the store that the configuration names.

    Returns:
        How many runs were logged.
    """
    paths = SweepPaths(root)
    if sweep_folder.is_sweep(root):
        left_out.attempt(lambda: _sum_up(paths, left_out), None)
    with silence(), closing(FolderSync(root, spec, keep_ids=keep_ids)) as sync:
        n_left, reason = sync.finish() + len(sync.refused), _reason(sync)
    if sync.problem and not n_left:
        left_out.add(sync.problem)  # of the model that would be registered
    if sync.locked_out:
        n_left, reason = 1, "a process that runs now delivers it"
    if sync.sweep_run_id is not None:
        if not keep_ids:
            left_out.attempt(lambda: update_manifest(paths, mlflow_run_id=sync.sweep_run_id), None)
        if sync.has_new_ids:
            trials = sweep_folder.collect(paths, left_out=left_out)
            left_out.attempt(lambda: write_text(paths.trials, sweep_folder.trials_csv(trials)), None)
    return SyncCount(sync.n_logged, sync.n_there, n_left, reason, len(sync.left_deleted))


def _reason(sync: FolderSync) -> str:
    """Why runs are not delivered: each that was refused, and what else there was."""
    found = [*sync.refused.values(), *([sync.problem] if sync.problem else [])]
    more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return "; ".join([*found[:SHOWN], *more])


def _sum_up(paths: SweepPaths, left_out: LeftOut) -> None:
    """Writes the summary of a sweep whose process was killed."""
    if sweep_folder.sweep_summary(paths.root):
        return
    trials = sweep_folder.collect(paths, left_out=left_out)
    best = sweep_folder.front_first(sweep_folder.ranked(trials, sweep_folder.direction_of(trials)))
    best = decided(best, left_out.attempt(lambda: chosen_by_final(paths), None))
    update_manifest(paths, summary=sweep_folder.summarise_sweep(trials, best, "interrupted"))


def _is_run_or_sweep(path: Path) -> bool:
    return path.is_dir() and (
        sweep_folder.is_sweep(path) or RunPaths(path).result.exists() or TrackedPaths(path).identity.is_file()
    )


def _inside(path: Path) -> Iterator[Path]:
    """Runs and sweeps at most two folders below."""
    for folder in sorted(path.glob("*/")):
        if _is_run_or_sweep(folder):
            yield folder
        else:
            yield from filter(_is_run_or_sweep, sorted(folder.glob("*/")))
