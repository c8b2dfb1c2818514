"""Config files of runs: read, written, flattened to dotted keys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from omegaconf import OmegaConf

from phalanx.core.errors import RequestError, RunFolderError

if TYPE_CHECKING:
    pass


# Keys that only feed interpolations inside the YAML files; their values arrive through other keys.
SHORTHANDS = {"model": ("width",), "loss": ("default_lr",)}


SEARCH = "search"  # the key under which an option says what it brings to a search


TOP_LEVEL = ("objective", "seed")


ASIDE = ("tracking", "checkpoint")  # groups that say nothing of the trial itself


def read_yaml(path: Path) -> dict[str, Any]:
    """Plain values of a YAML file, interpolations left as they stand."""
    return OmegaConf.to_container(OmegaConf.load(path), resolve=False)  # type: ignore[return-value]


def read_overrides(path: Path) -> list[str]:
    """The overrides in a job's `overrides.yaml`, which is a list of text; OmegaConf takes ten times as long for it."""
    return list(yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or ())


def read_values(path: Path) -> dict[str, Any]:
    """Plain values of a `config.yaml` that we wrote, ten times as fast as `read_yaml`. `RunFolderError` if damaged."""
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RunFolderError(f"{path} is damaged: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise RunFolderError(f"{path} is damaged: it holds no keys")
    return values


def parse_value(text: str) -> Any:
    """A value as it was typed or logged: `0.1`, `[64,64]`, `null`; text that is no YAML stays as it is."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def parse_yaml(text: str) -> dict[str, Any]:
    """Plain values of a YAML text. Raises `RequestError` where it is none."""
    try:
        return OmegaConf.to_container(OmegaConf.create(text), resolve=False)  # type: ignore[return-value]
    except Exception as error:
        raise RequestError(f"the configuration is damaged: {error}") from error


def flat_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """A trial's resolved values by dotted key, e.g. `optimizer.lr`; what is not the trial's own is left out."""
    found: dict[str, Any] = {}
    for group, value in values.items():
        if not isinstance(value, Mapping):
            found[group] = value
        elif group not in (*ASIDE, "hydra"):
            skipped = (SEARCH, *SHORTHANDS.get(group, ()))
            found |= {f"{group}.{key}": inner for key, inner in value.items() if key not in skipped}
    return found


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a trial was trained with, by dotted key, without seed, objective, device, tracking and shorthands."""
    left_out = (*TOP_LEVEL, "device")
    return {key: value for key, value in flat_values(values).items() if key.split(".")[0] not in left_out}


def to_yaml(values: Mapping[str, Any]) -> str:
    """YAML text of plain values, in a fifth of the time of `OmegaConf.to_yaml`."""
    return yaml.dump(dict(values), Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False)


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """PyYAML's, in C where that is there; what is equal is written twice and not referred to."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, value: str) -> Any:
    """Text with quotes where OmegaConf might take it for a number, as `1e-3`, which YAML itself does not."""
    quotes = "'" if value.startswith(tuple("+-.0123456789")) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=quotes)
