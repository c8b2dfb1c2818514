"""Opens the study that a search begins or continues, with its storage, sampler and pruner."""

import contextlib
import functools
import inspect
import itertools
import logging
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import optuna
from hydra.errors import HydraException
from hydra.utils import get_class, get_object, instantiate
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from hydra_plugins.phalanx import _grammar as grammar
from hydra_plugins.phalanx._compose import without_hydra
from hydra_plugins.phalanx._folders import check_search, lock_sweep
from hydra_plugins.phalanx._folds import agreed
from hydra_plugins.phalanx._options import KEY, as_list
from hydra_plugins.phalanx._overrides import raw_list, typed
from hydra_plugins.phalanx._request import Request
from hydra_plugins.phalanx._state import STATE
from phalanx.core.errors import RequestError, pasted
from phalanx.runs.config import objectives_of, trial_spec
from phalanx.runs.layout import SweepPaths, make_folder, sibling
from phalanx.study import (
    Grid,
    GridSampler,
    check_directions,
    check_fingerprint,
    differences,
    has_start_points,
    in_memory,
    missing_file,
    open_study,
    reseeded,
    try_pruner,
)
from phalanx.training.spec import determining

log = logging.getLogger(__name__)
T = TypeVar("T")

PRUNERS = ("optuna.pruners.*",)
MOST_POINTS = 100_000  # of a grid, which Optuna holds in memory
USUAL = {"sampler": "tpe", "pruner": "median"}
REFUSED = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, TypeError, ValueError, HydraException,
)  # fmt: skip  # what samplers and pruners raise for wrong options
SAMPLERS = ("hydra_plugins.hydra_optuna_sweeper.*", "optuna.samplers.*", "phalanx.study.automatic")


@dataclass(frozen=True)
class Opened:
    """An open study."""

    study: optuna.Study
    url: str  # of its storage
    paths: SweepPaths
    n_trials: int  # its total, which a grid bounds
    grid: Grid | None  # every value by parameter, where the sampler is a grid


def open_matching(request: Request, config: DictConfig) -> Opened:
    """Opens the study that was asked for. Raises `RequestError` with every difference if it was started otherwise.

    With on_mismatch=new it is then the next one (name-2, name-3, …) that does not exist or was started like this, whose
    name is written into `config`, from which the configs of the jobs are composed.
    """
    fingerprint, asked = _fingerprint(request, config), request.options.study_name
    pruner = _pruner(request)
    _sampler(request, None)  # raises for wrong options before anything is written
    for turn in itertools.count(2):
        _check_folder(request, config)
        opened = _open(request, config, pruner)
        if request.options.on_mismatch == "error":
            check_fingerprint(opened.study, fingerprint, request.directions)
        differing = differences(opened.study, fingerprint, request.directions)
        if not differing:
            return opened
        name = f"{asked}-{turn}"
        log.warning("the study %s was started otherwise (%s); this one is %s", asked, "; ".join(differing), name)
        _rename(config, name)
        if SweepPaths(Path(config.hydra.sweep.dir)).root == opened.paths.root:
            raise RequestError(
                f"{KEY}.on_mismatch=new finds another name for the study, and hydra.sweep.dir={opened.paths.root} does "
                "not follow it; leave hydra.sweep.dir as it is in conf/config.yaml, or give another one"
            )
    raise AssertionError("unreachable")


def sources(request: Request, config: DictConfig) -> list[optuna.Study]:
    """Returns the studies that `warm_start` names. Raises `RequestError` for one that does not exist."""
    return [_source(request, config, source) for source in as_list(request.options.warm_start or [])]


def _source(request: Request, config: DictConfig, source: Any) -> optuna.Study:
    if isinstance(source, dict):
        name, url = source.get("study_name"), source.get("storage")
    else:
        name, url = str(source), request.options.storage
    own = SweepPaths(Path(config.hydra.sweep.dir))
    own_url = _url(request, own)
    if str(name) == str(config.hydra.sweeper.study_name or own.root.name) and (url or own_url) == own_url:
        raise RequestError(
            f"{KEY}.warm_start={name} is this study itself, which goes on anyway; try {KEY}.warm_start=null"
        )
    if url is None:
        file = SweepPaths(sibling(Path(config.hydra.sweep.dir), str(name))).storage
        if not file.is_file():
            raise RequestError(
                f"{KEY}.warm_start={name}: there is no study {name!r}, {file} does not exist; name a folder under "
                "outputs/sweeps, or give {study_name: …, storage: …}"
            )
        url, name = f"sqlite:///{file.resolve()}", Path(str(name)).name
    missing = missing_file(url)
    if missing is not None:
        raise RequestError(
            f"{KEY}.warm_start: the storage {url} of the study {name!r} has no file, {missing.absolute()} does not "
            f"exist; give the file's absolute path, as in {url.partition(':')[0]}:////absolute/path/study.db"
        )
    try:
        study = open_study(str(name), url, None, None)
    except KeyError as error:
        raise RequestError(
            f"{KEY}.warm_start={name}: its storage has no study {name!r}; try {KEY}.warm_start=null"
        ) from error
    check_directions(study, request.directions)
    return study


def _rename(config: DictConfig, name: str) -> None:
    key = f"{KEY}.study_name="
    given = raw_list(config.hydra.overrides.hydra)
    with read_write(config), read_write(config.hydra), read_write(config.hydra.sweeper), open_dict(config):
        config.hydra.sweeper.study_name = name
        others = [text for text in given if not text.startswith(key)]
        config.hydra.overrides.hydra = [*others, key + name]
    OmegaConf.clear_cache(config)  # the folder follows the name


def _check_folder(request: Request, config: DictConfig) -> None:
    if request.ours:
        paths = SweepPaths(Path(config.hydra.sweep.dir))
        name, url = str(config.hydra.sweeper.study_name or paths.root.name), _url(request, paths)
        check = functools.partial(check_search, name=name, url=url)
        if in_memory(url):
            STATE.lock = lock_sweep(config, check)
        else:  # drivers of a stored study may share its folder
            check(config)


def _open(request: Request, config: DictConfig, pruner: optuna.pruners.BasePruner | None) -> Opened:
    paths = SweepPaths(Path(config.hydra.sweep.dir))
    fresh = [folder for folder in (paths.root, *paths.root.parents) if not folder.exists()]
    make_folder(paths.root, "hydra.sweep.dir", "sweeps/mine")
    url = _url(request, paths)
    try:
        study = open_study(config.hydra.sweeper.study_name or paths.root.name, url, request.directions, None, pruner)
    except RequestError:
        with contextlib.suppress(OSError):  # only what is empty
            for folder in fresh:
                folder.rmdir()
        raise
    study.sampler, n_trials = _sampler(request, len(study.get_trials(deepcopy=False)))
    grid = None
    if isinstance(study.sampler, optuna.samplers.GridSampler):
        grid = grammar.grid(request.search.space)
        if request.points or has_start_points(study):
            seed = (request.options.sampler or {}).get("seed")
            study.sampler = GridSampler(request.search.space.distributions, grid, seed)
    return Opened(study, url, paths, n_trials, grid)


def _url(request: Request, paths: SweepPaths) -> str:
    return request.options.storage or f"sqlite:///{paths.storage.resolve()}"


def _pruner(request: Request) -> optuna.pruners.BasePruner | None:
    options = request.options.pruner
    return None if options is None else _made("pruner", options, _tried)


def _tried(options: Mapping[str, Any]) -> optuna.pruners.BasePruner:
    pruner: optuna.pruners.BasePruner = instantiate(options, _execution_whitelist_=PRUNERS)
    try_pruner(pruner)
    return pruner


def _made(group: str, options: Mapping[str, Any], make: Callable[[Mapping[str, Any]], T]) -> T:
    """Returns what `make` makes of the options of `hydra/sweeper/<group>`. Raises `RequestError` for wrong ones."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return make(options)
    except REFUSED as error:
        if isinstance(error, RequestError):
            raise
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        reason = (str(cause).strip() or type(cause).__name__).partition("\n")[0]
        advice = _advice(group, options, make)
        raise RequestError(f"{KEY}.{group} cannot be made of these options: {reason}; {advice}") from error


def _advice(group: str, options: Mapping[str, Any], make: Callable[[Mapping[str, Any]], T]) -> str:
    """Returns what to type instead of the option without which `make` succeeds; else the group's usual option."""
    for name, value in options.items():
        others = {key: other for key, other in options.items() if key != name}
        with contextlib.suppress(*REFUSED), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            make(others)
            known = inspect.signature(_locate(options)).parameters
            if name not in known:
                return f"leave out {KEY}.{group}.{name}={value}"
            return (
                f"got {KEY}.{group}.{name}={value}, try {pasted(f'{KEY}.{group}.{name}={typed(known[name].default)}')}"
            )
    return f"try hydra/sweeper/{group}={USUAL[group]}"


def _locate(options: Mapping[str, Any]) -> Callable[..., Any]:
    """Returns what makes a sampler or a pruner."""
    return cast(Callable[..., Any], get_object(options["_target_"]))


def _sampler(request: Request, n_known: int | None) -> tuple[optuna.samplers.BaseSampler, int]:
    """Returns the sampler for a start that finds `n_known` trials, and the total of trials, which a grid bounds."""
    return _made("sampler", request.options.sampler or {}, lambda options: _sampler_for(request, options, n_known))


def _sampler_for(
    request: Request, options: Mapping[str, Any], n_known: int | None
) -> tuple[optuna.samplers.BaseSampler, int]:
    n_trials, search = request.budget.n_trials, request.search
    target = get_class(options["_target_"]) if options["_target_"].startswith("optuna.") else None
    sampler = instantiate(reseeded(options, target, n_known or 0), _execution_whitelist_=SAMPLERS)
    if target is optuna.samplers.BruteForceSampler:
        _refuse_intervals(request)
    if not isinstance(sampler, functools.partial):
        return cast(optuna.samplers.BaseSampler, sampler), n_trials
    if sampler.func is not optuna.samplers.GridSampler:
        chosen, why = sampler(
            request.known, conditional=bool(search.conditions or request.options.warm_start or request.custom),
            n_objectives=len(request.directions), n_trials=n_trials,
        )  # fmt: skip
        if n_known is not None:
            log.info("hydra/sweeper/sampler=auto takes %s", why)
        return chosen, n_trials
    if search.conditions:
        raise RequestError(
            "a grid has no conditions: every point of it has every parameter; try "
            f"hydra/sweeper/sampler=brute_force, which knows them, or {KEY}.conditions=null"
        )
    if others := [name for name in request.known if name not in search.space.distributions]:
        raise RequestError(
            f"a grid tries every value of the space, and {KEY}.custom_search_space="
            f"{request.options.custom_search_space} draws {', '.join(others)} beside it; try hydra/sweeper/sampler=tpe"
        )
    _refuse_intervals(request)
    n_points = math.prod(map(grammar.n_values, search.space.distributions.values()))
    if n_points > MOST_POINTS:
        raise RequestError(
            f"a grid tries every value, and this one has {n_points:,} points of at most {MOST_POINTS:,}; write shorter "
            "ranges, or try hydra/sweeper/sampler=tpe, which chooses among them"
        )
    return sampler(grammar.grid(search.space)), min(n_trials, n_points)


def _refuse_intervals(request: Request) -> None:
    """Raises `RequestError` where a sampler that tries every value would find no end of them."""
    continuous = optuna.distributions.FloatDistribution
    ranges = [n for n, d in request.known.items() if isinstance(d, continuous) and d.step is None]
    if ranges:
        raise RequestError(
            f"a grid tries every value, and {', '.join(ranges)} has no end of them; write a range with a step or a "
            "choice, or try hydra/sweeper/sampler=qmc, which covers intervals evenly"
        )


def _fingerprint(request: Request, config: DictConfig) -> dict[str, object]:
    """Returns what every start of a study has to agree on: the space, and all that determines a trial's numbers."""
    options, search = request.options, request.search
    found: dict[str, object] = {
        f"space {key}": optuna.distributions.distribution_to_json(d) for key, d in search.space.distributions.items()
    }
    found |= {f"condition {key}": text for key, text in search.conditions.items()}
    if options.custom_search_space:
        found["custom_search_space"] = options.custom_search_space
    found |= agreed(options)
    if request.ours:
        found |= determining(trial_spec(without_hydra(config)))
        found["objective"] = list(objectives_of(config))
    return found
