"""`from_run=<run>`: the configuration of an earlier run, as overrides of the present one.

What a person types beside it goes on top; a group that is chosen anew drops what the run had in that group.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from phalanx.config import TOP_LEVEL, flat_values, parse_yaml, plain
from phalanx.errors import RequestError, RunFolderError
from phalanx.paths import RunPaths, SweepPaths

KEY = "from_run"
RUN_ID = re.compile(r"[0-9a-f]{32}")
GROUPS = ("data", "model", "loss", "optimizer", "schedule", "trainer", "device")


def expanded(arguments: Sequence[str], app: Callable[..., Any]) -> list[str]:
    """The arguments with `from_run=…` replaced by what the run differs in. Raises `RequestError` if there is none."""
    named = [a for a in arguments if a.partition("=")[0] == KEY]
    rest = [a for a in arguments if a not in named]
    if not named:
        return rest
    if len(named) > 1:
        raise RequestError(f"{KEY} can be given once, got {' '.join(named)}")
    values = _values(named[0].partition("=")[2], _tracking_uri(rest))
    conf = Path(inspect.getfile(inspect.unwrap(app))).absolute().parent / "conf"
    return _overrides(values, conf, {_key(argument) for argument in rest}) + rest


def _values(run: str, uri: str | None) -> dict[str, Any]:
    """The nested values that the run was trained with."""
    from phalanx.tracking import reading

    folder = Path(run)
    if folder.is_dir():
        return parse_yaml(_file(folder).read_text(encoding="utf-8"))
    if not RUN_ID.fullmatch(run):
        raise RequestError(
            f"{KEY} must be the id of an MLflow run (32 hexadecimal digits) or the folder of a run or a sweep, got "
            f"{run!r}; try {KEY}=outputs/runs/<time>-<id>"
        )
    text, changes = reading.run_config(run, uri)
    return {**parse_yaml(text), **changes}


def _file(folder: Path) -> Path:
    for file in (SweepPaths(folder).best_config, RunPaths(folder).config_resolved):
        if file.is_file():
            return file
    raise RunFolderError(f"{KEY}={folder}: there is neither a run's config.yaml nor a sweep's best_config.yaml")


def _tracking_uri(arguments: Sequence[str]) -> str | None:
    """Where the person says that the runs are tracked."""
    given = [a.partition("=")[2] for a in arguments if _key(a) == "tracking.uri"]
    return OmegaConf.create({"uri": given[-1].strip("'\"")}).uri if given else None


def _overrides(values: Mapping[str, Any], conf: Path, taken: set[str]) -> list[str]:
    """The choices of groups, and every value in which what they compose to differs from the run's."""
    chosen = {g: values[g]["name"] for g in GROUPS if isinstance(values.get(g), Mapping) and "name" in values[g]}
    groups = [f"{g}={n}" for g, n in chosen.items() if (conf / g / f"{n}.yaml").is_file() and g not in taken]
    with initialize_config_dir(str(conf)):
        present = flat_values(plain(compose("config", groups)))
    known = (*GROUPS, *TOP_LEVEL)
    wanted = {key: value for key, value in flat_values(values).items() if key.partition(".")[0] in known}
    free = (key for key in wanted if key not in taken and key.partition(".")[0] not in taken)
    changed = [key for key in free if key not in present or present[key] != wanted[key]]
    return groups + [f"{'' if key in present else '++'}{key}={_typed(wanted[key])}" for key in changed]


def _key(argument: str) -> str:
    """The key or the group that an override sets."""
    return argument.partition("=")[0].lstrip("+~").partition("@")[0]


def _typed(value: Any) -> str:
    """A value in Hydra's grammar."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_typed, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_typed(k)}:{_typed(v)}" for k, v in value.items()) + "}"
    return repr(value)
