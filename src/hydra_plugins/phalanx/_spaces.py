"""The whole search space: the sweep's own, what config options add to it, and a check of all combinations of groups."""

import itertools
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from hydra_plugins.phalanx import _grammar as grammar
from hydra_plugins.phalanx._compose import Composer, trains_here
from hydra_plugins.phalanx._folds import check_point
from hydra_plugins.phalanx._job_config import JobConfig, job_config
from hydra_plugins.phalanx._options import Options
from hydra_plugins.phalanx._words import in_words, is_wrong_request
from phalanx.core.errors import Fault, RequestError, SpecError
from phalanx.runs.config_file import SEARCH
from phalanx.study import Value, choices_of
from phalanx.study.conditions import as_text, order, parse

log = logging.getLogger(__name__)

Point = dict[str, Value]
MOST_COMBINATIONS = 300  # composed before the first trial; if there are more, each option is composed once
MOST_POINTS = 1000  # points composed in all combinations together


@dataclass(frozen=True)
class Search:
    """A search space, and conditions by parameter, as text."""

    space: grammar.Space
    conditions: Mapping[str, str] = field(default_factory=dict)


class Checker:
    """Composes the combinations of config groups that a search can reach, and collects their faults."""

    def __init__(self, composer: Composer, loader: ConfigLoader, search: Search, options: Options | None) -> None:
        self.composer, self.search, self.options = composer, search, options
        self.groups = {key for key in search.space.distributions if loader.get_group_options(key)}
        self.conditions = parse(search.conditions, choices_of(search.space.distributions))
        self.faults: list[tuple[Fault | str, Point]] = []  # each with the combination it was first met in
        composer.expect(self._texts())

    def combinations(self) -> list[Point]:
        """Returns every reachable choice of config groups; {} where no group is searched."""
        space, conditions = self.search.space.distributions, self.conditions
        names = [name for name in order(space, conditions) if name in self.groups]
        found: dict[str, Point] = {}
        products = itertools.product(*(_extremes(space[name]) for name in names))
        for product in itertools.islice(products, 10 * MOST_COMBINATIONS):
            values = dict(zip(names, product, strict=True))
            point: Point = {}
            for name in names:
                if all(c.key not in self.groups or c.holds(point) for c in conditions.get(name, ())):
                    point[name] = values[name]
            found.setdefault(str(point), point)
        return list(found.values())

    def _texts(self) -> list[str]:
        """The overrides that choose options."""
        space = self.search.space
        points = [{name: value} for name in self.groups for value in _extremes(space.distributions[name])]
        return list(dict.fromkeys(text for point in points for text in space.overrides(point)))

    def compose(self, point: Point) -> JobConfig | None:
        """Returns the config of a point; None if it cannot be composed."""
        try:
            return job_config(self.composer, self.search.space.overrides(point), 0)
        except Exception as error:
            if not is_wrong_request(error):
                raise
            self._add(in_words(error, self.search.space.overrides(point)), point)
            return None

    def check(self, point: Point) -> None:
        """Composes one point and, where the application is ours, builds its spec and reads its data."""
        from phalanx.jobs.job import check_trial
        from phalanx.runs.config import settings

        config = self.compose(point)
        if config is None or self.options is None:
            return
        try:
            with config.active() as shown:
                trial, here = settings(config.task).trial, trains_here(shown.hydra.launcher)
            check_point(self.options, trial)
            check_trial(trial, here=here)
        except SpecError as error:
            for fault in error.faults:
                self._add(fault, point)
        except RequestError as error:
            self._add(str(error), point)

    def _add(self, fault: Fault | str, point: Point) -> None:
        if str(fault) not in {str(known) for known, _ in self.faults}:
            self.faults.append((fault, {k: v for k, v in point.items() if k in self.groups}))

    def raise_faults(self) -> None:
        """Raises one `SpecError` with all faults, if there are any."""
        lines = []
        for fault, point in self.faults:
            where = " ".join(f"{key}={as_text(value)}" for key, value in point.items())
            lines.append(f"{fault}{f' (with {where})' if where else ''}")
        if lines:
            raise SpecError(lines)


def with_options(search: Search, composer: Composer, loader: ConfigLoader) -> Search:
    """Adds to a search what its config options declare under `search` in `conf/<group>/<option>.yaml`.

    A key that the command line or the sweeper's `params` set is left as it is.

    Args:
        search: What was typed.
        composer: Composes the configuration of a point.
        loader: Hydra's, to list the options of a group.

    Raises:
        SpecError: With every combination of groups that cannot be composed.
    """
    checker = Checker(composer, loader, search, None)
    declared: dict[tuple[str, str], Mapping[str, Any]] = {}
    for point in _each_once(checker.combinations()):
        config = checker.compose(point)
        if config is not None:
            with config.active() as shown:
                choices = dict(shown.hydra.runtime.choices)
            for group, node in config.task.items():
                if isinstance(node, DictConfig) and isinstance(node.get(SEARCH), DictConfig):
                    option = str(choices.get(group))
                    declared[str(group), option] = cast(dict[str, Any], OmegaConf.to_container(node[SEARCH]))
    checker.raise_faults()
    asked = {*search.space.fixed, *search.space.distributions}
    for (group, option), texts in declared.items():
        own = {f"{group}.{key}": text for key, text in texts.items() if f"{group}.{key}" not in asked}
        search = _joined(search, own, f"{group}={option}" if group in checker.groups else None)
    return search


def _joined(search: Search, texts: Mapping[str, Any], condition: str | None) -> Search:
    """Adds parameters, as text by key; where they have a condition, `group=option`, they are named `key@option`."""
    space, conditions = search.space, dict(search.conditions)
    parsed = grammar.parse([f"{key}={text}" for key, text in texts.items()])
    distributions, aliases, written = dict(space.distributions), dict(space.aliases), dict(space.texts)
    for key, distribution in parsed.distributions.items():
        name = f"{key}@{condition.partition('=')[2]}" if condition else key
        distributions[name], aliases[name], written[name] = distribution, key, parsed.texts[key]
        if condition:
            conditions[name] = condition
    return Search(replace(space, distributions=distributions, aliases=aliases, texts=written), conditions)


def check(search: Search, composer: Composer, loader: ConfigLoader, options: Options | None) -> None:
    """Composes every combination of groups, with every value of each choice and both ends of each range.

    Args:
        search: The search to check.
        composer: Composes the configuration of a point.
        loader: Hydra's, to list the options of a group.
        options: The keys of the search, where the application is train.py: specs are then built and data read too.

    Raises:
        SpecError: With all faults.
    """
    checker = Checker(composer, loader, search, options)
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


def _points(checker: Checker, combination: Point) -> Iterator[Point]:
    """Yields points that cover every value of every parameter that exists with the combination."""
    values = {}
    for name, distribution in checker.search.space.distributions.items():
        if name not in checker.groups:
            asked = [c for c in checker.conditions.get(name, ()) if c.key in checker.groups]
            if all(c.holds(combination) for c in asked):
                values[name] = _extremes(distribution)
    for turn in range(max((len(v) for v in values.values()), default=1)):
        yield {**combination, **{name: each[turn % len(each)] for name, each in values.items()}}


def _extremes(distribution: BaseDistribution) -> Sequence[Value]:
    """Returns every value of a choice, or both ends of a range, and of an interval also a value between them."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = distribution.low, distribution.high
    if isinstance(distribution, FloatDistribution):
        # Where whole numbers are wanted both ends may be whole, and this is not.
        return low, high, low + (distribution.step or (high - low) / math.e)
    return low, high


def _each_once(combinations: Sequence[Point]) -> list[Point]:
    """Returns as few of the combinations as have every option once."""
    seen: set[tuple[str, str]] = set()
    kept = [point for point in combinations if not point]
    for point in combinations:
        options = {(key, str(value)) for key, value in point.items()}
        if options - seen:
            seen |= options
            kept.append(point)
    return kept
