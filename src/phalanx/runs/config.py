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

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from phalanx.core.errors import Fault, RequestError, SpecError
from phalanx.core.specs import Spec, build
from phalanx.runs.config_file import ASIDE, SEARCH, SHORTHANDS, TOP_LEVEL, _Dumper, _text, to_yaml

if TYPE_CHECKING:
    from phalanx.runs.options import CheckpointSpec, TrackingSpec
    from phalanx.training.spec import TrialSpec

Config = DictConfig  # for packages that do not import OmegaConf


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
    from phalanx.runs.options import CheckpointSpec, TrackingSpec

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
    from phalanx.runs.options import TrackingSpec

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
    from phalanx.core.device import DeviceSpec
    from phalanx.data import DATASETS
    from phalanx.nn.losses import LOSSES
    from phalanx.nn.models import MODELS
    from phalanx.nn.optimizers import OPTIMIZERS
    from phalanx.nn.schedules import SCHEDULES
    from phalanx.training.spec import TrainerSpec, TrialSpec

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
    from phalanx.training.spec import COSTS, OBJECTIVES

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


_Dumper.add_representer(str, _text)
