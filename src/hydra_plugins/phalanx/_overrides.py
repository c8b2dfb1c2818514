"""A configuration as overrides on the command line: what `from_run=…` and `resume=…` are replaced by."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.types import Quote, QuotedString

from phalanx.runs.config import plain
from phalanx.runs.config_file import TOP_LEVEL, flat_values

GROUPS = ("data", "model", "loss", "optimizer", "schedule", "trainer", "device")


def folder_of(app: Callable[..., Any]) -> Path:
    """The folder `conf` beside the file of a `@hydra.main` function."""
    return Path(inspect.getfile(inspect.unwrap(app))).absolute().parent / "conf"


def overrides_of(values: Mapping[str, Any], conf: Path, taken: set[str]) -> list[str]:
    """The choices of groups, and every value in which what they compose to differs from `values`.

    Keys and groups that are `taken` are left out.
    """
    chosen = {g: values[g]["name"] for g in GROUPS if isinstance(values.get(g), Mapping) and "name" in values[g]}
    groups = [f"{g}={n}" for g, n in chosen.items() if (conf / g / f"{n}.yaml").is_file() and g not in taken]
    with initialize_config_dir(str(conf)):
        present = flat_values(plain(compose("config", groups)))
    known = (*GROUPS, *TOP_LEVEL)
    wanted = {key: value for key, value in flat_values(values).items() if key.partition(".")[0] in known}
    free = (key for key in wanted if key not in taken and key.partition(".")[0] not in taken)
    changed = [key for key in free if key not in present or present[key] != wanted[key]]
    return groups + [f"{'' if key in present else '++'}{key}={typed(wanted[key])}" for key in changed]


def key_of(argument: str) -> str:
    """The key or the group that an override sets."""
    return argument.partition("=")[0].lstrip("+~").partition("@")[0]


def typed(value: Any) -> str:
    """A value in Hydra's grammar."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return QuotedString(value, Quote.single).with_quotes()
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(typed, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{typed(one)}" for key, one in value.items()) + "}"
    return repr(value)
