"""Reads and checks the keys under `hydra.sweeper` before anything is opened."""

import functools
import logging
import pydoc
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar, cast

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, BruteForceSampler

from hydra_plugins.phalanx import _grammar as grammar
from hydra_plugins.phalanx._arguments import check_grammar, swept_objective
from hydra_plugins.phalanx._compose import Composer, without_hydra
from hydra_plugins.phalanx._folds import fold_overrides, searched_faults, set_in
from hydra_plugins.phalanx._options import ALL, KEY, Faults, Options, as_list
from hydra_plugins.phalanx._overrides import lines_of
from hydra_plugins.phalanx._raised_epochs import raise_max_resource
from hydra_plugins.phalanx._secrets import faults_of as secrets
from hydra_plugins.phalanx._spaces import Search, check, with_options
from hydra_plugins.phalanx.launcher import options_of
from phalanx.analysis.final import FinalSpec
from phalanx.core.errors import Fault, RequestError, SpecError
from phalanx.core.metrics import COSTS
from phalanx.core.metrics import objectives as known_objectives
from phalanx.runs.config import objectives_of, trial_spec
from phalanx.study import Budget, CustomSpace, Trial, Value, in_memory, start_points, suggest_from

log = logging.getLogger(__name__)
T = TypeVar("T")

SEEDS = {  # never searched: the best of them would be luck
    "seed": ("seed", "repeats=5"),
    "data.split_seed": ("split", f"repeats=5 '{KEY}.vary=[init,order,split]'"),
    "trainer.init_seed": ("initialisation", f"repeats=5 '{KEY}.vary=[init]'"),
    "trainer.order_seed": ("order", f"repeats=5 '{KEY}.vary=[order]'"),
    "data.fold": ("fold", f"folds={ALL}"),
    "data.outer_fold": ("outer fold", "nested=true"),
}
AUTO, IN_FLIGHT = "auto", 4  # of `n_jobs`, and what it comes to; benchmarks/in_flight.py measures what more would cost
BUDGET_KEYS = tuple(field.name for field in fields(Budget))


@dataclass(frozen=True)
class Request:
    """A search that can be run."""

    options: Options
    budget: Budget
    directions: list[str]
    search: Search
    points: list[dict[str, Value]]  # to try first
    custom: CustomSpace | None  # draws further parameters
    known: Mapping[str, BaseDistribution]  # the space, with what `custom` draws for a first trial
    final: FinalSpec | None
    composer: Composer
    loader: ConfigLoader
    ours: bool  # whether train.py is what is searched, not somebody else's application
    auto: bool  # whether `n_jobs` is to be chosen

    def check(self) -> None:
        """Composes every reachable combination of groups once; raises `SpecError` with all their faults."""
        check(self.search, self.composer, self.loader, self.options if self.ours else None)

    def n_jobs(self, config: DictConfig, sampler: BaseSampler) -> int:
        """The number of trials in flight: with `auto` several where they train together and cost little more than one.

        Args:
            config: The composed config of the sweep, whose own network stands for those that are searched.
            sampler: Of the study; that of brute force asks for points that are in flight once more at the end.
        """
        from phalanx.jobs.job import is_small

        launcher = options_of(config.hydra.launcher)
        if self.auto and isinstance(sampler, BruteForceSampler):
            return 1
        if not self.auto or (launcher is not None and launcher.executor != "local"):
            return self.budget.n_jobs
        together = self.ours and launcher is not None and is_small(trial_spec(without_hydra(config)))
        return self.budget.n_jobs if together else 1


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
        RequestError: If budgets or processes do not go together with the objectives or the storage, or if
            `custom_search_space` draws what is fixed.
        CustomSpaceFailed: If it raises an error.
    """
    keys = _known(keys, (*(field.name for field in fields(Options)), *BUDGET_KEYS))
    if auto := keys.get("n_jobs") == AUTO:
        keys["n_jobs"] = IN_FLIGHT
    if ours:
        raise_max_resource(keys, config)
    options, budget, directions, final, space = _checked(keys, config, loader, arguments, ours=ours)
    budget.check(len(directions))
    # A value fixed on the command line needs no condition.
    conditions = {key: text for key, text in (options.conditions or {}).items() if key not in space.fixed}
    composer, search = Composer(loader, config), Search(space, conditions)
    if ours:
        _check_launcher(config, options, budget)
        search = with_options(search, composer, loader)
    custom = _custom(options.custom_search_space, config, search)
    drawn = {} if custom is None else custom.drawn({})
    known = {**search.space.distributions, **drawn}
    points = start_points(
        options.enqueue or [], search.space.distributions, search.conditions, custom.drawn if custom else None
    )
    return Request(options, budget, directions, search, points, custom, known, final, composer, loader, ours, auto)


def _checked(
    keys: Mapping[str, Any], config: DictConfig, loader: ConfigLoader, arguments: Sequence[str], *, ours: bool
) -> tuple[Options, Budget, list[str], FinalSpec | None, grammar.Space]:
    """Checks each key by itself; arguments as those of `read`. Raises `SpecError` with every fault."""
    passwords = secrets(config)
    faults: Faults = [*passwords]
    options = _gathered(faults, lambda: Options(**{key: keys[key] for key in keys if key not in BUDGET_KEYS}))
    budget = _gathered(faults, lambda: Budget(**{key: keys[key] for key in keys if key in BUDGET_KEYS}))
    directions = _gathered(faults, lambda: _directions(keys.get("direction"), config, ours))
    final = _gathered(faults, lambda: _final(keys.get("final")))
    if options is not None and ours:
        added = fold_overrides(options, config, _typed(keys.get("params"), arguments))
        arguments = [*arguments, *added]
        set_in(config, added)
    space = None
    if not passwords and all(isinstance(keys.get(name) or {}, dict) for name in ("params", "default_params")):
        space = _gathered(faults, lambda: _searched(keys, arguments, loader))
        faults += refused_in_space(space.distributions) if space and ours else []
        faults += searched_faults(options, space.distributions) if space and options else []
    if options is not None and not ours:
        faults += _needs_ours(options, final)
    if faults or options is None or budget is None or directions is None or space is None:
        raise SpecError(faults)
    return options, budget, directions, final, space


def _typed(params: Any, arguments: Sequence[str]) -> set[str]:
    """The keys that are typed, or stand in `hydra.sweeper.params`."""
    names = [text.partition("=")[0].lstrip("+") for text in arguments]
    return {*names, *(map(str, params) if isinstance(params, dict) else ())}


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
    check_grammar(params, f"{KEY}.params")
    check_grammar(default, f"{KEY}.default_params")
    if tags := grammar.unknown_tags([*params, *arguments]):
        raise SpecError(tags)
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
            [f"nothing is left to search: {fixed} is fixed; try 'optimizer.lr=tag(log,interval(0.001,0.1))'"]
        )
    return space


def refused_in_space(keys: Collection[str]) -> list[str]:
    """Returns a fault for each swept key by which trials cannot be compared."""
    seeds = [
        f"{key} is searched, and the best {kind} would be nothing but luck; to train each point with several "
        f"{kind}s, try {KEY}.{advice}"
        for key, (kind, advice) in SEEDS.items()
        if key in keys
    ]
    return seeds + swept_objective(keys)


def _needs_ours(options: Options, final: FinalSpec | None) -> list[str]:
    """Returns a fault for each key that only the jobs of train.py can follow."""
    wanted = {
        "repeats": (options.repeats, options.repeats > 1, 1),
        "folds": (options.folds, options.folds is not None, "null"),
        "final": ("{…}", final is not None, "null"),
        "nested": (options.nested, bool(options.nested), "null"),
        "ensemble": (options.ensemble, options.ensemble is not None, "null"),
        "refit": (str(options.refit).lower(), bool(options.refit), "false"),
    }
    return [
        f"{KEY}.{key}={value} asks for jobs of Phalanx's own train.py, and this is another application; "
        f"try {KEY}.{key}={default}"
        for key, (value, is_set, default) in wanted.items()
        if is_set
    ]


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


def _custom(path: str | None, config: DictConfig, search: Search) -> CustomSpace | None:
    if path is None:
        return None
    function = cast(Callable[[DictConfig, Trial], object], pydoc.locate(path))
    draw = suggest_from(search.space.distributions, search.conditions)
    return CustomSpace(path, functools.partial(function, config), draw, search.space.fixed)


def _final(given: Any) -> FinalSpec | None:
    if not isinstance(given, dict):
        return None  # as `Options` checks
    if not set(given) <= {field.name for field in fields(FinalSpec)}:
        allowed, advice = "null or {top: …, seeds: …}", f"{KEY}.final={{top: 3, seeds: 10}}"
        raise SpecError([Fault(f"{KEY}.final", given, allowed, advice)])
    return FinalSpec(**given)


def _directions(given: Any, config: DictConfig, ours: bool) -> list[str]:
    """Returns a direction for each objective: as given, or by the name of the objective."""
    known, objectives = known_objectives() | COSTS, objectives_of(config)
    derived = [known.get(name, "") for name in objectives]
    names = [getattr(name, "name", name) for name in (derived if given is None else as_list(given))]
    advice = f"{KEY}.direction=null"
    if given is None and ours and "" in names:
        test = any(name.startswith("test") for name in objectives)
        why = " (the test split is for the final report and never chooses anything)" if test else ""
        allowed = f"one of {', '.join(known)}{why}"
        raise SpecError([Fault("objective", ", ".join(objectives), allowed, "objective=val_accuracy")])
    if not names or not all(name in ("minimize", "maximize") for name in names):
        allowed = f"minimize or maximize, or null where the objective is among {', '.join(known)}"
        raise SpecError([Fault(f"{KEY}.direction", given, allowed, advice)])
    if ours and len(names) != len(derived):
        allowed = f"one for each objective ({', '.join(objectives)}), or null"
        raise SpecError([Fault(f"{KEY}.direction", names, allowed, advice)])
    return names
