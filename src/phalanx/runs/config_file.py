"""Config files of runs: read, written, flattened to dotted keys."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from phalanx.core.errors import UnreadableFile
from phalanx.core.extensions import SOURCE
from phalanx.core.labels import label_of_data
from phalanx.core.reading import parse_yaml, read_yaml

SHORTHANDS = {"model": ("width",), "loss": ("default_lr",)}  # keys that only other keys of the YAML files refer to
SEARCH = "search"  # the key under which an option adds parameters to a search
TOP_LEVEL = ("objective", "seed")
ASIDE = ("tracking", "checkpoint")  # groups that are no part of a trial
NO_SETTING = (*ASIDE, *TOP_LEVEL, "hydra", "device", "debug", "experiment")  # overrides that set nothing of a trial


def shorthands(group: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys of a group that only other keys refer to. A network of the user's own may have a key `width`."""
    return () if group == "model" and SOURCE in values else SHORTHANDS.get(group, ())


def read_overrides(path: Path, *, inside: Path | None = None) -> list[str]:
    """The overrides in a job's `overrides.yaml`, as they were typed. Raises `UnreadableFile` if it is damaged.

    `inside` is the folder that the file must not lead out of by a link; None for its own.
    """
    values = read_yaml(path, inside=inside)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise UnreadableFile(path, "is damaged: it holds no list of overrides; a job without any has []")
    return values


def settings_typed(overrides: Iterable[str]) -> dict[str, str]:
    """What overrides set of a trial, by key as it was typed: `model: mlp3`, `model.width: 64`; no seed, no tracking."""
    pairs = (text.lstrip("+").partition("=") for text in overrides if not text.startswith("~"))
    return {key: value for key, mark, value in pairs if mark and re.split(r"[./@]", key)[0] not in NO_SETTING}


def read_values(path: Path, *, inside: Path | None = None) -> dict[str, Any]:
    """Plain values of a YAML file; interpolations stay as they are. Raises `UnreadableFile` if it is damaged.

    `inside` is the folder that the file must not lead out of by a link; None for its own.
    """
    return config_values(read_yaml(path, inside=inside), path)


def config_values(values: Any, source: object) -> dict[str, Any]:
    """The values of a configuration. Raises `UnreadableFile` that calls it `source` if these are no values by key."""
    if not isinstance(values, dict) or not values:
        raise UnreadableFile(source, "is damaged: it holds no keys")
    odd = [key for key in values if not isinstance(key, str)]
    if odd:
        raise UnreadableFile(source, f"is damaged: its keys must be text, got {odd[0]!r}")
    return values


def parse_value(text: str) -> Any:
    """A value as it was typed or logged: `0.1`, `[64,64]`, `null`; text that is not YAML stays as it is."""
    try:
        return parse_yaml(text, "the value")
    except UnreadableFile:
        return text


def flat_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """A trial's resolved values by dotted key, e.g. `optimizer.lr`, without what is no part of the trial."""
    found: dict[str, Any] = {}
    for group, value in values.items():
        if not isinstance(value, Mapping):
            found[group] = value
        elif group not in (*ASIDE, "hydra"):
            skipped = (SEARCH, *shorthands(group, value))
            found |= {f"{group}.{key}": inner for key, inner in value.items() if key not in skipped}
    return found


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """As `flat_values`, without seed, objective and device."""
    return {k: value for k, value in flat_values(values).items() if k.split(".")[0] not in (*TOP_LEVEL, "device")}


def data_label(params: Mapping[str, Any]) -> str:
    """What the data of a run are called, by the run's flat values; empty if it has none. See `label_of_data`."""
    return label_of_data(*(params.get(f"data.{key}") for key in ("title", "path", "name")))


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes equal values twice instead of referring to the first one."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    """Quotes text that OmegaConf might take for a number, such as `1e-3`, which YAML itself does not."""
    quotes = "'" if value.startswith(tuple("+-.0123456789")) else None
    node: yaml.ScalarNode = dumper.represent_scalar("tag:yaml.org,2002:str", value, style=quotes)
    return node


_Dumper.add_representer(str, _text)


def to_yaml(values: Mapping[str, Any] | list[str]) -> str:
    """YAML text of plain values, in a fifth of the time of `OmegaConf.to_yaml`."""
    plain = values if isinstance(values, list) else dict(values)
    text: str = yaml.dump(plain, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False)
    return text
