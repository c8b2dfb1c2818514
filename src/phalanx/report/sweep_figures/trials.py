"""The trials of a sweep, and the parameters that vary among them."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from phalanx.core.result import Status
from phalanx.runs.stored_run import StoredRun
from phalanx.runs.sweep_folder import direction_of

MAX_LONG_TIPS = 300


@dataclass(frozen=True)
class Parameter:
    """One key that varies among the trials."""

    key: str
    values: tuple[float | str | None, ...]  # of each trial: all numbers or all names; None without the key
    numeric: bool
    log: bool  # whether its axis is logarithmic

    @property
    def categories(self) -> tuple[str, ...]:
        """The names in order; empty for numbers."""
        return () if self.numeric else tuple(sorted({str(v) for v in self.values if v is not None}))

    def places(self) -> list[float | None]:
        """The place of each trial on the parameter's axis: the number, or the index of the category."""
        if self.numeric:
            return [None if v is None else float(v) for v in self.values]
        order = {name: place for place, name in enumerate(self.categories)}
        return [None if v is None else float(order[str(v)]) for v in self.values]


def parameters(trials: Sequence[StoredRun], log: Mapping[str, bool] | None = None) -> list[Parameter]:
    """The overrides that vary, but for the seed; `log` says of some keys whether their axis is logarithmic."""
    varied = {key: texts for key, texts in _varied(trials).items() if key != "seed"}
    return [parameter(key, texts, (log or {}).get(key)) for key, texts in varied.items()]


def _varied(trials: Sequence[StoredRun]) -> dict[str, list[str | None]]:
    """The overrides with more than one value: what was typed for each trial, by key."""
    keys = dict.fromkeys(key for trial in trials for key in trial.overrides)
    texts = {key: [trial.overrides.get(key) for trial in trials] for key in keys}
    return {key: found for key, found in texts.items() if len(set(found)) > 1}


def parameter(key: str, texts: Sequence[str | None], log: bool | None = None) -> Parameter:
    """A parameter of the given values.

    Args:
        key: The dotted key.
        texts: The value of each trial as it was typed; None without the key.
        log: Whether its axis is logarithmic; None lets the values decide.
    """
    numbers = [_number(text) for text in texts]
    numeric = all((n is None) == (t is None) for n, t in zip(numbers, texts, strict=True))
    there = [n for n in numbers if n is not None]
    values = tuple(numbers) if numeric else tuple(None if t is None else t.strip("'\"") for t in texts)
    suits = log_suits(there) if log is None else log and min(there, default=0.0) > 0
    return Parameter(key, values, numeric, numeric and suits)


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def log_suits(values: Sequence[float]) -> bool:
    """Whether the values span a factor of 20 or more, and a logarithmic axis spreads them more evenly."""
    if not values or min(values) <= 0 or max(values) < 20 * min(values):
        return False
    low, high, middle = min(values), max(values), statistics.median(values)
    linear, log = (middle - low) / (high - low), math.log(middle / low) / math.log(high / low)
    return abs(log - 0.5) < abs(linear - 0.5)


def completed_values(trials: Sequence[StoredRun]) -> dict[int, float]:
    """The value of each completed trial, by its number."""
    completed = (trial for trial in trials if trial.status is Status.COMPLETED)
    return {trial.number: trial.value for trial in completed if trial.value is not None}


def maximizes(trials: Sequence[StoredRun]) -> bool:
    """Whether the objective is maximized."""
    return direction_of(trials) == "maximize"


def objective_names(trials: Sequence[StoredRun]) -> list[str]:
    """The names of all objectives in order; `objective` if no trial has a name."""
    for trial in trials:
        if trial.objective.name:
            return [objective.name for objective in trial.objectives]
    return ["objective"]


def short_keys(parameters: Sequence[Parameter]) -> list[str]:
    """The last part of each key, or the whole key if that is not unique."""
    ends = [p.key.rsplit(".", 1)[-1] for p in parameters]
    return [end if ends.count(end) == 1 else p.key for end, p in zip(ends, parameters, strict=True)]


def tips(trials: Sequence[StoredRun]) -> dict[int, str]:
    """The text that is shown over each trial, by its number: number, status, value, and parameters unless there are so
    many trials that these would be most of the page."""
    keys = _varied(trials) if len(trials) <= MAX_LONG_TIPS else {}
    found = {}
    for trial in trials:
        head = f"trial {trial.number}: {trial.ending}" + ("" if trial.value is None else f", {trial.value:.6g}")
        lines = [f"{key}={trial.overrides[key]}" for key in keys if key in trial.overrides]
        found[trial.number] = "\n".join([head, *lines])
    return found
