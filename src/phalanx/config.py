"""From Hydra's composed config to specs: the only module that knows OmegaConf.

All faults of a config are found in one pass and raised together. Specs are imported when first needed: they bring
torch, which `--help` can do without.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from phalanx.errors import Fault, RequestError, RunFolderError, SpecError
from phalanx.fields import Spec, build

if TYPE_CHECKING:
    from phalanx.checkpoint import CheckpointSpec
    from phalanx.spec import TrialSpec
    from phalanx.tracking import TrackingSpec

# Keys that only feed interpolations inside the YAML files; their values arrive through other keys.
SHORTHANDS = {"model": ("width",), "loss": ("default_lr",)}
SEARCH = "search"  # the key under which an option says what it brings to a search
TOP_LEVEL = ("objective", "seed")
ASIDE = ("tracking", "checkpoint")  # groups that say nothing of the trial itself


@dataclass(frozen=True)
class Settings:
    """What one run of `train.py` was asked to do."""

    trial: TrialSpec
    tracking: TrackingSpec
    checkpoint: CheckpointSpec
    objectives: tuple[str, ...]  # the trial's own first; a search may have further ones


def register_resolvers() -> None:
    """Makes `${phalanx.short_id:}` and `${phalanx.sweep_name:}` known; both stay the same inside one invocation."""
    OmegaConf.register_resolver("phalanx.short_id", lambda: secrets.token_hex(3), use_cache=True, replace=True)
    OmegaConf.register_resolver("phalanx.sweep_name", _sweep_name, use_cache=True, replace=True)


def _sweep_name(study_name: Any) -> str:
    """The study's name, which makes its folder one and the same at every start, else the time and an id."""
    if study_name is None:
        return f"{time.strftime('%Y-%m-%d_%H-%M-%S')}-{secrets.token_hex(3)}"
    name = str(study_name)
    if name in ("", ".", "..") or not name.isprintable() or set(name) & set("/\\?\0") or len(name) > 100:
        raise RequestError(
            f"hydra.sweeper.study_name must be a plain folder name of at most 100 characters, got {name!r}; "
            "try hydra.sweeper.study_name=first"
        )
    return name


def settings(cfg: DictConfig) -> Settings:
    """The specs described by a composed config. Raises one `SpecError` with every fault of it."""
    from phalanx.checkpoint import CheckpointSpec
    from phalanx.tracking import TrackingSpec

    values = plain(cfg)
    faults: list[Fault | str] = []
    tracking, checkpoint = (
        build(cls, _group(cls.group, values.pop(cls.group, {}), faults), faults)
        for cls in (TrackingSpec, CheckpointSpec)
    )
    asked = objectives_of(values)
    trial = _trial(values, faults)
    if faults or trial is None:
        raise SpecError(faults)
    return Settings(trial, tracking, checkpoint, asked)


def tracking_spec(cfg: DictConfig) -> TrackingSpec:
    """The tracking options of a composed config alone. Raises `SpecError`."""
    from phalanx.tracking import TrackingSpec

    faults: list[Fault | str] = []
    spec = build(TrackingSpec, plain(cfg.tracking), faults)
    if faults:
        raise SpecError(faults)
    return spec


def tracking_of(file: Path) -> TrackingSpec:
    """The tracking options in a run's `config.yaml`. Raises `RequestError` if a variable in them is not set."""
    return tracking_spec(OmegaConf.merge({"tracking": {}}, OmegaConf.load(file)))


def trial_spec(cfg: DictConfig | Mapping[str, Any]) -> TrialSpec:
    """The trial described by a composed config or plain nested values; how it is watched is left aside."""
    values = plain(cfg) if isinstance(cfg, DictConfig) else dict(cfg)
    for group in ASIDE:
        values.pop(group, None)
    faults: list[Fault | str] = []
    trial = _trial(values, faults)
    if faults or trial is None:
        raise SpecError(faults)
    return trial


def objectives_of(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The objectives' names: one, or a list of which the first chooses the epoch whose weights are saved."""
    given = values.get("objective")
    return tuple(map(str, given)) if isinstance(given, (list, tuple, ListConfig)) else (str(given),)


def plain(cfg: DictConfig) -> dict[str, Any]:
    """All values with their interpolations resolved; what has to be given stays `???`."""
    try:
        values: Any = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        raise RequestError(f"the configuration cannot be resolved: {error}") from error
    return values


def _trial(values: dict[str, Any], faults: list[Fault | str]) -> TrialSpec | None:
    from phalanx.data import DATASETS
    from phalanx.device import DeviceSpec
    from phalanx.losses import LOSSES
    from phalanx.models import MODELS
    from phalanx.optimizers import OPTIMIZERS
    from phalanx.schedules import SCHEDULES
    from phalanx.spec import TrainerSpec, TrialSpec

    named: dict[str, Mapping[str, type[Spec]]] = {
        "data": DATASETS, "model": MODELS, "loss": LOSSES, "optimizer": OPTIMIZERS, "schedule": SCHEDULES,
    }  # fmt: skip
    parts = {group: _option(group, options, values.pop(group, {}), faults) for group, options in named.items()}
    for group, cls in {"trainer": TrainerSpec, "device": DeviceSpec}.items():
        parts[group] = build(cls, _group(group, values.pop(group, {}), faults), faults)
    top = {key: values.pop(key) for key in TOP_LEVEL if key in values}
    if "objective" in top:
        top["objective"] = _first_objective(objectives_of(top), faults)
    faults.extend(
        f"{key} is not a key of the configuration; known: {', '.join([*parts, *TOP_LEVEL])}" for key in values
    )
    try:
        trial = TrialSpec(**top)
    except SpecError as error:
        faults.extend(error.faults)
    return None if faults or None in parts.values() else TrialSpec(**parts, **top) if trial else None


def _first_objective(names: tuple[str, ...], faults: list[Fault | str]) -> str:
    from phalanx.spec import COSTS, OBJECTIVES

    known = (*OBJECTIVES, *COSTS)
    unknown = [name for name in names[1:] if name not in known or names.count(name) > 1]
    allowed = "different ones of " + ", ".join(known)
    faults.extend(Fault("objective", name, allowed, f"objective=[{names[0]},n_parameters]") for name in unknown)
    return names[0] if names else ""


def _option(group: str, options: Mapping[str, type[Spec]], given: Any, faults: list[Fault | str]) -> Spec | None:
    values = _group(group, given, faults)
    name = values.pop("name", None)
    if name not in options:
        faults.append(Fault(f"{group}.name", name, "one of " + ", ".join(options), f"{group}={next(iter(options))}"))
        return None
    return build(options[name], values, faults)


def _group(group: str, given: Any, faults: list[Fault | str]) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        faults.append(Fault(group, given, "a config group", f"{group}=<option>, see python train.py --help"))
        return {}
    return {key: value for key, value in given.items() if key not in (SEARCH, *SHORTHANDS.get(group, ()))}


def resolved_yaml(cfg: DictConfig, **values: Any) -> str:
    """The config with every interpolation resolved, but for `tracking`, where environment variables hold secrets.

    `values` replace those at the top level.
    """
    tracking = cfg.get("tracking")
    unresolved = OmegaConf.to_container(tracking, resolve=False) if OmegaConf.is_config(tracking) else tracking
    return to_yaml({**plain(cfg), **values, "tracking": unresolved})


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


_Dumper.add_representer(str, _text)
