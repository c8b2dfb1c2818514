"""`from_run=<run>`: the configuration of an earlier run, as overrides of the present one.

The other arguments override it; a group that is chosen again drops what the run had in that group.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from hydra_plugins.phalanx._overrides import extract, folder_of, key_of, overrides_of
from phalanx.core.errors import RequestError, RunFolderError
from phalanx.core.reading import parse_yaml
from phalanx.runs.config_file import config_values, read_values
from phalanx.runs.layout import RunPaths, SweepPaths

KEY = "from_run"
RUN_ID = re.compile(r"[0-9a-f]{32}")


def expanded(arguments: Sequence[str], app: Callable[[], object]) -> list[str]:
    """Replaces `from_run=…` by the values in which the run differs. Raises `RequestError` if there is no such run."""
    run, rest = extract(KEY, arguments)
    if run is None:
        return rest
    values, source = _values(run, _tracking_uri(rest))
    return overrides_of(values, folder_of(app), {key_of(argument) for argument in rest}, source) + rest


def _values(run: str, uri: str | None) -> tuple[dict[str, Any], object]:
    """Returns the nested values that the run was trained with, and where they come from."""
    from phalanx.tracking import reading

    folder = Path(run)
    if folder.is_dir():
        return read_values(_file(folder)), _file(folder)
    if not RUN_ID.fullmatch(run):
        raise RequestError(
            f"{KEY} must be the id of an MLflow run (32 hexadecimal digits) or the folder of a run or a sweep, got "
            f"{run!r}; try {KEY}=outputs/runs/<time>-<id>"
        )
    source = f"the configuration of the MLflow run {run}"
    text, changes = reading.run_config(run, uri)
    return {**config_values(parse_yaml(text, source), source), **changes}, source


def _file(folder: Path) -> Path:
    for file in (SweepPaths(folder).best_config, RunPaths(folder).config_resolved):
        if file.is_file():
            return file
    raise RunFolderError(f"{KEY}={folder}: there is neither a run's config.yaml nor a sweep's best_config.yaml")


def _tracking_uri(arguments: Sequence[str]) -> str | None:
    """Returns the tracking URI among the arguments, if it is given."""
    given = [argument.partition("=")[2] for argument in arguments if key_of(argument) == "tracking.uri"]
    return OmegaConf.create({"uri": given[-1].strip("'\"")}).uri if given else None
