"""`hydra.sweeper.folds` and `vary`: each point on all folds of its data, and each repeat on a fresh split."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from hydra_plugins.phalanx._options import ALL, KEY, Faults, Options
from phalanx.core.errors import DataError, Fault, RequestError, SpecError
from phalanx.runs.manifest import SEED_VARIES, Manifest, Sweep

if TYPE_CHECKING:
    from phalanx.data.base import DataSpec
    from phalanx.training.spec import TrialSpec

DIVIDE = ("data.resampling", "data.folds", "data.repeats")  # which say how many folds there are
HELD_OUT = "holdout"  # of `data.resampling`: one split


def fold_overrides(options: Options, config: DictConfig, given: Collection[str]) -> list[str]:
    """The overrides by which `folds=5` makes five folds of data that have one split; none if they have folds already.

    Args:
        options: The keys of the search.
        config: The composed config of the sweep.
        given: The keys that are typed, which stay as they are.
    """
    resampling = OmegaConf.select(config, "data.resampling", default=None)
    if not isinstance(options.folds, int) or resampling != HELD_OUT:
        return []
    wanted = {"data.resampling": "kfold", "data.folds": str(options.folds)}
    return [f"{key}={value}" for key, value in wanted.items() if key not in given]


def set_in(config: DictConfig, overrides: Sequence[str]) -> None:
    """Sets what `fold_overrides` returned in the config of the sweep."""
    for key, _, value in (text.partition("=") for text in overrides):
        OmegaConf.update(config, key, int(value) if value.isdecimal() else value, force_add=True)


def repeats_of(options: Options) -> dict[str, Any]:
    """What `sweep.json` says of the repeats and folds of each trial."""
    found: dict[str, Any] = {"repeats": options.repeats, "aggregate": options.aggregate}
    return {**found, "vary": list(options.vary), "folds": options.folds is not None}


def agreed(options: Options) -> dict[str, object]:
    """What of the repeats and folds all starts of a study have to agree on; how many folds there are the data say."""
    found: dict[str, object] = {}
    if options.repeats > 1 or options.folds is not None:
        found |= {"repeats": options.repeats, "aggregate": options.aggregate}
    if options.folds is not None:
        found["folds"] = ALL
    if {*options.vary} != {*SEED_VARIES}:
        found["vary"] = sorted(options.vary)
    return found


def check_point(options: Options, trial: TrialSpec) -> None:
    """Reads the data of all folds and splits on which a point is trained.

    Args:
        options: The keys of the search.
        trial: The point.

    Raises:
        SpecError: The data and the search contradict each other.
        RequestError: The rows cannot be divided so.
    """
    from phalanx.jobs.job import datasets_of

    if faults := data_faults(options, trial.data) + _fixed_seeds(options, trial):
        raise SpecError(faults)
    try:
        datasets_of(Sweep("", 0, Manifest(search=True, **repeats_of(options))).specs(trial))
    except DataError as error:
        if options.folds is None:
            raise
        raise RequestError(f"with {KEY}.folds={options.folds}: {error}") from error


def _fixed_seeds(options: Options, trial: TrialSpec) -> Faults:
    """A fault for each seed that a point fixes and that its repeats are to vary."""
    if options.repeats == 1:
        return []
    fixed = {kind: getattr(trial.trainer, f"{kind}_seed") for kind in SEED_VARIES if kind in options.vary}
    return [
        Fault(f"trainer.{kind}_seed", seed, f"null with {kind} in {KEY}.vary", f"trainer.{kind}_seed=null")
        for kind, seed in fixed.items()
        if seed is not None
    ]


def searched_faults(options: Options, keys: Collection[str]) -> Faults:
    """A fault for each searched key by which points would have other folds than each other."""
    if options.folds is None:
        return []
    return [
        f"{key} is searched, and with {KEY}.folds={options.folds} all points are trained on the same folds; write one "
        f"value, or try {KEY}.folds=null"
        for key in DIVIDE
        if key in keys
    ]


def data_faults(options: Options, data: DataSpec) -> Faults:
    """What of `folds` and `vary` the data of a point contradict.

    Args:
        options: The keys of the search.
        data: The data of a point, without faults of their own.
    """
    faults: Faults = []
    if "split" in options.vary and options.repeats > 1 and not data.is_drawn:
        allowed = "without split with data.time, which leaves nothing to draw"
        faults.append(Fault(f"{KEY}.vary", list(options.vary), allowed, f"{KEY}.vary=[init,order]"))
    if "split" in options.vary and options.repeats > 1 and data.outer_folds is not None:
        allowed = "without split with data.outer_folds, which another split_seed would draw anew"
        faults.append(Fault(f"{KEY}.vary", list(options.vary), allowed, f"{KEY}.vary=[init,order]"))
    if options.folds is None:
        return faults
    folds, said = data.n_folds, f"data.resampling={data.resampling}"
    if data.has_folds:
        said += f" data.folds={data.folds}"
    if data.resampling in ("repeated_kfold", "shuffle_split"):
        said += f" data.repeats={data.repeats}"
    if folds == 1:
        advice = f"leave it out, or try {KEY}.folds=null" if options.folds != ALL else f"try {KEY}.folds=5"
        faults.append(f"{KEY}.folds={options.folds} needs folds, and {said} has one split; {advice}")
    elif options.folds not in (ALL, folds):
        faults.append(Fault(f"{KEY}.folds", options.folds, f"{folds} with {said}, or {ALL}", f"{KEY}.folds={ALL}"))
    if data.fold:
        advice = f"leave it out, or try {KEY}.folds=null"
        faults.append(
            f"data.fold={data.fold} chooses one fold, and {KEY}.folds={options.folds} trains on all; {advice}"
        )
    return faults
