"""From Hydra's composed config to specs. All faults of a config are found in one pass and raised together.

Specs are imported when first needed: they import torch, which `--help` can do without.
"""

from __future__ import annotations

import os
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
from phalanx.runs.config_file import ASIDE, SEARCH, SHORTHANDS, TOP_LEVEL, read_values, to_yaml
from phalanx.runs.trust import VARIABLE, untrusted

if TYPE_CHECKING:
    from phalanx.runs.options import CheckpointSpec, TrackingSpec
    from phalanx.training.spec import TrialSpec

Config = DictConfig  # for packages that do not import OmegaConf
Faults = list[Fault | str]


@dataclass(frozen=True)
class Settings:
    """The specs of one run of `train.py`."""

    trial: TrialSpec
    tracking: TrackingSpec
    checkpoint: CheckpointSpec
    objectives: tuple[str, ...]  # the trial's own first; a search may have further ones


def register_resolvers() -> None:
    """Registers `${phalanx.short_id:}` and `${phalanx.sweep_name:}`; both stay the same within one invocation."""
    OmegaConf.register_resolver("phalanx.short_id", lambda: secrets.token_hex(3), use_cache=True, replace=True)
    OmegaConf.register_resolver("phalanx.sweep_name", _sweep_name, use_cache=True, replace=True)


def _sweep_name(study_name: Any) -> str:
    """The study's name, so that its folder is the same at every start; without a study, the time and an id."""
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
    faults: Faults = []
    tracking = build(TrackingSpec, _group("tracking", values.pop("tracking", {}), faults), faults)
    checkpoint = build(CheckpointSpec, _group("checkpoint", values.pop("checkpoint", {}), faults), faults)
    objectives, trial = objectives_of(values), _trial(values, faults)
    if faults or trial is None or tracking is None or checkpoint is None:
        raise SpecError(faults)
    return Settings(trial, tracking, checkpoint, objectives)


def tracking_spec(cfg: DictConfig) -> TrackingSpec:
    """The tracking options of a composed config alone. Raises `SpecError`."""
    from phalanx.runs.options import TrackingSpec

    faults: Faults = []
    spec = build(TrackingSpec, plain(cfg.tracking), faults)
    if faults or spec is None:
        raise SpecError(faults)
    return spec


def tracking_of(file: Path, given: Mapping[str, Any]) -> TrackingSpec:
    """The tracking options in a run's `config.yaml`, as far as they are used: see `phalanx.runs.trust`.

    Args:
        file: The file.
        given: Options that the user gives; they take the place of those in the file.

    Raises:
        RequestError: The file is damaged, an option is wrong, or the user has to name the store.
    """
    from phalanx.runs.options import TrackingSpec

    faults: Faults = []
    stored = {**_group("tracking", read_values(file).get("tracking", {}), faults), **given}
    if VARIABLE in os.environ and "${" in str(stored.get("uri")):
        stored["uri"] = None  # the folder has no address, and the user has named one
    found = {} if faults else untrusted({key: value for key, value in stored.items() if key not in given})
    uri = found.get("uri", "")
    named = f"set {VARIABLE} to the store" if "${" in uri or "***" in uri else f"to use it type --uri {uri}"
    advice = {"uri": named, "experiment": "type --experiment NAME"}
    faults += [
        f"tracking.{key}={text!r} is not taken from a folder; {advice.get(key, 'write its value into the file')}"
        for key, text in found.items()
    ]
    spec = None if faults else build(TrackingSpec, stored, faults)
    if faults or spec is None:
        raise RequestError("\n  - ".join([f"{file} cannot be used as it is:", *map(str, faults)]))
    return spec


def trial_spec(cfg: DictConfig | Mapping[str, Any]) -> TrialSpec:
    """The trial described by a composed config or by plain nested values. Raises `SpecError`."""
    values: Mapping[str, Any] = plain(cfg) if isinstance(cfg, DictConfig) else cfg
    faults: Faults = []
    trial = _trial({group: value for group, value in values.items() if group not in ASIDE}, faults)
    if faults or trial is None:
        raise SpecError(faults)
    return trial


def objectives_of(values: Mapping[str, Any] | DictConfig) -> tuple[str, ...]:
    """The names of the objectives: one, or a list whose first one chooses the epoch whose weights are saved."""
    given = values.get("objective")
    return tuple(map(str, given)) if isinstance(given, (list, tuple, ListConfig)) else (str(given),)


def plain(cfg: DictConfig) -> dict[str, Any]:
    """All values with their interpolations resolved; values that the user has to give stay `???`."""
    try:
        values: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    except OmegaConfBaseException as error:
        raise RequestError(f"the configuration cannot be resolved: {error}") from error
    return values


def _trial(values: Mapping[str, Any], faults: Faults) -> TrialSpec | None:
    from phalanx.core.device import DeviceSpec
    from phalanx.data import DATASETS
    from phalanx.nn.losses import LOSSES
    from phalanx.nn.models import MODELS
    from phalanx.nn.optimizers import OPTIMIZERS
    from phalanx.nn.schedules import SCHEDULES
    from phalanx.training.spec import TrainerSpec, TrialSpec

    options: dict[str, Mapping[str, type[Spec]]] = {
        "data": DATASETS, "model": MODELS, "loss": LOSSES, "optimizer": OPTIMIZERS, "schedule": SCHEDULES,
    }  # fmt: skip
    parts: dict[str, Any] = {group: _option(group, known, values.get(group, {}), faults)
                             for group, known in options.items()}  # fmt: skip
    for cls in (TrainerSpec, DeviceSpec):
        parts[cls.group] = build(cls, _group(cls.group, values.get(cls.group, {}), faults), faults)
    top = {key: values[key] for key in TOP_LEVEL if key in values}
    if "objective" in top:
        top["objective"] = _first_objective(objectives_of(top), faults)
    known = (*parts, *TOP_LEVEL)
    faults.extend(
        f"{key} is not a key of the configuration; known: {', '.join(known)}" for key in values if key not in known
    )
    try:
        TrialSpec(**top)
    except SpecError as error:
        faults.extend(error.faults)
    return None if faults or None in parts.values() else TrialSpec(**parts, **top)


def _first_objective(names: tuple[str, ...], faults: Faults) -> str:
    from phalanx.training.spec import COSTS, OBJECTIVES

    known = (*OBJECTIVES, *COSTS)
    unknown = [name for name in names[1:] if name not in known or names.count(name) > 1]
    allowed = "different ones of " + ", ".join(known)
    faults.extend(Fault("objective", name, allowed, f"objective=[{names[0]},n_parameters]") for name in unknown)
    return names[0] if names else ""


def _option(group: str, options: Mapping[str, type[Spec]], given: Any, faults: Faults) -> Spec | None:
    values = _group(group, given, faults)
    name = values.pop("name", None)
    if name not in options:
        faults.append(Fault(f"{group}.name", name, "one of " + ", ".join(options), f"{group}={next(iter(options))}"))
        return None
    return build(options[name], values, faults)


def _group(group: str, given: Any, faults: Faults) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        faults.append(Fault(group, given, "a config group", f"{group}=<option>, see python train.py --help"))
        return {}
    return {key: value for key, value in given.items() if key not in (SEARCH, *SHORTHANDS.get(group, ()))}


def resolved_yaml(cfg: DictConfig, **values: Any) -> str:
    """The config with `values` at the top level and every interpolation resolved, except in `tracking`, where
    environment variables hold secrets."""
    tracking = cfg.get("tracking")
    unresolved = OmegaConf.to_container(tracking, resolve=False) if OmegaConf.is_config(tracking) else tracking
    return to_yaml({**plain(cfg), **values, "tracking": unresolved})
