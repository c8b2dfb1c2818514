"""Refuses a run or a sweep in a folder that another one has, before anything is written, and says what to type."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from hydra_plugins.phalanx._overrides import key_of, raw_list
from phalanx.core.advice import argument, command
from phalanx.core.errors import RequestError
from phalanx.core.reading import read_entry
from phalanx.core.redaction import redact
from phalanx.runs.layout import NestedPaths, RunPaths, SweepPaths, make_folder
from phalanx.runs.manifest import Manifest
from phalanx.runs.occupied import held_before_run, held_before_sweep, n_trials_of, sweep_around, trials_in
from phalanx.runs.sweep_folder import is_sweep

if TYPE_CHECKING:
    from filelock import FileLock

RUN_DIR, SWEEP_DIR, SUBDIR = "hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir"
STUDY_NAME = "hydra.sweeper.study_name"
BY_NUMBER = "${hydra.job.num}"
PLAIN = re.compile(r"[\w./-]*[A-Za-z_./-][\w./-]*")  # what Hydra's grammar reads as a text without quotes


def check_run(folder: Path) -> None:
    """Raises `RequestError` if a new run in this folder would write over another one, or be taken for a trial."""
    if (held := held_before_run(folder)) is not None:
        raise _taken(
            RUN_DIR, folder, held, "for a run in a folder of its own", _override(RUN_DIR, _free(folder, "runs"))
        )


def check_grid(config: DictConfig) -> None:
    """Raises `RequestError` if a grid in its folder would write over a run, a search, or trials of unknown origin.

    In the folder of a grid it goes on with that.
    """
    folder = Path(config.hydra.sweep.dir)
    manifest = _manifest(folder)
    if manifest is not None and manifest.search:
        _refuse_sweep(folder, f"holds {_of_search(folder, manifest)}, and this is a grid")


def check_new_search(config: DictConfig) -> None:
    """Raises `RequestError` if the search of another sweeper, which cannot go on with one, finds a sweep there."""
    folder = Path(config.hydra.sweep.dir)
    manifest = _manifest(folder)
    if manifest is not None and trials_in(folder):
        what = _of_search(folder, manifest) if manifest.search else f"a grid of {n_trials_of(folder)}"
        _refuse_sweep(folder, f"holds {what}, and the trials of this one begin at 0 again")


def check_search(config: DictConfig, name: str, url: str) -> None:
    """Raises `RequestError` if a search in its folder would write over anything but its own study.

    Args:
        config: The composed config of the sweep.
        name: Of the study.
        url: Of the study's storage, in which nothing is created.
    """
    from phalanx.study import find_study, in_memory, stored_identity

    folder = Path(config.hydra.sweep.dir)
    manifest = _manifest(folder)
    if manifest is None:
        return
    new = _place(config, folder)
    if not manifest.search:
        _refuse_sweep(folder, f"holds a grid of {n_trials_of(folder)}, and this is a search", new)
    if manifest.study != name:
        _refuse_sweep(
            folder, f"holds {_of_search(folder, manifest)}, and this is the study {name!r}", new,
            _override(STUDY_NAME, manifest.study),
        )  # fmt: skip
    trials = trials_in(folder)
    if not trials:
        return
    study = find_study(name, url)
    known = "" if study is None else stored_identity(study)
    if study is not None and (known == manifest.study_id if manifest.study_id else len(study.trials) > trials[-1]):
        return
    if in_memory(url):
        why = "which was in the memory of a process that has ended"
    else:
        why = f"and {redact(url, url)} does not have that study; to go on with it, put its database back"
    _refuse_sweep(folder, f"holds {_of_search(folder, manifest)}, {why}", new)


def check_nested(config: DictConfig, n_folds: int) -> None:
    """Raises `RequestError` if the folder of a nested search holds anything but the same one, with as many outer folds.

    Args:
        config: The composed config of the sweep.
        n_folds: The number of outer folds.
    """
    folder = Path(config.hydra.sweep.dir)
    paths = NestedPaths(folder)
    if not paths.summary.exists():
        if is_sweep(folder):
            _refuse_sweep(folder, f"is the folder of a sweep with {n_trials_of(folder)}")
        if (held := held_before_sweep(folder)) is not None:
            _refuse_sweep(folder, held)
        return
    begun = read_entry(paths.summary, "outer_folds", int)
    if begun != n_folds:
        held = f"holds a nested search with {begun} outer folds, and this one has {n_folds}"
        _refuse_sweep(folder, held, _place(config, folder), f"hydra.sweeper.nested={begun}")


def lock_sweep(config: DictConfig, check: Callable[[DictConfig], object]) -> FileLock:
    """Makes the folder of a sweep and keeps other processes from training there, for as long as the caller holds the
    lock that is returned.

    Args:
        config: The composed config of the sweep.
        check: Raises `RequestError` if the sweep must not have the folder.

    Raises:
        RequestError: As `check`, or another process trains there.
    """
    from phalanx.runs.folder_lock import lock_folder

    folder = Path(config.hydra.sweep.dir)
    if not RunPaths(folder).lock.exists():  # else what is there is unfinished while another process trains
        check(config)
        make_folder(folder, SWEEP_DIR, "sweeps/mine")
    lock = lock_folder(folder, f"for a new sweep beside it type\n  {_command(_place(config, folder))}")
    check(config)
    return lock


def check_subdir(config: DictConfig) -> None:
    """Raises `RequestError` unless every trial of a sweep gets the folder that is named by its number."""
    given = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    if not isinstance(given, dict) or given["subdir"] == BY_NUMBER:
        return
    probe = config.copy()
    for number in (0, 13):
        with read_write(probe.hydra.job), open_dict(probe):
            probe.hydra.job.num, probe.hydra.job.id = number, str(number)
        if str(probe.hydra.sweep.subdir) != str(number):
            raise RequestError(
                f"{SUBDIR} must be {BY_NUMBER}, got {given['subdir']!r}: the trials of a sweep are found by their "
                f"numbers, and trials.csv says in what they differ; nothing was changed; type\n"
                f"  {_command(f'{SUBDIR}={BY_NUMBER}')}"
            )


def _manifest(folder: Path) -> Manifest | None:
    """The manifest of the sweep in a folder; None where there is none and a sweep can begin. Raises `RequestError`."""
    if SweepPaths(folder).manifest.exists():
        return Manifest.read(SweepPaths(folder))
    if (held := held_before_sweep(folder)) is not None:
        _refuse_sweep(folder, held)
    return None


def _of_search(folder: Path, manifest: Manifest) -> str:
    name = f"the study {manifest.study!r}" if manifest.study else "a search"
    return f"{name} with {n_trials_of(folder)}"


def _place(config: DictConfig, folder: Path) -> str:
    """The override that gives a new sweep a folder: by the name of its study where the folder follows that."""
    given = {key_of(text) for text in raw_list(config.hydra.overrides.hydra)}
    if SWEEP_DIR not in given and STUDY_NAME in given and folder.name == str(config.hydra.sweeper.study_name):
        return _override(STUDY_NAME, _free(folder, "sweeps").name)
    return _override(SWEEP_DIR, _free(folder, "sweeps"))


def _refuse_sweep(folder: Path, held: str, new: str = "", again: str = "") -> NoReturn:
    """Raises `RequestError`.

    Args:
        folder: Of the sweep.
        held: What is there, as the end of a sentence.
        new: The override that gives a new sweep a folder; by default another `hydra.sweep.dir`.
        again: The override that goes on with the sweep that is there, if one does.
    """
    error = _taken(SWEEP_DIR, folder, held, "for a new sweep", new or _override(SWEEP_DIR, _free(folder, "sweeps")))
    if again:
        raise RequestError(f"{error}\nto go on with the one that is there type\n  {_command(again)}")
    raise error


def _taken(key: str, folder: Path, held: str, aim: str, change: str) -> RequestError:
    return RequestError(f"{key}={folder} {held}; nothing was changed; {aim} type\n  {_command(change)}")


def _command(*changes: str) -> str:
    """The command that was typed, with these overrides in place of others of the same keys, for a shell."""
    keys = {key_of(text) for text in changes}
    kept = [text for text in sys.argv[1:] if key_of(text) not in keys]
    return command("python", sys.argv[0], *kept, *changes)


def _override(key: str, value: object) -> str:
    text = str(value)
    return f"{key}={text}" if PLAIN.fullmatch(text) else argument(key, text)


def _free(folder: Path, kind: str) -> Path:
    """A folder that does not exist: beside this one, or below `outputs` where that is no place for one."""
    if sweep_around(folder) is None and folder.name not in ("", ".."):
        names = (folder.with_name(f"{folder.name}-{turn}") for turn in itertools.count(2))
    else:
        names = (Path("outputs", kind, f"mine-{turn}") for turn in itertools.count(1))
    return next(path for path in names if not path.exists())
