"""Search spaces in which a parameter exists only under a condition on others: momentum only for SGD.

A condition is text such as `optimizer=sgd`, `model=mlp3,mlp4` (any of these) or several of them joined by ` and `.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from phalanx.core.errors import Fault, SpecError

KEY = "hydra.sweeper.conditions"


@dataclass(frozen=True)
class Condition:
    """Holds where the parameter `key` was drawn and has one of `values`, compared as text."""

    key: str
    values: tuple[str, ...]

    def holds(self, params: Mapping[str, Any]) -> bool:
        return self.key in params and as_text(params[self.key]) in self.values


Conditions = Mapping[str, tuple[Condition, ...]]


def parse(texts: Mapping[str, str], choices: Mapping[str, Iterable[Any] | None]) -> Conditions:
    """Conditions by parameter. `choices` names every parameter of the space with its values, None for a range.

    Raises one `SpecError` with every fault: unknown parameters, values that can never be drawn, circles.
    """
    faults: list[Fault | str] = []
    parsed: dict[str, tuple[Condition, ...]] = {}
    for name, text in texts.items():
        if name not in choices:
            faults.append(f"{KEY}.{name}: {name} is not searched; searched: {', '.join(choices)}")
        parts = [part.partition("=") for part in str(text).split(" and ")]
        if not all(key.strip() and sep and values.strip() for key, sep, values in parts):
            faults.append(Fault(f"{KEY}.{name}", text, "of the form key=value or key=value,value", ""))
            continue
        parsed[name] = tuple(Condition(k.strip(), tuple(v.strip() for v in vs.split(","))) for k, _, vs in parts)
        faults += [fault for condition in parsed[name] for fault in _faults_of(name, condition, choices)]
    if not faults and (circle := set(parsed) - set(order(parsed, parsed))):
        faults.append(f"{KEY}: {', '.join(sorted(circle))} wait for each other and could never be drawn")
    if faults:
        raise SpecError(faults)
    return parsed


def order(names: Iterable[str], conditions: Conditions) -> list[str]:
    """`names` so that each comes after those its conditions ask for; what waits in a circle is left out."""
    waiting, done = list(names), []
    while waiting:
        ready = [n for n in waiting if not any(c.key in waiting for c in conditions.get(n, ()))]
        if not ready:
            break
        done += ready
        waiting = [n for n in waiting if n not in ready]
    return done


def _faults_of(name: str, condition: Condition, choices: Mapping[str, Iterable[Any] | None]) -> list[Fault | str]:
    if condition.key not in choices:
        return [
            f"{KEY}.{name}: {condition.key} is not searched, so the condition never changes; "
            f"searched: {', '.join(choices)}"
        ]
    known = choices[condition.key]
    if known is None:
        return [f"{KEY}.{name}: {condition.key} is a range; a condition can only ask for the values of a choice"]
    texts = [as_text(value) for value in known]
    never = [value for value in condition.values if value not in texts]
    return [f"{KEY}.{name}: {condition.key} is never {value}; it is one of {', '.join(texts)}" for value in never]


def as_text(value: Any) -> str:
    """A value as an override holds it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
