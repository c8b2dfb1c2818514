"""From Hydra's composed config to specs. All faults of a config are found in one pass and raised together.

Specs are imported when first needed: they import torch, which `--help` can do without.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from phalanx.core.advice import command
from phalanx.core.baselines import PACKAGES
from phalanx.core.errors import Fault, RequestError, SpecError
from phalanx.core.extensions import SOURCE, load_asked
from phalanx.core.metrics import COSTS, find_metric
from phalanx.core.metrics import objectives as known_objectives
from phalanx.core.specs import Spec, build
from phalanx.runs.config_file import ASIDE, SEARCH, TOP_LEVEL, read_values, shorthands, to_yaml
from phalanx.runs.layout import MADE
from phalanx.runs.own_options import source_fault
from phalanx.runs.trust import VARIABLE, untrusted

if TYPE_CHECKING:
    from phalanx.runs.options import CheckpointSpec, TrackingSpec
    from phalanx.training.spec import TrialSpec

DEFAULTS = {  # the groups without which no configuration can be read, with an option of each
    "data": "digits", "model": "mlp3", "loss": "cross_entropy", "optimizer": "adam",
}  # fmt: skip
_DETAIL = re.compile(r"\s+(full_key|object_type|reference_type)\b")
_RESOLVER = re.compile(r"^\w+ raised while resolving interpolation: ")
_UNSET = re.compile(r"Environment variable '(?P<name>[^']*)' not found")
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

    if lacking := _lacking(cfg):
        raise SpecError(lacking)
    values = plain(cfg)
    faults: Faults = []
    tracking = build(TrackingSpec, _group("tracking", values.pop("tracking", {}), faults), faults)
    checkpoint = build(CheckpointSpec, _group("checkpoint", values.pop("checkpoint", {}), faults), faults)
    objectives, trial = objectives_of(values), _trial(values, faults)
    if faults or trial is None or tracking is None or checkpoint is None:
        raise SpecError(faults)
    return Settings(trial, tracking, checkpoint, objectives)


def _lacking(cfg: DictConfig) -> Faults:
    """A fault for each config group that was deleted; values of others may refer to it, so that none can be read."""
    return [
        f"{group} is missing; every configuration has this group: try {group}={option}"
        for group, option in DEFAULTS.items()
        if group not in cfg
    ]


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
    named = f"set {VARIABLE} to the store" if "${" in uri or "***" in uri else f"to use it type {command('--uri', uri)}"
    advice = {"uri": named, "experiment": "type --experiment NAME"}
    faults += [
        f"tracking.{key}={text!r} is not taken from a folder; {advice.get(key, 'write its value into the file')}"
        for key, text in found.items()
    ]
    spec = None if faults else build(TrackingSpec, stored, faults)
    if faults or spec is None:
        raise RequestError("\n  - ".join([f"{file} cannot be used as it is:", *map(str, faults)]))
    return spec


def overrides_typed(cfg: DictConfig) -> list[str]:
    """The overrides of a composed config as Hydra has them, interpolations unresolved; without Hydra's part, none."""
    found = OmegaConf.to_container(cfg.hydra.overrides.task, resolve=False) if "hydra" in cfg else []
    return [str(text) for text in found] if isinstance(found, list) else []


def trial_spec(cfg: DictConfig | Mapping[str, Any]) -> TrialSpec:
    """The trial described by a composed config or by plain nested values. Raises `SpecError`."""
    values: Mapping[str, Any] = plain(cfg) if isinstance(cfg, DictConfig) else cfg
    faults: Faults = []
    trial = _trial({group: value for group, value in values.items() if group not in (*ASIDE, *MADE)}, faults)
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
        raise RequestError(f"the configuration cannot be resolved: {reason_of(error)}") from error
    return values


def reason_of(error: OmegaConfBaseException) -> str:
    """An error of OmegaConf in one line: the key, then what is wrong, without types and traces of resolvers."""
    lines = [line for line in str(error).splitlines() if not _DETAIL.match(line)]
    text = _RESOLVER.sub("", " ".join(line.strip() for line in lines)).strip() or type(error).__name__
    if found := _UNSET.search(text):
        text = f"the environment variable {found['name']} is not set; first type export {found['name']}=VALUE"
    return f"{error.full_key}: {text}" if error.full_key else text


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
    _load_metrics(values)
    parts: dict[str, Any] = {group: _option(group, known, values.get(group, {}), faults)
                             for group, known in options.items()}  # fmt: skip
    for cls in (TrainerSpec, DeviceSpec):
        parts[cls.config_group] = build(cls, _group(cls.config_group, values.get(cls.config_group, {}), faults), faults)
    top = {key: values[key] for key in TOP_LEVEL if key in values}
    _add_own_objectives(parts, objectives_of(top))
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
    known = (*known_objectives(), *COSTS)
    unknown = [name for name in names[1:] if name not in known or names.count(name) > 1]
    allowed = "different ones of " + ", ".join(known)
    faults.extend(Fault("objective", name, allowed, f"objective=[{names[0]},n_parameters]") for name in unknown)
    return names[0] if names else ""


def _load_metrics(values: Mapping[str, Any]) -> None:
    """Imports what the user has installed or named, if the configuration has a metric that is not known yet."""
    trainer = values.get("trainer")
    asked = trainer.get("metrics") if isinstance(trainer, Mapping) else ()
    names = [*(objectives_of(values) if "objective" in values else ()), *(asked if isinstance(asked, list) else ())]
    if any(name not in COSTS and find_metric(str(name)) is None for name in names):
        load_asked()


def _add_own_objectives(parts: dict[str, Any], names: Sequence[str]) -> None:
    """Has each epoch compute the further objectives that a user wrote: those of Phalanx are computed in any case."""
    trainer, own = parts["trainer"], [find_metric(name) for name in names[1:] if name in known_objectives()]
    added = tuple(info.name for info in own if info and info.source and trainer and info.name not in trainer.metrics)
    if added:
        parts["trainer"] = replace(trainer, metrics=(*trainer.metrics, *added))


def _option(group: str, options: Mapping[str, type[Spec]], given: Any, faults: Faults) -> Spec | None:
    values = _group(group, given, faults)
    name = values.pop("name", None)
    is_name = isinstance(name, str)
    is_own = is_name and (name not in options or options[name].source)
    if is_own and (fault := source_fault(group, name, values.pop(SOURCE, None), options)):
        faults.append(fault)
        return None
    if not is_name or name not in options:
        advised = next(option for option in options if option not in PACKAGES)
        faults.append(Fault(f"{group}.name", name, "one of " + ", ".join(options), f"{group}={advised}"))
        return None
    return build(options[name], values, faults)


def _group(group: str, given: Any, faults: Faults) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        faults.append(Fault(group, given, "a config group", f"{group}={DEFAULTS.get(group, 'default')}"))
        return {}
    return {key: value for key, value in given.items() if key not in (SEARCH, *shorthands(group, given))}


def resolved_yaml(cfg: DictConfig, **values: Any) -> str:
    """The config with `values` at the top level and every interpolation resolved, except in `tracking`, where
    environment variables hold secrets."""
    tracking = cfg.get("tracking")
    unresolved = OmegaConf.to_container(tracking, resolve=False) if OmegaConf.is_config(tracking) else tracking
    return to_yaml({**plain(cfg), **values, "tracking": unresolved})
