"""Config files of runs: read, written, flattened to dotted keys."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from phalanx.core.errors import RequestError, RunFolderError

SHORTHANDS = {"model": ("width",), "loss": ("default_lr",)}  # keys that only other keys of the YAML files refer to
SEARCH = "search"  # the key under which an option adds parameters to a search
TOP_LEVEL = ("objective", "seed")
ASIDE = ("tracking", "checkpoint")  # groups that are no part of a trial
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where that is there: ten times as fast as OmegaConf


def parse_yaml(text: str) -> dict[str, Any]:
    """Plain values of a YAML text; interpolations stay as they are. Raises `RequestError` if it is not YAML."""
    try:
        values: dict[str, Any] = OmegaConf.to_container(OmegaConf.create(text))  # type: ignore[assignment]
    except Exception as error:
        raise RequestError(f"the configuration is damaged: {error}") from error
    return values


def read_overrides(path: Path) -> list[str]:
    """The overrides in a job's `overrides.yaml`, as they were typed. Raises `RunFolderError` if it is damaged."""
    return list(_load(path) or ())


def read_values(path: Path) -> dict[str, Any]:
    """Plain values of a YAML file; interpolations stay as they are. Raises `RunFolderError` if it is damaged."""
    values = _load(path)
    if not isinstance(values, dict):
        raise RunFolderError(f"{path} is damaged: it holds no keys")
    return values


def _load(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RunFolderError(f"{path} is damaged: {' '.join(str(error).split())}") from error


def parse_value(text: str) -> Any:
    """A value as it was typed or logged: `0.1`, `[64,64]`, `null`; text that is not YAML stays as it is."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def flat_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """A trial's resolved values by dotted key, e.g. `optimizer.lr`, without what is no part of the trial."""
    found: dict[str, Any] = {}
    for group, value in values.items():
        if not isinstance(value, Mapping):
            found[group] = value
        elif group not in (*ASIDE, "hydra"):
            skipped = (SEARCH, *SHORTHANDS.get(group, ()))
            found |= {f"{group}.{key}": inner for key, inner in value.items() if key not in skipped}
    return found


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """As `flat_values`, without seed, objective and device."""
    return {k: value for k, value in flat_values(values).items() if k.split(".")[0] not in (*TOP_LEVEL, "device")}


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


def to_yaml(values: Mapping[str, Any]) -> str:
    """YAML text of plain values, in a fifth of the time of `OmegaConf.to_yaml`."""
    text: str = yaml.dump(dict(values), Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False)
    return text
