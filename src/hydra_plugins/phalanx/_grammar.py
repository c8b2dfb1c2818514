"""Sweep overrides as Optuna distributions: hydra-optuna-sweeper's own parser, plus choices of lists.

The stock plugin keeps that parser in a private module. Only this file imports it; tests/hydra_plugin/test_grammar.py
checks that both give an override the same meaning.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, Quote, QuotedString, RangeSweep
from hydra.errors import HydraException
from hydra_plugins.hydra_optuna_sweeper import _impl as stock
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from hydra_plugins.phalanx._overrides import some_values
from phalanx.core.errors import SpecError, pasted
from phalanx.study import Value

SCALARS = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Space:
    """What to search, and the overrides that are the same for every trial."""

    distributions: dict[str, BaseDistribution]
    fixed: dict[str, str]  # by key: the value as it stands on the command line
    deletions: tuple[str, ...]  # overrides such as `~key`
    aliases: Mapping[str, str] = field(default_factory=dict)  # by name: what the override sets, such as `++key`
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # by parameter and repr of a choice: the text
    order: tuple[str, ...] = ()  # keys and deletions as they stand on the command line

    def overrides(self, params: Mapping[str, Value]) -> list[str]:
        """Returns a trial's overrides in the order of the command line; what does not stand there comes first."""
        lines = {name: f"{self.aliases.get(name, name)}={self._text(name, value)}" for name, value in params.items()}
        lines |= {key: f"{self.aliases.get(key, key)}={value}" for key, value in self.fixed.items()}
        lines |= {text: text for text in self.deletions}
        first = [line for key, line in lines.items() if key not in self.order]
        return first + [lines[key] for key in self.order if key in lines]

    def _text(self, name: str, value: Value) -> str:
        known = self.texts.get(name, {}).get(repr(value))
        return _as_override(value, self.distributions.get(name)) if known is None else known


def parse(arguments: Sequence[str], loader: ConfigLoader | None = None) -> Space:
    """Parses overrides; later ones win over earlier ones with the same key, so a command line overrides a config.

    `key`, `+key` and `++key` are the same key; the last of them says how it is passed on. `loader` is what `glob()`
    looks through. Raises one `SpecError` with every value that is no distribution.
    """
    distributions: dict[str, BaseDistribution] = {}
    fixed: dict[str, str] = {}
    aliases: dict[str, str] = {}
    texts: dict[str, Mapping[str, str]] = {}
    order: dict[str, None] = {}
    deletions: list[str] = []
    faults: list[str] = []
    for override in OverridesParser.create(config_loader=loader).parse_overrides(list(arguments)):
        passed_on = override.get_key_element()
        key = passed_on.lstrip("+")
        aliases.pop(key, None)
        if key != passed_on:
            aliases[key] = passed_on
        if override.is_delete():
            key = override.input_line or ""
            deletions.append(key)
        elif override.is_sweep_override():
            fixed.pop(key, None)
            try:
                distributions[key], texts[key] = _distribution(override)
            except (ValueError, HydraException) as error:
                faults.append(f"{override.input_line} cannot be searched: {error}; try {some_values(override, loader)}")
        else:
            distributions.pop(key, None)
            fixed[key] = override.get_value_element_as_str()
        order.pop(key, None)
        order[key] = None
    if faults:
        raise SpecError(faults)
    return Space(distributions, fixed, tuple(deletions), aliases, texts, tuple(order))


def unknown_tags(arguments: Sequence[str]) -> list[str]:
    """Returns a fault for each sweep with a tag that a search does not know; it knows only `log`, of an interval."""
    faults = []
    for override in OverridesParser.create().parse_overrides(list(arguments)):
        sweep = override.value() if override.is_sweep_override() else None
        tags = set(getattr(sweep, "tags", ())) - ({"log"} if isinstance(sweep, IntervalSweep) else set())
        if tags:
            plain = re.sub(r"tag\((?:\w+,\s*)*(.*)\)$", r"\1", override.input_line or "")
            faults.append(
                f"{override.input_line}: {', '.join(sorted(tags))} has no meaning here; known is tag(log,interval(…)); "
                f"try {pasted(plain)}"
            )
    return faults


def grid(space: Space) -> dict[str, list[Value]]:
    """Returns every value of every parameter, as Optuna's grid sampler needs them."""
    to_choices = stock.OptunaSweeperImpl._to_grid_sampler_choices
    return {key: list(to_choices(distribution)) for key, distribution in space.distributions.items()}


def n_values(distribution: BaseDistribution) -> int:
    """Returns the number of values of a choice or of a range with a step."""
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return round((distribution.high - distribution.low) / (distribution.step or 1)) + 1


def _distribution(override: Override) -> tuple[BaseDistribution, Mapping[str, str]]:
    """Returns the distribution of a sweep, and its choices as overrides, by their repr."""
    sweep = override.value()
    if isinstance(sweep, (ChoiceSweep, RangeSweep)) and sweep.shuffle:
        sweep.shuffle = False  # a study draws anyway, and has to find the same space at every start
    if not override.is_discrete_sweep() or override.is_range_sweep():
        return stock.create_optuna_distribution_from_override(override), {}
    values = list(override.sweep_iterator())
    texts = [_written(text, value) for text, value in zip(override.sweep_string_iterator(), values, strict=True)]
    if not all(isinstance(value, SCALARS) for value in values) or len(set(values)) < len({repr(v) for v in values}):
        # Optuna takes no lists, and cannot tell 1 from true: their texts are the choices.
        return CategoricalDistribution(texts), {}
    if not isinstance(sweep, ChoiceSweep):  # a glob, which the stock plugin does not know
        return CategoricalDistribution(cast(list[Value], values)), {}
    distribution = stock.create_optuna_distribution_from_override(override)
    choices = getattr(distribution, "choices", ())
    return distribution, dict(zip(map(repr, choices), texts, strict=True)) if len(choices) == len(texts) else {}


def _written(text: str, value: object) -> str:
    """Returns `text`, with the quotes that Hydra's iterator has dropped where Hydra cannot parse it without them."""
    if isinstance(value, str):
        try:
            OverridesParser.create().parse_override(f"x={text}")
        except HydraException:
            return QuotedString(value, Quote.single).with_quotes()
    return text


def _as_override(value: Value, distribution: BaseDistribution | None) -> str:
    if value is None:
        return "null"
    if isinstance(distribution, FloatDistribution) and distribution.step is not None:
        return repr(float(f"{value:.12g}"))  # steps of 0.1 add up to 0.30000000000000004
    return str(value).lower() if isinstance(value, bool) else str(value)
