"""`from_run=<run>`: the configuration of an earlier run, as overrides of the present one.

The other arguments override it; a group that is chosen again drops what the run had in that group.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from hydra_plugins.phalanx._overrides import extract, key_of, overrides_of
from hydra_plugins.phalanx._state import STATE
from phalanx.core.advice import folder_option, override
from phalanx.core.errors import RequestError, RunFolderError, SpecError
from phalanx.core.reading import parse_yaml
from phalanx.runs.config_file import config_values, read_values
from phalanx.runs.layout import RunPaths, SweepPaths
from phalanx.runs.metrics_csv import check_length
from phalanx.runs.stored_run import find_stored_run
from phalanx.runs.tensor_file import read_arrays
from phalanx.runs.trained_on import PLACES, check_data, trained_digests, with_places

KEY = "from_run"
RUN_ID = re.compile(r"[0-9a-f]{32}")
OTHER_DATA = ("data", *(f"data.{place}" for place in PLACES))  # keys that ask for other data than the run's
SHOWS = ("--cfg", "-c", "--info", "-i", "--help", "-h")  # which need no data


def expanded(arguments: Sequence[str], conf: Path) -> list[str]:
    """Replaces `from_run=…` by the values in which the run differs.

    Raises `RequestError` if there is no such run, or if the file of its data holds others now.
    """
    run, rest = extract(KEY, arguments)
    if run is None:
        return rest
    values, source, known = _values(run, _tracking_uri(rest))
    STATE.source, taken = str(source), {key_of(argument) for argument in rest}
    own = overrides_of(values, conf, taken, source)
    if taken.isdisjoint(OTHER_DATA) and not any(argument.startswith(SHOWS) for argument in rest):
        _check_data(run, values, known)
    return own + rest


def _check_data(run: str, values: Mapping[str, Any], known: Iterable[str]) -> None:
    place = next((key for key in PLACES if values["data"].get(key)), None)
    typed = folder_option(KEY, run)
    advice = f"{typed} {override(f'data.{place}', str(values['data'].get(place)))}"
    try:
        check_data(values, known, typed, f"type {advice}")
    except SpecError:  # of a value that Hydra is still to refuse, or that the user has replaced
        return


def _values(run: str, uri: str | None) -> tuple[dict[str, Any], object, Iterable[str]]:
    """Returns the nested values that the run was trained with, where they come from, and the digests of its data."""
    from phalanx.tracking import reading

    folder = Path(run)
    if folder.is_dir():
        values = with_places(read_values(_file(folder)), folder)
        for fault in _other_faults(RunPaths(folder)):
            print(f"{fault}; {KEY} takes the configuration alone", file=sys.stderr)
        return values, _file(folder), trained_digests(folder)
    if not RUN_ID.fullmatch(run):
        raise RequestError(
            f"{KEY} must be the id of an MLflow run (32 hexadecimal digits) or the folder of a run or a sweep, got "
            f"{run!r}; try {KEY}=outputs/runs/<time>-<id>"
        )
    source = f"the configuration of the MLflow run {run}"
    tracked = reading.run_config(run, uri)
    values = {**config_values(parse_yaml(tracked.config, source), source), **tracked.changes}
    if tracked.folder:
        values = with_places(values, Path(tracked.folder))
    return values, source, filter(None, [tracked.data_digest])


def _file(folder: Path) -> Path:
    for file in (SweepPaths(folder).best_config, RunPaths(folder).config_resolved):
        if file.is_file():
            return file
    raise RunFolderError(f"{KEY}={folder}: there is neither a run's config.yaml nor a sweep's best_config.yaml")


def _other_faults(paths: RunPaths) -> Iterator[str]:
    """What else is damaged in a run's folder, for whoever takes it for whole."""
    try:
        stored = find_stored_run(paths.root)
        check_length(paths.metrics, stored.n_rows if stored else 0)
    except (RunFolderError, OSError) as error:
        yield str(error)
    try:
        if paths.model.exists():
            read_arrays(paths.model)
    except (RunFolderError, OSError) as error:
        yield str(error)


def _tracking_uri(arguments: Sequence[str]) -> str | None:
    """Returns the tracking URI among the arguments, if it is given."""
    given = [argument.partition("=")[2] for argument in arguments if key_of(argument) == "tracking.uri"]
    return OmegaConf.create({"uri": given[-1].strip("'\"")}).uri if given else None
