"""Search spaces: which parameters are drawn, under which conditions, from which values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from phalanx.study.conditions import as_text, order, parse

Suggest = Callable[[optuna.Trial], None]


def suggest_from(space: Mapping[str, BaseDistribution], when: Mapping[str, str] | None = None) -> Suggest:
    """A `suggest` that draws the parameters of `space`, those with a condition in `when` only where it holds.

    Conditions are text, see `phalanx.study.conditions`. Raises `SpecError` with all their faults.
    """
    conditions = parse(when or {}, choices_of(space))
    names = order(space, conditions)

    def suggest(trial: optuna.Trial) -> None:
        drawn: dict[str, Any] = {}
        for name in names:
            if all(condition.holds(drawn) for condition in conditions.get(name, ())):
                drawn[name] = draw(trial, name, space[name])

    return suggest


def choices_of(space: Mapping[str, BaseDistribution]) -> dict[str, tuple[Any, ...] | None]:
    """The values of every choice; None for a range."""
    return {name: getattr(distribution, "choices", None) for name, distribution in space.items()}


def draw(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Any:
    """One parameter through Optuna's public `suggest_*`."""
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    suggest = trial.suggest_int if isinstance(distribution, IntDistribution) else trial.suggest_float
    return suggest(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)


def held(distribution: BaseDistribution, value: Any) -> Any:
    """`value` as the distribution holds it; raises `ValueError` if it cannot be drawn from it.

    A choice is recognised by its text, so that `[128, 64]` from YAML finds the choice `[128,64]`.
    """
    if isinstance(distribution, CategoricalDistribution):
        wanted = as_text(value).replace(" ", "")
        for choice in distribution.choices:
            if as_text(choice).replace(" ", "") == wanted:
                return choice
        raise ValueError("one of " + ", ".join(map(as_text, distribution.choices)))
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    stepped = number and _on_grid(distribution, value)
    if not (number and distribution.low <= value <= distribution.high and stepped):
        step = f" in steps of {distribution.step:g}" if distribution.step not in (None, 1) else ""
        raise ValueError(f"from {distribution.low:g} to {distribution.high:g}{step}")
    return int(value) if isinstance(distribution, IntDistribution) else float(value)


def _on_grid(distribution: Any, value: float) -> bool:
    if distribution.step is None:
        return True
    steps = (value - distribution.low) / distribution.step
    return abs(steps - round(steps)) < 1e-8
