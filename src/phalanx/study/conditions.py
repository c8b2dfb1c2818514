"""Conditions in search spaces: a parameter exists only where others have a value, such as momentum only for SGD.

A condition is text such as `optimizer=sgd`, `model=mlp3,mlp4` (any of these) or several of them joined by ` and `.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from phalanx.core.errors import Fault, SpecError, pasted
from phalanx.study.proposals import Value

KEY = "hydra.sweeper.conditions"


@dataclass(frozen=True)
class Condition:
    """Holds where the parameter `key` was drawn and has one of `values`, compared as text."""

    key: str
    values: tuple[str, ...]

    def holds(self, params: Mapping[str, Value]) -> bool:
        """Whether the condition holds for the parameters drawn so far."""
        return self.key in params and _plain(as_text(params[self.key])) in self.values


Conditions = Mapping[str, tuple[Condition, ...]]
Choices = Mapping[str, Sequence[Value] | None]  # by parameter: its values, None for a range


def parse(texts: Mapping[str, str], choices: Choices) -> Conditions:
    """Parses conditions, both by parameter; `choices` has every parameter of the space.

    Raises one `SpecError` with every fault: unknown parameters, values that can never be drawn, circles.
    """
    faults: list[Fault | str] = []
    parsed: dict[str, tuple[Condition, ...]] = {}
    for name, text in texts.items():
        if name not in choices:
            faults.append(f"{KEY}.{name}: {name} is not searched; searched: {', '.join(choices)}")
        parts = [part.partition("=") for part in str(text).split(" and ")]
        if not all(key.strip() and sep and values.strip() for key, sep, values in parts):
            faults.append(Fault(f"{KEY}.{name}", text, "of the form key=value or key=value,value", f"{KEY}=null"))
            continue
        parsed[name] = tuple(Condition(k.strip(), tuple(_values(vs))) for k, _, vs in parts)
        faults += [fault for condition in parsed[name] for fault in _faults_of(name, condition, choices)]
    if not faults and (circle := set(parsed) - set(order(parsed, parsed))):
        faults.append(f"{KEY}: {', '.join(sorted(circle))} wait for each other and could never be drawn")
    if faults:
        raise SpecError(faults)
    return parsed


def _values(text: str) -> list[str]:
    """Returns the values of `a,[b,c]`, whose lists hold commas of their own, without spaces."""
    return [_plain(value) for value in re.split(r",(?![^\[\](){}]*[\])}])", text)]


def _plain(text: str) -> str:
    return text.replace(" ", "")


def order(names: Iterable[str], conditions: Conditions) -> list[str]:
    """Sorts `names` so that each comes after those its conditions ask for; leaves out those in a circle."""
    left, ordered = list(names), []
    while left:
        ready = [n for n in left if not any(c.key in left for c in conditions.get(n, ()))]
        if not ready:
            break
        ordered += ready
        left = [n for n in left if n not in ready]
    return ordered


def _faults_of(name: str, condition: Condition, choices: Choices) -> list[str]:
    key, where = condition.key, f"{KEY}.{name}: {condition.key}"
    if key not in choices:
        return [
            f"{where} is not searched, so the condition never changes; searched: {', '.join(choices)}; try {KEY}=null"
        ]
    known = choices[key]
    if known is None:
        return [f"{where} is a range; a condition can only ask for the values of a choice"]
    texts = [as_text(value) for value in known]
    never = [value for value in condition.values if value not in map(_plain, texts)]
    advice = pasted(f"{KEY}={{{name}: '{key}={texts[0]}'}}")
    return [f"{where} is never {value}; it is one of {', '.join(texts)}; try {advice}" for value in never]


def as_text(value: object) -> str:
    """Returns a value as an override holds it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
