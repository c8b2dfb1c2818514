"""What a search was asked for: the keys under `hydra.sweeper`, read and checked before anything is opened."""

from __future__ import annotations

import logging
import pydoc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, ListConfig, OmegaConf

from hydra_plugins.phalanx import _grammar as grammar
from hydra_plugins.phalanx._compose import Composer, composer_of
from hydra_plugins.phalanx._secrets import faults_of as secrets
from hydra_plugins.phalanx._spaces import Search, check, with_options
from hydra_plugins.phalanx.launcher import options_of
from phalanx.analysis.final import FinalSpec
from phalanx.core.errors import Fault, RequestError, SpecError
from phalanx.jobs.seeds import AGGREGATES
from phalanx.runs.config import objectives_of
from phalanx.study import Budget, in_memory, start_points
from phalanx.training.spec import COSTS, OBJECTIVES

log = logging.getLogger(__name__)
KEY = "hydra.sweeper"
SEEDS = ("seed", "data.split_seed")  # never searched: the best of them would be luck
MISMATCH = ("error", "new")
BUDGET = tuple(field.name for field in fields(Budget))


@dataclass(frozen=True)
class Options:
    """Every key of conf/hydra/sweeper/optuna.yaml that is no part of the budget, as Hydra hands it over."""

    sampler: Any = None
    pruner: Any = None
    direction: Any = None
    storage: str | None = None
    study_name: str | None = None
    custom_search_space: str | None = None
    params: Mapping[str, Any] | None = None
    default_params: Mapping[str, Any] | None = None
    conditions: Mapping[str, str] | None = None
    repeats: int = 1
    aggregate: str = "mean"
    final: Mapping[str, Any] | None = None
    enqueue: Sequence[Mapping[str, Any]] | None = None
    warm_start: Any = None
    on_mismatch: str = "error"
    lease_s: float = 60.0


@dataclass(frozen=True)
class Request:
    """A search that can be run."""

    options: Options
    budget: Budget
    directions: list[str]
    search: Search
    points: list[dict[str, Any]]  # to try first
    final: FinalSpec | None
    composer: Composer
    loader: ConfigLoader
    ours: bool  # whether train.py is what is searched, not an application of somebody else

    def check(self) -> None:
        """Composes every reachable combination of groups once; raises `SpecError` with all faults of them."""
        check(self.search, self.composer, self.loader, ours=self.ours)


def split(keys: Mapping[str, Any]) -> tuple[Options, dict[str, Any]]:
    """The sweeper's keys as options and budget. Raises `SpecError` for unknown ones."""
    known = (*(field.name for field in fields(Options)), *BUDGET)
    unknown = [f"{KEY}.{key} is not a key of the search; known: {', '.join(known)}" for key in keys if key not in known]
    if unknown:
        raise SpecError(unknown)
    options = {key: value for key, value in keys.items() if key not in BUDGET}
    return Options(**options), {key: keys[key] for key in BUDGET if key in keys}


def read(
    options: Options, budget: Mapping[str, Any], config: DictConfig, loader: ConfigLoader, arguments: Sequence[str]
) -> Request:
    """The whole request. Raises `SpecError`, with every fault that can be seen from the keys alone."""
    ours = "optimizer" in config  # an application of somebody else has a config of its own
    faults: list[Any] = [*secrets(config), *_misshapen(options)]
    space = None if faults else _gathered(faults, lambda: _searched(options, arguments, loader))
    faults += _faults(options, space if ours else None)
    final, limits, directions = (
        _gathered(faults, make)
        for make in (
            lambda: _final(options), lambda: Budget(**budget), lambda: _directions(options, config, ours)
        )
    )  # fmt: skip
    if faults:
        raise SpecError(faults)
    limits.check(len(directions))
    if ours:
        _check_launcher(config, options, limits)
    # A value fixed on the command line needs no condition.
    conditions = {key: text for key, text in (options.conditions or {}).items() if key not in space.fixed}
    composer, search = composer_of(loader, config), Search(space, conditions)
    if ours:
        search = with_options(search, composer, loader)
    points = OmegaConf.to_container(options.enqueue, resolve=True) if options.enqueue else []
    held = start_points(points, search.space.distributions, search.conditions)
    return Request(options, limits, directions, search, held, final, composer, loader, ours)


def _searched(options: Options, arguments: Sequence[str], loader: ConfigLoader) -> grammar.Space:
    """The space that is named, else the one by default."""
    space = _space(options.params, arguments, loader)
    if not space.distributions and not options.custom_search_space:
        return _space(options.default_params, arguments, loader)
    return space


def _space(params: Mapping[str, Any] | None, arguments: Sequence[str], loader: ConfigLoader) -> grammar.Space:
    """The command line goes before the config."""
    return grammar.parse([f"{key}={value}" for key, value in (params or {}).items()] + list(arguments), loader)


def _misshapen(options: Options) -> list[Any]:
    """Faults of what has to be a mapping or a list, since it is read before anything else."""
    examples = {
        "params": "{optimizer.lr: 'interval(0.01, 0.1)'}", "default_params": "{optimizer.lr: 'interval(0.01, 0.1)'}",
        "conditions": "{optimizer.momentum: optimizer=sgd}",
    }  # fmt: skip
    faults: list[Any] = [
        Fault(f"{KEY}.{name}", getattr(options, name), "null or a mapping from keys to text", f"{KEY}.{name}={example}")
        for name, example in examples.items()
        if not _is_mapping(getattr(options, name) or {})
    ]
    points, sources = options.enqueue or [], options.warm_start or []
    if not is_list(points) or not all(map(_is_mapping, points)):
        allowed = "null or a list of points, each a mapping"
        faults.append(Fault(f"{KEY}.enqueue", points, allowed, f"{KEY}.enqueue=[{{optimizer.lr: 0.1}}]"))
    if not all(map(_names_study, sources if is_list(sources) else [sources])):
        allowed = "null, the name of a study, {study_name: …, storage: …} or a list of these"
        faults.append(Fault(f"{KEY}.warm_start", sources, allowed, f"{KEY}.warm_start=first"))
    return faults


def _names_study(source: Any) -> bool:
    if _is_mapping(source):
        return "study_name" in source and set(source) <= {"study_name", "storage"}
    return not is_list(source)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, (Mapping, DictConfig))


def is_list(value: Any) -> bool:
    """Whether a value from YAML is a list."""
    return isinstance(value, (Sequence, ListConfig)) and not isinstance(value, str)


def _gathered(faults: list[Any], make: Any) -> Any:
    """What `make` makes; None, and its faults added, where it raises them."""
    try:
        return make()
    except SpecError as error:
        faults.extend(error.faults)
        return None


def _faults(options: Options, space: grammar.Space | None) -> list[Any]:
    searched = space.distributions if space is not None else {}
    faults: list[Any] = [
        f"{key} is searched, and the best seed would be nothing but luck; to train each point with several seeds, "
        f"try {KEY}.repeats=5"
        for key in SEEDS
        if key in searched
    ]
    if isinstance(options.repeats, bool) or not isinstance(options.repeats, int) or options.repeats < 1:
        faults.append(Fault(f"{KEY}.repeats", options.repeats, "a whole number from 1", f"{KEY}.repeats=5"))
    for name, allowed in (("aggregate", AGGREGATES), ("on_mismatch", MISMATCH)):
        if getattr(options, name) not in allowed:
            advice = f"{KEY}.{name}={allowed[0]}"
            faults.append(Fault(f"{KEY}.{name}", getattr(options, name), "one of " + ", ".join(allowed), advice))
    faults += _not_callable(options.custom_search_space)
    if options.aggregate == "lower_bound" and options.repeats == 1:
        faults.append(f"{KEY}.aggregate=lower_bound needs several seeds; try {KEY}.repeats=5")
    if not isinstance(options.storage, str | None):
        allowed = "a database URL or null"
        faults.append(Fault(f"{KEY}.storage", options.storage, allowed, f"{KEY}.storage=sqlite:///study.db"))
    if isinstance(options.lease_s, bool) or not isinstance(options.lease_s, (int, float)) or options.lease_s <= 0:
        faults.append(Fault(f"{KEY}.lease_s", options.lease_s, "seconds above 0", f"{KEY}.lease_s=60"))
    return faults


def _check_launcher(config: DictConfig, options: Options, budget: Budget) -> None:
    """Raises `RequestError` where processes could not prune; says so where most of them would have nothing to do."""
    launcher = options_of(config.hydra.launcher)
    if launcher is None or launcher.executor == "local":
        return
    prunes = options.pruner is not None and not str(options.pruner.get("_target_")).endswith("NopPruner")
    if prunes and options.storage is not None and in_memory(options.storage):
        raise RequestError(
            f"hydra.launcher.executor={launcher.executor} trains in other processes, which cannot prune by a study in "
            f"memory ({KEY}.storage={options.storage}); try {KEY}.storage=null, or hydra/sweeper/pruner=none"
        )
    if budget.n_jobs == 1:
        log.warning("%s.n_jobs=1 keeps one process busy; try %s.n_jobs=<number of processes>", KEY, KEY)
    elif launcher.executor == "submitit" and launcher.workers is None and launcher.submitit.cluster == "slurm":
        log.warning("all points train in one job of Slurm; try hydra.launcher.workers=<jobs at a time>")


def _not_callable(path: Any) -> list[Any]:
    """A fault where `custom_search_space` names no function."""
    try:
        if path is None or callable(pydoc.locate(str(path))):
            return []
        why = "there is none of that name"
    except pydoc.ErrorDuringImport as error:
        why = f"{error.filename} cannot be imported: {error.value}"
    return [f"{KEY}.custom_search_space={path} must be the dotted path of a function (config, trial): {why}"]


def _final(options: Options) -> FinalSpec | None:
    given = options.final
    if given is None:
        return None
    fault = Fault(f"{KEY}.final", given, "null or {top: …, seeds: …}", f"'{KEY}.final={{top: 3, seeds: 10}}'")
    if not _is_mapping(given) or not set(given) <= {field.name for field in fields(FinalSpec)}:
        raise SpecError([fault])
    return FinalSpec(**dict(given))


def _directions(options: Options, config: DictConfig, ours: bool) -> list[str]:
    """One for each objective: given, or what its name says."""
    known, given = OBJECTIVES | COSTS, options.direction
    objectives = objectives_of(config)
    derived = [known.get(name, "") for name in objectives]
    names = derived if given is None else list(given) if is_list(given) else [given]
    names = [getattr(name, "name", name) for name in names]
    if not set(names) <= {"minimize", "maximize"}:
        test = any(name.startswith("test") for name in objectives)
        allowed = f"minimize or maximize, or null where the objective is among {', '.join(known)}"
        if given is None and ours:
            why = " (the test split is for the final report and never chooses anything)" if test else ""
            raise SpecError([Fault("objective", ", ".join(objectives), f"one of {', '.join(known)}{why}",
                                   "objective=val_accuracy")])  # fmt: skip
        raise SpecError([Fault(f"{KEY}.direction", given, allowed, f"{KEY}.direction=null")])
    if ours and len(names) != len(derived):
        allowed = f"one for each objective ({', '.join(objectives)}), or null"
        raise SpecError([Fault(f"{KEY}.direction", names, allowed, f"{KEY}.direction=null")])
    return names
