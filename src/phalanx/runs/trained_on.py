"""The data that a run was trained on: where its files are now, and whether they still hold the same."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from phalanx.core.errors import DataError, RequestError, RunFolderError
from phalanx.core.patterns import matching, pattern_of
from phalanx.data.base import PLACES as PLACES
from phalanx.data.base import DataSpec
from phalanx.data.cache import dataset_of
from phalanx.runs.config import trial_spec
from phalanx.runs.config_file import read_values
from phalanx.runs.layout import RunPaths, SweepPaths
from phalanx.runs.stored_run import find_stored_run
from phalanx.runs.sweep_folder import is_sweep, sweep_summary, trial_numbers


def with_places(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The configuration of a run, with the paths of its data as they lead to them from the working folder.

    A relative path that leads nowhere from here is tried from the folders around the run, since the whole may have been
    moved or copied, and from the folder in which the run was started.

    Args:
        values: The nested values of the configuration.
        folder: Of the run or the sweep.
    """
    data = values.get("data")
    if not isinstance(data, Mapping):
        return dict(values)
    found = {key: _place(data[key], folder) for key in PLACES if isinstance(data.get(key), str)}
    return {**values, "data": {**data, **found}}


def _place(path: str, folder: Path) -> str:
    pattern = pattern_of(path)
    name = path if pattern is None else pattern
    is_here = Path(path).exists() if pattern is None else bool(matching(pattern))
    if name.startswith("~") or Path(name).is_absolute() or is_here:
        return path
    starts, above = [*_starts(folder)], folder.resolve().parents
    places = [*(start for start in starts if start in above), *above, *starts]  # those above may be moved or copied
    if pattern is None:
        return next((str(place / path) for place in places if (place / path).exists()), path)
    patterns = (os.path.join(glob.escape(str(place)), pattern) for place in places)
    return next((f"glob({found})" for found in patterns if matching(found)), path)


def _starts(folder: Path) -> Iterator[Path]:
    """The folder in which the command was typed that trained a run or a sweep."""
    for file in (RunPaths(folder).hydra, SweepPaths(folder).request):
        try:
            yield Path(read_values(file, inside=folder)["hydra"]["runtime"]["cwd"])
        except (RunFolderError, OSError, LookupError, TypeError):  # Hydra's record is not needed for anything else
            continue


def trained_digests(folder: Path) -> Iterator[str]:
    """The digests of the data that a run, or the trials of a sweep, were trained on; the best trial's first."""
    folders = [folder]
    if is_sweep(folder):
        best = sweep_summary(folder).get("best")
        numbers = ([] if best is None else [best]) + trial_numbers(SweepPaths(folder))
        folders = [SweepPaths(folder).trial(number).root for number in numbers]
    for each in folders:
        try:
            stored = find_stored_run(each)
        except (RunFolderError, OSError):  # which whoever reads its numbers reports
            continue
        if stored is not None:
            yield from filter(None, (stored.data_digest, *(seed.data_digest for seed in stored.repeats)))


def check_data(values: Mapping[str, Any], known: Iterable[str], trained: str, otherwise: str) -> None:
    """Refuses to train on other data under the name of those that were trained on.

    Data that no file holds are told on standard error, since only another version of the code makes others.

    Args:
        values: The nested values of the configuration.
        known: The digests of the data that were trained on; where there is none, nothing is checked.
        trained: What was trained on them, for the message.
        otherwise: What to type instead of putting the data back.

    Raises:
        RequestError: The data have another digest, or cannot be read any more.
    """
    known = iter(known)
    if (first := next(known, None)) is None:
        return
    spec = trial_spec({key: value for key, value in values.items() if key != "hydra"}).data
    try:
        digest = dataset_of(spec).digest
    except DataError as error:
        raise RequestError(f"{error}\n{trained} was trained on data with the digest {first}; {otherwise}") from error
    if digest == first or digest in known:
        return
    text = other_data(spec, f"{trained} was", first, digest)
    if _files(spec):
        raise RequestError(f"{text}; put the data back, or, if these are meant, {otherwise}")
    print(text, file=sys.stderr)


def other_data(spec: DataSpec, trained: str, before: str, now: str) -> str:
    """Says that data have another digest than those that something was trained on.

    Args:
        spec: The data as they are now.
        trained: What was trained on the others, and its verb, such as `this search was`.
        before: The digest of the others.
        now: The digest now.
    """
    return f"{_named(spec)} holds other data than {trained} trained on: their digest was {before} and is {now} now"


def _files(spec: DataSpec) -> dict[str, str]:
    return {f"data.{key}": value for key in PLACES if (value := getattr(spec, key, None))}


def _named(spec: DataSpec) -> str:
    return " ".join(f"{key}={value}" for key, value in _files(spec).items()) or f"data={spec.name}"
