"""Search spaces: which parameters are drawn, under which conditions, from which values."""

from collections.abc import Callable, Mapping

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from phalanx.study.conditions import as_text, order, parse
from phalanx.study.proposals import Value

Suggest = Callable[[optuna.Trial], None]


def suggest_from(space: Mapping[str, BaseDistribution], when: Mapping[str, str] | None = None) -> Suggest:
    """Returns a function that draws a trial's parameters from `space`, those in `when` only where a condition holds.

    `when` maps parameters to conditions as text, see `phalanx.study.conditions`. Raises `SpecError` with all faults.
    """
    conditions = parse(when or {}, choices_of(space))
    names = order(space, conditions)

    def suggest(trial: optuna.Trial) -> None:
        drawn: dict[str, Value] = {}
        for name in names:
            if all(condition.holds(drawn) for condition in conditions.get(name, ())):
                drawn[name] = draw(trial, name, space[name])

    return suggest


def choices_of(space: Mapping[str, BaseDistribution]) -> dict[str, tuple[Value, ...] | None]:
    """Returns the values of every choice; None for a range."""
    return {name: d.choices if isinstance(d, CategoricalDistribution) else None for name, d in space.items()}


def draw(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Value:
    """Draws one parameter by Optuna's public `suggest_*`.

    Args:
        trial: A running trial.
        name: The parameter's name.
        distribution: A choice, or a range of whole or real numbers.
    """
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        low, high = distribution.low, distribution.high
        return trial.suggest_int(name, low, high, step=distribution.step, log=distribution.log)
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)


def value_in(distribution: BaseDistribution, value: object) -> Value:
    """Returns `value` as the distribution holds it; raises `ValueError`, with what is allowed, if it does not.

    A choice is recognised by its text, so that `[128, 64]` from YAML finds the choice `[128,64]`.
    """
    if isinstance(distribution, CategoricalDistribution):
        wanted = as_text(value).replace(" ", "")
        for choice in distribution.choices:
            if as_text(choice).replace(" ", "") == wanted:
                return choice
        raise ValueError("one of " + ", ".join(map(as_text, distribution.choices)))
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    if isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high:
        steps = 0.0 if step is None else (value - low) / step
        if abs(steps - round(steps)) < 1e-8:
            return int(value) if isinstance(distribution, IntDistribution) else float(value)
    raise ValueError(f"from {low:g} to {high:g}" + (f" in steps of {step:g}" if step not in (None, 1) else ""))
