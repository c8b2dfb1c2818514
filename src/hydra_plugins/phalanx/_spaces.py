"""What is searched, in full: the sweep's own space, what each option brings to it, and a look at every combination."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.distributions import BaseDistribution

from hydra_plugins.phalanx import _grammar as grammar
from hydra_plugins.phalanx._compose import Composer
from phalanx.core.errors import RequestError, SpecError
from phalanx.runs.config_file import SEARCH
from phalanx.study import choices_of
from phalanx.study.conditions import as_text, order, parse

log = logging.getLogger(__name__)

MOST_COMBINATIONS = 300  # composed before the first trial; of more, each option is tried once
MOST_POINTS = 1000  # points tried in all of them together


@dataclass(frozen=True)
class Search:
    """The whole space: distributions by parameter, and the condition of each that has one."""

    space: grammar.Space
    conditions: Mapping[str, str] = field(default_factory=dict)


class Checker:
    """Composes the combinations of groups that a search can reach, once each."""

    def __init__(self, composer: Composer, loader: ConfigLoader, search: Search, ours: bool) -> None:
        self.composer, self.search, self.ours = composer, search, ours
        self.groups = {key for key in search.space.distributions if loader.get_group_options(key)}
        self.conditions = parse(search.conditions, choices_of(search.space.distributions))
        self.faults: list[Any] = []

    def combinations(self) -> list[dict[str, Any]]:
        """Every reachable choice of config groups; {} where no group is searched."""
        space, conditions = self.search.space.distributions, self.conditions
        names = [name for name in order(space, conditions) if name in self.groups]
        found: dict[str, dict[str, Any]] = {}
        for values in itertools.islice(_mixed(names, space), 10 * MOST_COMBINATIONS):
            point: dict[str, Any] = {}
            for name in names:
                if all(c.key not in self.groups or c.holds(point) for c in conditions.get(name, ())):
                    point[name] = values[name]
            found.setdefault(str(point), point)
        return list(found.values())

    def compose(self, params: Mapping[str, Any]) -> DictConfig | None:
        """The config of a point; None, and one fault more, if there is none."""
        try:
            return self.composer.compose(self.search.space.overrides(dict(params)))
        except (HydraException, OmegaConfBaseException) as error:
            self._fault(error, params)
            return None

    def check(self, point: Mapping[str, Any]) -> None:
        """Composes one point and, where the application is ours, builds its spec and reads its data."""
        from phalanx.data.cache import dataset_of
        from phalanx.runs.config import settings

        cfg = self.compose(point)
        if cfg is None or not self.ours:
            return
        try:
            dataset_of(settings(without_hydra(cfg)).trial.data)
        except SpecError as error:
            for fault in error.faults:
                self._fault(fault, point)
        except RequestError as error:
            self._fault(error, point)

    def _fault(self, fault: Any, point: Mapping[str, Any]) -> None:
        if str(fault) not in {str(known) for known, _ in self.faults}:
            self.faults.append((fault, {k: v for k, v in point.items() if k in self.groups}))

    def raise_faults(self) -> None:
        """One `SpecError` with all that was found, each with the combination it was first met in."""
        lines = []
        for fault, point in self.faults:
            where = " ".join(f"{key}={as_text(value)}" for key, value in point.items())
            lines.append(f"{fault}{f' (with {where})' if where else ''}")
        if lines:
            raise SpecError(lines)


def with_options(search: Search, composer: Composer, loader: ConfigLoader) -> Search:
    """The search with what the options themselves bring: keys under `search` in `conf/<group>/<option>.yaml`.

    What the command line or the sweeper's `params` say of a key goes before it.
    """
    checker = Checker(composer, loader, search, ours=False)
    brought: dict[tuple[str, str], Mapping[str, Any]] = {}
    for point in _each_once(checker.combinations()):
        cfg = checker.compose(point)
        if cfg is not None:
            for group, node in cfg.items():
                if isinstance(node, DictConfig) and isinstance(node.get(SEARCH), DictConfig):
                    option = str(cfg.hydra.runtime.choices.get(group))
                    brought[str(group), option] = OmegaConf.to_container(node[SEARCH])
    checker.raise_faults()
    for (group, option), texts in brought.items():
        search = _joined(search, group, option, texts, searched=group in checker.groups)
    return search


def _joined(search: Search, group: str, option: str, texts: Mapping[str, Any], *, searched: bool) -> Search:
    space, conditions = search.space, dict(search.conditions)
    parsed = grammar.parse([f"{group}.{key}={text}" for key, text in texts.items()])
    distributions, aliases, written = dict(space.distributions), dict(space.aliases), dict(space.texts)
    for key, distribution in parsed.distributions.items():
        if key in space.fixed or (key in space.distributions and key not in space.aliases.values()):
            continue
        name = f"{key}@{option}" if searched else key
        distributions[name], aliases[name], written[name] = distribution, key, parsed.texts[key]
        if searched:
            conditions[name] = f"{group}={option}"
    return Search(replace(space, distributions=distributions, aliases=aliases, texts=written), conditions)


def check(search: Search, composer: Composer, loader: ConfigLoader, *, ours: bool) -> None:
    """Tries every combination of groups, and in them every value of a choice and both ends of every range.

    Raises one `SpecError` with all faults, before anything is trained.
    """
    checker = Checker(composer, loader, search, ours)
    combinations = checker.combinations()
    if len(combinations) > MOST_COMBINATIONS:
        log.warning(
            "the search reaches more than %d combinations of config groups; each option is tried once before the "
            "first trial, not each combination", MOST_COMBINATIONS,
        )  # fmt: skip
        combinations = _each_once(combinations)
    points = itertools.chain.from_iterable(_points(checker, combination) for combination in combinations)
    for point in itertools.islice(points, MOST_POINTS):
        checker.check(point)
    checker.raise_faults()


def without_hydra(cfg: DictConfig) -> DictConfig:
    """The application's part of a composed config."""
    return OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])


def _points(checker: Checker, combination: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Points that show every value of every parameter that exists beside the combination."""
    values = {}
    for name, distribution in checker.search.space.distributions.items():
        if name not in checker.groups:
            asked = [c for c in checker.conditions.get(name, ()) if c.key in checker.groups]
            if all(c.holds(combination) for c in asked):
                values[name] = _shown(distribution)
    for turn in range(max((len(v) for v in values.values()), default=1)):
        yield {**combination, **{name: shown[turn % len(shown)] for name, shown in values.items()}}


def _shown(distribution: BaseDistribution) -> Sequence[Any]:
    choices = getattr(distribution, "choices", None)
    return choices if choices is not None else (distribution.low, distribution.high)


def _mixed(names: Sequence[str], space: Mapping[str, BaseDistribution]) -> Iterator[dict[str, Any]]:
    choices = [_shown(space[name]) for name in names]
    return (dict(zip(names, values, strict=True)) for values in itertools.product(*choices))


def _each_once(combinations: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    seen: set[tuple[str, str]] = set()
    kept = [point for point in combinations if not point]
    for point in combinations:
        options = {(key, str(value)) for key, value in point.items()}
        if options - seen:
            seen |= options
            kept.append(point)
    return kept
