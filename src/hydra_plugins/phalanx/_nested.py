"""`hydra.sweeper.nested`: the whole search once for each outer fold of the data, which tests what that search chooses.

Each outer fold has a search of its own, in a folder of its own, which is one as it would be typed with
`data.outer_folds=5 data.outer_fold=2`. What they have in common is summed up in the folder around them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from hydra_plugins.phalanx._folders import SWEEP_DIR, check_nested
from hydra_plugins.phalanx._folds import set_in
from hydra_plugins.phalanx._options import KEY, n_outer
from hydra_plugins.phalanx._overrides import key_of, raw_list, typed
from phalanx.core.errors import Fault, SpecError
from phalanx.core.files import write_json
from phalanx.runs.layout import NestedPaths

log = logging.getLogger(__name__)

FINAL = {"top": 1, "seeds": 5}  # of each search, unless `hydra.sweeper.final` asks for other seeds
OWN = (f"{KEY}.nested", f"{KEY}.study_name", f"{KEY}.final", SWEEP_DIR)  # which each search has in its own way


def search_each_outer_fold(sweeper: Any, arguments: Sequence[str]) -> None:
    """Runs the search of each outer fold, then says what the searches' choices reach on the rows that they never saw.

    Args:
        sweeper: The `StudySweeper` that was asked for all of it.
        arguments: The overrides on the command line.

    Raises:
        RequestError: The request is wrong, or the folder holds something else.
    """
    from hydra_plugins.phalanx._request import read
    from phalanx.jobs.nested_summary import sum_up

    loader, config = sweeper.context.config_loader, sweeper.config
    request = read(sweeper.keys, config.copy(), loader, arguments, ours=True)  # for its faults: each reads its own
    n_folds = _n_folds(config, request.options.nested)
    paths = NestedPaths(Path(config.hydra.sweep.dir))
    check_nested(config, n_folds)
    for fold in range(n_folds):
        own = [f"data.outer_folds={n_folds}", f"data.outer_fold={fold}"]
        one = type(sweeper)(**_keys(sweeper.keys, paths, fold))
        one.setup(
            hydra_context=sweeper.context, task_function=sweeper.task_function, config=_config(config, paths, fold, own)
        )
        if fold == 0:
            _check(one, [*arguments, *own], _typed(config))  # before the folder exists
            paths.root.mkdir(parents=True, exist_ok=True)
            write_json(paths.summary, {"outer_folds": n_folds})
        log.info("outer fold %d of %d", fold, n_folds)
        one.sweep([*arguments, *own])
    sum_up(paths)


def _n_folds(config: DictConfig, nested: bool | int | None) -> int:
    """The number of outer folds, by `nested` or by `data.outer_folds`. Raises `SpecError` where these contradict."""
    given, fold = _typed(config), config.data.get("outer_fold")
    faults: list[Fault | str] = []
    if fold:
        faults.append(
            f"data.outer_fold={fold} tests one outer fold, and {KEY}.nested={typed(nested)} each of them; leave it out"
        )
    if given is None:
        given = n_outer(nested)
    elif isinstance(given, bool) or not isinstance(given, int) or given < 2:
        faults.append(Fault("data.outer_folds", given, "a whole number of at least 2", "data.outer_folds=5"))
    elif nested not in (True, given):
        allowed = f"true or {given} with data.outer_folds={given}"
        faults.append(Fault(f"{KEY}.nested", nested, allowed, f"{KEY}.nested=true"))
    if faults:
        raise SpecError(faults)
    return int(given)


def _typed(config: DictConfig) -> Any:
    """`data.outer_folds` as it was given; None where it was not."""
    return config.data.get("outer_folds")


def _check(search: Any, arguments: list[str], typed_folds: Any) -> None:
    """Checks every combination of the search of one outer fold. Raises `SpecError` in the words of what was typed."""
    try:
        search.check(arguments)
    except SpecError as error:
        if typed_folds is not None:
            raise
        raise SpecError([str(fault).replace("data.outer_folds", f"{KEY}.nested") for fault in error.faults]) from error


def _final(keys: Mapping[str, Any]) -> dict[str, Any]:
    """`hydra.sweeper.final` of each search: one point, since a choice among several would be made by the outer fold."""
    return {**FINAL, **(keys.get("final") or {})}


def _keys(keys: Mapping[str, Any], paths: NestedPaths, fold: int) -> dict[str, Any]:
    """What stands under `hydra.sweeper` for the search of one outer fold."""
    final = OmegaConf.create(_final(keys))
    return {**keys, "nested": None, "final": final, "study_name": paths.outer(fold).root.name}


def _config(config: DictConfig, paths: NestedPaths, fold: int, overrides: Sequence[str]) -> DictConfig:
    """The composed config of the search of one outer fold.

    Args:
        config: That of the whole command.
        paths: The folder around the searches.
        fold: Which outer fold.
        overrides: What the search sets of its data.
    """
    found = config.copy()
    root = paths.outer(fold).root
    kept = [text for text in raw_list(config.hydra.overrides.hydra) if key_of(text) not in OWN]
    final = _final(config.hydra.sweeper)
    added = {f"{KEY}.final": final, f"{KEY}.study_name": root.name, SWEEP_DIR: str(root)}
    with read_write(found), read_write(found.hydra), open_dict(found):
        found.hydra.sweep.dir, found.hydra.sweeper.nested = str(root), None
        found.hydra.sweeper.study_name, found.hydra.sweeper.final = root.name, final
        found.hydra.overrides.hydra = [*kept, *(f"{key}={typed(value)}" for key, value in added.items())]
        found.hydra.overrides.task = [*raw_list(config.hydra.overrides.task), *overrides]
        set_in(found, overrides)
    OmegaConf.clear_cache(found)
    return found
