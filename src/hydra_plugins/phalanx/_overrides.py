"""Configurations as overrides on the command line: what `from_run=…` and `resume=…` are replaced by."""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import IntervalSweep, Override, Quote, QuotedString, RangeSweep
from omegaconf import ListConfig, OmegaConf

from hydra_plugins.phalanx._project import has_option
from phalanx.core.errors import RequestError, UnreadableFile, pasted
from phalanx.runs.config import plain
from phalanx.runs.config_file import TOP_LEVEL, flat_values
from phalanx.runs.trust import interpolations

GROUPS = ("data", "model", "loss", "optimizer", "schedule", "trainer", "device")
PLAIN_KEY = re.compile(r"[\w.-]+")


def overrides_of(values: Mapping[str, Any], conf: Path, taken: Collection[str], source: object) -> list[str]:
    """Returns the overrides that make a configuration out of the default one.

    Args:
        values: The nested values of the configuration.
        conf: The folder of the config groups.
        taken: Keys and groups to leave out.
        source: Where the values come from, for messages.

    Returns:
        The choices of groups, then every value that differs from what these compose to.

    Raises:
        UnreadableFile: A part of a run's configuration is missing, which the defaults would replace in silence.
        RequestError: A value has an interpolation, which is not resolved, or a key is none; lists all of them.
    """
    there = {key for key, value in values.items() if key in TOP_LEVEL or isinstance(value, Mapping)}
    if missing := [key for key in (*GROUPS, *TOP_LEVEL) if key not in there and key not in taken]:
        raise UnreadableFile(source, f"is damaged: it lacks {', '.join(missing)}, which the config of every run has")
    check_plain({k: v for k, v in flat_values(values).items() if _is_taken(k, taken)}, source)
    chosen = {g: values[g]["name"] for g in GROUPS if isinstance(values.get(g), Mapping) and "name" in values[g]}
    names = {g: n for g, n in chosen.items() if PLAIN_KEY.fullmatch(str(n)) and g not in taken}
    groups = [f"{g}={n}" for g, n in names.items() if has_option(conf, g, n)]
    with initialize_config_dir(str(conf)):
        present = flat_values(plain(compose("config", groups)))
    wanted = {key: value for key, value in flat_values(values).items() if _is_taken(key, taken)}
    changed = [key for key in wanted if key not in present or present[key] != wanted[key]]
    return groups + [f"{'' if key in present else '++'}{key}={typed(wanted[key])}" for key in changed]


def _is_taken(key: str, given: Collection[str]) -> bool:
    """Whether a key of a run's configuration is used: a trial's own, which the user does not give."""
    group = key.partition(".")[0]
    return group in (*GROUPS, *TOP_LEVEL) and key not in given and group not in given


def check_plain(values: Mapping[str, Any], source: object) -> None:
    """Raises one `RequestError` for all dotted keys that are none, and all values that have an interpolation."""
    faults = [f"{key!r} is not a key" for key in values if not PLAIN_KEY.fullmatch(key)]
    faults += [
        f"{key}={text!r} is an interpolation, which is not resolved; to use a value of your own type {key}=…"
        for key, text in interpolations(values).items()
    ]
    if faults:
        raise RequestError("\n  - ".join([f"{source} cannot be used as it is:", *faults]))


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


def stores_in(conf: Path) -> list[str]:
    """Returns `tracking.uri` of the default configuration, with its interpolations unresolved; nothing for null."""
    with initialize_config_dir(str(conf)):
        values = cast(dict[str, Any], OmegaConf.to_container(compose("config"), resolve=False))
    uri = (values.get("tracking") or {}).get("uri")
    return [] if uri is None else [str(uri)]


def lines_of(params: Mapping[str, Any]) -> list[str]:
    """Returns overrides; text is in Hydra's grammar already, such as `interval(0,1)`."""
    return [f"{key}={value if isinstance(value, str) else typed(value)}" for key, value in params.items()]


def raw_list(node: ListConfig) -> list[str]:
    """Returns a list of overrides in a config, with their interpolations unresolved."""
    return cast(list[str], OmegaConf.to_container(node, resolve=False))


def some_values(override: Override, loader: ConfigLoader | None) -> str:
    """Returns an override to type instead of a sweep that has no values."""
    key, sweep = override.get_key_element(), override.value()
    if isinstance(sweep, (RangeSweep, IntervalSweep)):
        ends = (sweep.start, sweep.stop) if isinstance(sweep, RangeSweep) else (sweep.start, sweep.end)
        numbers = sorted(float(end) for end in ends if end is not None and math.isfinite(float(end))) or [0.0]
        low, high = numbers[0], numbers[-1] if numbers[-1] > numbers[0] else numbers[0] + 1
        low, high = (int(number) if number.is_integer() else number for number in (low, high))
        return pasted(f"{key}={'range' if isinstance(sweep, RangeSweep) else 'interval'}({low},{high})")
    options = loader.get_group_options(override.key_or_group)[:2] if loader is not None else []
    return pasted(f"{key}={','.join(options) if len(options) == 2 else 'VALUE,VALUE'}")
