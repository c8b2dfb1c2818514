"""Reads and checks the keys under `hydra.sweeper` before anything is opened."""

import logging
import pydoc
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.phalanx import _grammar as grammar
from hydra_plugins.phalanx._compose import Composer
from hydra_plugins.phalanx._overrides import lines_of
from hydra_plugins.phalanx._secrets import faults_of as secrets
from hydra_plugins.phalanx._spaces import Search, check, with_options
from hydra_plugins.phalanx.launcher import options_of
from phalanx.analysis.final import FinalSpec
from phalanx.core.errors import Fault, RequestError, SpecError
from phalanx.core.specs import Spec, static
from phalanx.jobs.seeds import AGGREGATES
from phalanx.runs.config import objectives_of
from phalanx.study import Budget, Value, in_memory, start_points
from phalanx.training.spec import COSTS, OBJECTIVES

log = logging.getLogger(__name__)
T = TypeVar("T")
Faults = list[Fault | str]

KEY = "hydra.sweeper"
SEEDS = ("seed", "data.split_seed")  # never searched: the best of them would be luck
OBJECTIVE = "objective"
PARAMS = "{optimizer.lr: 'interval(0.01, 0.1)'}"


@dataclass(frozen=True)
class Options(Spec):
    """The keys of conf/hydra/sweeper/optuna.yaml that are not part of the budget, as Hydra passes them."""

    group: ClassVar[str] = KEY
    sampler: dict[str, Any] | None = None
    pruner: dict[str, Any] | None = None
    direction: Any = None  # text, an enum of the stock plugin, or a list of these
    storage: str | None = static(None, advice="sqlite:///study.db")
    study_name: str | int | None = None
    custom_search_space: str | None = None
    params: Mapping[str, Any] | None = static(None, advice=PARAMS)
    default_params: Mapping[str, Any] | None = static(None, advice=PARAMS)
    conditions: Mapping[str, str] | None = static(None, advice="{optimizer.momentum: optimizer=sgd}")
    repeats: int = static(1, ge=1, advice="5")
    aggregate: str = static("mean", choices=AGGREGATES)
    final: Mapping[str, Any] | None = static(None, advice="{top: 3, seeds: 10}")
    enqueue: Sequence[Mapping[str, Any]] | None = static(None, advice="[{optimizer.lr: 0.1}]")
    warm_start: Any = None  # the name of a study, a mapping, or a list of these
    on_mismatch: str = static("error", choices=("error", "new"))
    lease_s: float = static(60.0, gt=0)

    def conflicts(self) -> Faults:
        faults: Faults = []
        if not all(isinstance(point, dict) for point in self.enqueue or []):
            advice = f"{KEY}.enqueue=[{{optimizer.lr: 0.1}}]"
            faults.append(Fault(f"{KEY}.enqueue", self.enqueue, "a list of mappings", advice))
        if not all(map(_names_study, as_list(self.warm_start or []))):
            allowed = "null, the name of a study, {study_name: …, storage: …} or a list of these"
            faults.append(Fault(f"{KEY}.warm_start", self.warm_start, allowed, f"{KEY}.warm_start=first"))
        if self.aggregate == "lower_bound" and self.repeats == 1:
            faults.append(f"{KEY}.aggregate=lower_bound needs several seeds; try {KEY}.repeats=5")
        return faults + _not_callable(self.custom_search_space)


@dataclass(frozen=True)
class Request:
    """A search that can be run."""

    options: Options
    budget: Budget
    directions: list[str]
    search: Search
    points: list[dict[str, Value]]  # to try first
    final: FinalSpec | None
    composer: Composer
    loader: ConfigLoader
    ours: bool  # whether train.py is what is searched, not somebody else's application

    def check(self) -> None:
        """Composes every reachable combination of groups once; raises `SpecError` with all their faults."""
        check(self.search, self.composer, self.loader, ours=self.ours)


def read(
    keys: Mapping[str, Any], config: DictConfig, loader: ConfigLoader, arguments: Sequence[str], *, ours: bool
) -> Request:
    """Reads the request for a search.

    Args:
        keys: What stands under `hydra.sweeper`, as Hydra passes it.
        config: The composed config of the sweep.
        loader: Knows which keys are config groups.
        arguments: The overrides on the command line.
        ours: The application is train.py, not somebody else's, which has a config of its own.

    Raises:
        SpecError: With every fault that can be seen from the keys alone.
        RequestError: If budgets or processes do not go together with the objectives or the storage.
    """
    budget_keys = {field.name for field in fields(Budget)}
    keys = _known(keys, (*(field.name for field in fields(Options)), *budget_keys))
    passwords = secrets(config)
    faults: Faults = [*passwords]
    options = _gathered(faults, lambda: Options(**{key: keys[key] for key in keys if key not in budget_keys}))
    budget = _gathered(faults, lambda: Budget(**{key: keys[key] for key in keys if key in budget_keys}))
    directions = _gathered(faults, lambda: _directions(keys.get("direction"), config, ours))
    final = _gathered(faults, lambda: _final(keys.get("final")))
    space = None
    if not passwords and all(isinstance(keys.get(name) or {}, dict) for name in ("params", "default_params")):
        space = _gathered(faults, lambda: _searched(keys, arguments, loader))
        faults += refused_in_space(space.distributions) if space and ours else []
    if options is not None and not ours:
        faults += _needs_ours(options, final)
    if faults or options is None or budget is None or directions is None or space is None:
        raise SpecError(faults)
    budget.check(len(directions))
    # A value fixed on the command line needs no condition.
    conditions = {key: text for key, text in (options.conditions or {}).items() if key not in space.fixed}
    composer, search = Composer(loader, config), Search(space, conditions)
    if ours:
        _check_launcher(config, options, budget)
        search = with_options(search, composer, loader)
    points = start_points(options.enqueue or [], search.space.distributions, search.conditions)
    return Request(options, budget, directions, search, points, final, composer, loader, ours)


def _known(keys: Mapping[str, Any], known: Sequence[str]) -> dict[str, Any]:
    """Returns the keys with plain values. Raises `SpecError` for keys that no search has."""
    unknown = [f"{KEY}.{key} is not a key of the search; known: {', '.join(known)}" for key in keys if key not in known]
    if unknown:
        raise SpecError(unknown)
    return {k: OmegaConf.to_container(v, resolve=True) if OmegaConf.is_config(v) else v for k, v in keys.items()}


def _searched(keys: Mapping[str, Any], arguments: Sequence[str], loader: ConfigLoader) -> grammar.Space:
    """Returns the space of the command line and `params`; where these search nothing, also that of `default_params`.

    Raises `SpecError` where everything that would be searched is fixed.
    """
    params, default = (lines_of(keys.get(name) or {}) for name in ("params", "default_params"))
    space = grammar.parse([*params, *arguments], loader)
    if space.distributions or keys.get("custom_search_space"):
        return space
    wanted = grammar.parse(params, loader).distributions
    if not wanted:
        space = grammar.parse([*default, *params, *arguments], loader)
        wanted = grammar.parse(default, loader).distributions
    if wanted and not space.distributions:
        fixed = ", ".join(f"{key}={space.fixed[key]}" for key in wanted if key in space.fixed)
        raise SpecError(
            [f"nothing is left to search: {fixed} is fixed; try optimizer.lr='tag(log,interval(0.001,0.1))'"]
        )
    return space


def refused_in_space(keys: Collection[str]) -> list[str]:
    """Returns a fault for each swept key by which trials cannot be compared."""
    seeds = [
        f"{key} is searched, and the best seed would be nothing but luck; to train each point with several seeds, "
        f"try {KEY}.repeats=5"
        for key in SEEDS
        if key in keys
    ]
    return seeds + swept_objective(keys)


def swept_objective(keys: Collection[str]) -> list[str]:
    """Returns a fault where trials would have different objectives, of which none is the best."""
    if OBJECTIVE not in keys:
        return []
    return [
        "objective differs between trials, so that none of them is the best; fix one, try objective=val_accuracy, or "
        "search for several at once, try objective=[val_accuracy,n_parameters]"
    ]


def _needs_ours(options: Options, final: FinalSpec | None) -> list[str]:
    """Returns a fault for each key that only the jobs of train.py can follow."""
    wanted = {"repeats": (options.repeats, options.repeats > 1, 1), "final": ("{…}", final is not None, "null")}
    return [
        f"{KEY}.{key}={value} asks for jobs of Phalanx's own train.py, and this is another application; "
        f"try {KEY}.{key}={default}"
        for key, (value, is_set, default) in wanted.items()
        if is_set
    ]


def _names_study(source: object) -> bool:
    if isinstance(source, dict):
        return "study_name" in source and set(source) <= {"study_name", "storage"}
    return not isinstance(source, list)


def as_list(value: object) -> list[Any]:
    """Returns a list as it is, and any other value as a list of one."""
    return value if isinstance(value, list) else [value]


def _gathered(faults: Faults, make: Callable[[], T]) -> T | None:
    """Returns what `make` returns; None, with its faults added, if it raises `SpecError`."""
    try:
        return make()
    except SpecError as error:
        faults.extend(error.faults)
        return None


def _check_launcher(config: DictConfig, options: Options, budget: Budget) -> None:
    """Raises `RequestError` where processes could not prune; warns where most of them would have nothing to do."""
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


def _not_callable(path: str | None) -> list[str]:
    """Returns a fault where `custom_search_space` names no function."""
    try:
        if path is None or callable(pydoc.locate(str(path))):
            return []
        why = "there is none of that name"
    except pydoc.ErrorDuringImport as error:
        why = f"{error.filename} cannot be imported: {error.value}"
    return [f"{KEY}.custom_search_space={path} must be the dotted path of a function (config, trial): {why}"]


def _final(given: Any) -> FinalSpec | None:
    if not isinstance(given, dict):
        return None  # as `Options` checks
    if not set(given) <= {field.name for field in fields(FinalSpec)}:
        allowed, advice = "null or {top: …, seeds: …}", f"'{KEY}.final={{top: 3, seeds: 10}}'"
        raise SpecError([Fault(f"{KEY}.final", given, allowed, advice)])
    return FinalSpec(**given)


def _directions(given: Any, config: DictConfig, ours: bool) -> list[str]:
    """Returns a direction for each objective: as given, or by the name of the objective."""
    known, objectives = OBJECTIVES | COSTS, objectives_of(config)
    derived = [known.get(name, "") for name in objectives]
    names = [getattr(name, "name", name) for name in (derived if given is None else as_list(given))]
    advice = f"{KEY}.direction=null"
    if given is None and ours and "" in names:
        test = any(name.startswith("test") for name in objectives)
        why = " (the test split is for the final report and never chooses anything)" if test else ""
        allowed = f"one of {', '.join(known)}{why}"
        raise SpecError([Fault("objective", ", ".join(objectives), allowed, "objective=val_accuracy")])
    if not set(names) <= {"minimize", "maximize"}:
        allowed = f"minimize or maximize, or null where the objective is among {', '.join(known)}"
        raise SpecError([Fault(f"{KEY}.direction", given, allowed, advice)])
    if ours and len(names) != len(derived):
        allowed = f"one for each objective ({', '.join(objectives)}), or null"
        raise SpecError([Fault(f"{KEY}.direction", names, allowed, advice)])
    return names
