"""Configurations as overrides on the command line: what `from_run=…` and `resume=…` are replaced by."""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import ListConfig, OmegaConf

from phalanx.core.errors import RequestError
from phalanx.runs.config import plain
from phalanx.runs.config_file import TOP_LEVEL, flat_values

GROUPS = ("data", "model", "loss", "optimizer", "schedule", "trainer", "device")


def folder_of(app: Callable[[], object]) -> Path:
    """Returns the folder `conf` beside the file of a `@hydra.main` function."""
    return Path(inspect.getfile(inspect.unwrap(app))).absolute().parent / "conf"


def overrides_of(values: Mapping[str, Any], conf: Path, taken: Collection[str]) -> list[str]:
    """Returns the overrides that make a configuration out of the default one.

    Args:
        values: The nested values of the configuration.
        conf: The folder of the config groups.
        taken: Keys and groups to leave out.

    Returns:
        The choices of groups, then every value that differs from what these compose to.
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


def extract(key: str, arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """Returns the value of `key=…` and the other arguments. Raises `RequestError` if the key is given twice."""
    named = [argument for argument in arguments if argument.startswith(f"{key}=")]
    if len(named) > 1:
        raise RequestError(f"{key} can be given once, got {' '.join(named)}")
    rest = [argument for argument in arguments if argument not in named]
    return (named[0].partition("=")[2] if named else None), rest


def key_of(argument: str) -> str:
    """Returns the key or the group that an override sets."""
    return argument.partition("=")[0].lstrip("+~").partition("@")[0]


def typed(value: object) -> str:
    """Returns a value in Hydra's grammar."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, str):
        return QuotedString(value, Quote.single).with_quotes()
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(typed, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{typed(one)}" for key, one in value.items()) + "}"
    return repr(value)


def raw_list(node: ListConfig) -> list[str]:
    """Returns a list of overrides in a config, with their interpolations unresolved."""
    return cast(list[str], OmegaConf.to_container(node, resolve=False))
