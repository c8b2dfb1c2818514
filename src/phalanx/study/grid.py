"""A grid of a study that tries some of its points first.

Optuna's own grid sampler takes a trial that was enqueued for none of its points: it then leaves out others, and fails
for a point that lacks a parameter.
"""

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from phalanx.core.reading import parse_json
from phalanx.study.proposals import ENQUEUED, Value, own_trials

Grid = Mapping[str, Sequence[Value]]


class GridSampler(optuna.samplers.BaseSampler):
    """Gives each trial a point that no other one has, and that is not enqueued."""

    def __init__(self, space: Mapping[str, BaseDistribution], grid: Grid, seed: int | None = None) -> None:
        """Draws the order of the points.

        Args:
            space: Distributions by parameter.
            grid: Every value of each.
            seed: Of the order; None for another one each time.
        """
        self.space, self.points = dict(space), list(_points(grid))
        random.Random(seed).shuffle(self.points)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The whole space: a point is chosen at once."""
        return dict(self.space)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The first free point that has the values which the trial has already, as one that was interrupted may."""
        taken = {tuple(point.items()) for point in self._taken(study, trial.number)}
        fits = (p for p in self.points if trial.params.items() <= p.items() and tuple(p.items()) not in taken)
        return dict(next(fits, self.points[0]))

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The parameter's value in the point that `sample_relative` chooses."""
        return self.sample_relative(study, trial, {})[param_name]

    def _taken(self, study: optuna.Study, number: int) -> Iterator[dict[str, Any]]:
        """The whole points of other trials and in the queue, their parameters in the order of the space."""
        for point in _tried_or_queued(study, besides=number):
            if self.space.keys() <= point.keys():
                yield {name: point[name] for name in self.space}


def completed(study: optuna.Study, points: Sequence[Mapping[str, Value]], grid: Grid) -> list[dict[str, Value]]:
    """Start points of a grid, each with a value for every parameter, that no trial has had and the queue lacks.

    Args:
        study: The study.
        points: Some values by parameter; one of which nothing is left gives none.
        grid: Every value by parameter.
    """
    taken = [dict(point) for point in _tried_or_queued(study)]
    found: list[dict[str, Value]] = []
    for point in points:
        own = {name: _same(values, point[name]) if name in point else values for name, values in grid.items()}
        full = next((candidate for candidate in _points(own) if candidate not in taken), None)
        if full is not None:
            found.append(full)
            taken.append(full)
    return found


def _points(grid: Grid) -> Iterator[dict[str, Value]]:
    return (dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values()))


def _same(values: Sequence[Value], given: Value) -> list[Value]:
    """The value as the grid has it: steps of 0.1 may add up to 0.30000000000000004."""
    numbers: list[Value] = [
        v for v in values if isinstance(v, float) and isinstance(given, float) and math.isclose(v, given)
    ]
    return numbers[:1] or [given]


def _tried_or_queued(study: optuna.Study, besides: int | None = None) -> Iterator[Mapping[str, Any]]:
    for trial in own_trials(study.get_trials(deepcopy=False)):
        if trial.state != TrialState.WAITING and trial.number != besides:
            yield trial.params
    for text in study.user_attrs.get(ENQUEUED, ()):
        yield parse_json(text, "the study's start points")
