"""Sweep overrides as Optuna distributions: hydra-optuna-sweeper's own reading, plus choices that are lists.

The stock plugin keeps that reading in a private module. This file alone imports it, and tests/test_grammar.py
holds the contract, so that the two can never mean different things.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra_plugins.hydra_optuna_sweeper import _impl as stock
from optuna.distributions import BaseDistribution, CategoricalDistribution

SCALARS = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Space:
    """What to search, and the overrides that are the same for every trial."""

    distributions: dict[str, BaseDistribution]
    fixed: dict[str, str]  # key -> value as it stands on the command line
    deletions: tuple[str, ...]  # overrides such as `~key`
    aliases: Mapping[str, str] = field(default_factory=dict)  # parameters that are not named like their key

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """The overrides of one trial."""
        drawn = [f"{self.aliases.get(name, name)}={_as_override(value)}" for name, value in params.items()]
        return [*drawn, *(f"{key}={value}" for key, value in self.fixed.items()), *self.deletions]


def parse(arguments: Sequence[str]) -> Space:
    """Later arguments win over earlier ones with the same key, so a command line overrides a config."""
    distributions: dict[str, BaseDistribution] = {}
    fixed: dict[str, str] = {}
    deletions = []
    for override in OverridesParser.create().parse_overrides(list(arguments)):
        key = override.get_key_element()
        if override.is_delete():
            deletions.append(override.input_line or "")
        elif override.is_sweep_override():
            fixed.pop(key, None)
            distributions[key] = _distribution(override)
        else:
            distributions.pop(key, None)
            fixed[key] = override.get_value_element_as_str()
    return Space(distributions, fixed, tuple(deletions))


def grid(space: Space) -> dict[str, list[Any]]:
    """Every value of every parameter, for Optuna's grid sampler, which needs them all beforehand."""
    to_choices = stock.OptunaSweeperImpl._to_grid_sampler_choices
    return {key: list(to_choices(distribution)) for key, distribution in space.distributions.items()}


def _distribution(override: Override) -> BaseDistribution:
    if override.is_choice_sweep() and not all(isinstance(v, SCALARS) for v in override.sweep_iterator()):
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    return stock.create_optuna_distribution_from_override(override)


def _as_override(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
