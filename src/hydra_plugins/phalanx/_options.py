"""The keys of a search, conf/hydra/sweeper/optuna.yaml, that are not part of its budget."""

import pydoc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from phalanx.core.errors import Fault
from phalanx.core.specs import Spec, static
from phalanx.jobs.seeds import AGGREGATES
from phalanx.runs.manifest import SEED_VARIES, VARY, WAYS

Faults = list[Fault | str]

KEY = "hydra.sweeper"
ALL = "all"  # of `folds`: those that the data have
OUTER_FOLDS = 5  # of `nested: true`
NO_PRUNER = {"_target_": "optuna.pruners.NopPruner"}
PARAMS = "{optimizer.lr: 'interval(0.01, 0.1)'}"


@dataclass(frozen=True)
class Options(Spec):
    """The keys of conf/hydra/sweeper/optuna.yaml that are not part of the budget, as Hydra passes them."""

    config_group: ClassVar[str] = KEY
    sampler: dict[str, Any] | None = None
    pruner: dict[str, Any] | None = None
    direction: Any = None  # text, an enum of the stock plugin, or a list of these
    storage: str | None = static(None, advice="sqlite:///study.db", any_text=False)
    study_name: str | int | None = None
    custom_search_space: str | None = None
    params: Mapping[str, Any] | None = static(None, advice=PARAMS)
    default_params: Mapping[str, Any] | None = static(None, advice=PARAMS)
    conditions: Mapping[str, str] | None = static(None, advice="null")
    repeats: int = static(1, ge=1, advice="5")
    vary: tuple[str, ...] = SEED_VARIES
    folds: int | str | None = static(None, advice="5")
    nested: bool | int | None = static(None, advice="true")
    aggregate: str = static("mean", choices=AGGREGATES)
    final: Mapping[str, Any] | None = static(None, advice="{top: 3, seeds: 10}")
    ensemble: str | None = static(None, choices=WAYS, advice="greedy")
    refit: bool | int = static(False, advice="true")  # a number: of seeds
    enqueue: Sequence[Mapping[str, Any]] | None = static(None, advice="null")
    warm_start: Any = None  # the name of a study, a mapping, or a list of these
    on_mismatch: str = static("error", choices=("error", "new"))
    lease_s: float = static(60.0, gt=0)
    live_report_s: float | None = static(None, ge=1, advice="30")

    def conflicts(self) -> Faults:
        faults: Faults = []
        if not all(isinstance(point, dict) for point in self.enqueue or []):
            allowed = "a list of points such as {optimizer.lr: 0.1}, or null"
            faults.append(Fault(f"{KEY}.enqueue", self.enqueue, allowed, f"{KEY}.enqueue=null"))
        if not all(map(_names_study, as_list(self.warm_start or []))):
            allowed = "null, the name of a study, {study_name: …, storage: …} or a list of these"
            faults.append(Fault(f"{KEY}.warm_start", self.warm_start, allowed, f"{KEY}.warm_start=null"))
        for name, option, given in (("sampler", "tpe", self.sampler), ("pruner", "median", self.pruner or NO_PRUNER)):
            if not isinstance(given, dict) or not isinstance(given.get("_target_"), str):
                allowed = f"an option of hydra/sweeper/{name}"
                faults.append(Fault(f"{KEY}.{name}", getattr(self, name), allowed, f"hydra/sweeper/{name}={option}"))
        if self.aggregate == "lower_bound" and self.repeats == 1 and self.folds is None:
            faults.append(f"{KEY}.aggregate=lower_bound needs several seeds or folds; try {KEY}.repeats=5")
        if self.folds not in (None, ALL) and (not isinstance(self.folds, int) or self.folds < 2):
            allowed = f"null, {ALL} for all folds of the data, or a whole number, 2 or more"
            faults.append(Fault(f"{KEY}.folds", self.folds, allowed, f"{KEY}.folds=5"))
        if self.refit is not False and self.refit < 1:
            allowed = "true, false or a number of seeds, 1 or more"
            faults.append(Fault(f"{KEY}.refit", self.refit, allowed, f"{KEY}.refit=true"))
        if self.ensemble is not None and "split" in self.vary:
            faults.append(
                f"{KEY}.ensemble needs members with the same split of the data, and by {KEY}.vary each repeat has its "
                f"own; try '{KEY}.vary=[init,order]'"
            )
        faults += self._vary_faults() + self._nested_faults()
        return faults + _not_callable(self.custom_search_space)

    def _vary_faults(self) -> Faults:
        vary = {*self.vary}
        if not vary or not vary <= {*VARY}:
            allowed = (
                "a list of init (the initial weights), order (of samples, and dropout) and split (of the rows), or of "
                "some of these"
            )
            return [Fault(f"{KEY}.vary", list(self.vary), allowed, f"{KEY}.vary=[init,order,split]")]
        if vary != {*SEED_VARIES} and self.repeats == 1:
            return [f"{KEY}.vary says what repeats change, and {KEY}.repeats is 1; try {KEY}.repeats=5"]
        return []

    def _nested_faults(self) -> Faults:
        if self.nested is None or self.nested is False:
            return []
        faults: Faults = []
        if self.nested is not True and self.nested < 2:
            allowed = "null, true for five outer folds, or their number, 2 or more"
            faults.append(Fault(f"{KEY}.nested", self.nested, allowed, f"{KEY}.nested=true"))
        if isinstance(self.final, dict) and self.final.get("top", 1) != 1:
            allowed = "with top: 1 or null with nested: a choice by the outer fold would make its estimate too good"
            faults.append(Fault(f"{KEY}.final", self.final, allowed, f"{KEY}.final={{top: 1, seeds: 5}}"))
        if self.warm_start is not None:
            allowed = "null with nested: trials of another study may have seen the outer folds"
            faults.append(Fault(f"{KEY}.warm_start", self.warm_start, allowed, f"{KEY}.warm_start=null"))
        if self.on_mismatch != "error":
            faults.append(
                Fault(f"{KEY}.on_mismatch", self.on_mismatch, "error with nested", f"{KEY}.on_mismatch=error")
            )
        if self.ensemble is not None or self.refit is not False:
            faults.append(
                f"{KEY}.nested tests one network of each search, {KEY}.ensemble and {KEY}.refit make models to use; "
                f"try {KEY}.nested=null for these, or {KEY}.ensemble=null {KEY}.refit=false"
            )
        if "split" in self.vary:
            allowed = "without split with nested, whose outer folds another split_seed would draw anew"
            faults.append(Fault(f"{KEY}.vary", list(self.vary), allowed, f"{KEY}.vary=[init,order]"))
        return faults


def n_outer(nested: bool | int | None) -> int:
    """Returns the number of outer folds that `nested` asks for; 0 for none."""
    return OUTER_FOLDS if nested is True else int(nested or 0)


def _names_study(source: object) -> bool:
    if isinstance(source, dict):
        name, storage = source.get("study_name"), source.get("storage")
        return _is_name(name) and isinstance(storage, str | None) and set(source) <= {"study_name", "storage"}
    return _is_name(source)


def _is_name(name: object) -> bool:
    return isinstance(name, (str, int)) and not isinstance(name, bool) and name != ""


def as_list(value: object) -> list[Any]:
    """Returns a list as it is, and any other value as a list of one."""
    return value if isinstance(value, list) else [value]


def _not_callable(path: str | None) -> list[str]:
    """Returns a fault where `custom_search_space` names no function."""
    try:
        if path is None or callable(pydoc.locate(str(path))):
            return []
        why = "there is none of that name"
    except pydoc.ErrorDuringImport as error:
        why = f"{error.filename} cannot be imported: {error.value}"
    return [f"{KEY}.custom_search_space={path} must be the dotted path of a function (config, trial): {why}"]
