"""What a study knows before it asks: points to try first, another study's trials, and points it has seen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from phalanx.core.errors import Failure, RequestError, SpecError
from phalanx.study.conditions import parse
from phalanx.study.proposals import ENQUEUED, FAILURE, WARM, WARMED, Outcome, own
from phalanx.study.space import choices_of, held

KEY = "hydra.sweeper.enqueue"


def start_points(
    points: Sequence[Mapping[str, Any]], space: Mapping[str, BaseDistribution], when: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """The points as the space holds them. Raises one `SpecError` with every fault of them.

    A point may leave parameters out, which are then drawn.
    """
    conditions = parse(when or {}, choices_of(space))
    faults, found = [], []
    for place, point in enumerate(points):
        good: dict[str, Any] = {}
        for name, value in point.items():
            if name not in space:
                faults.append(f"{KEY}[{place}].{name}: {name} is not searched; searched: {', '.join(space)}")
                continue
            try:
                good[name] = held(space[name], value)
            except ValueError as allowed:
                faults.append(f"{KEY}[{place}].{name} must be {allowed}, got {value!r}")
        faults += [
            f"{KEY}[{place}].{name} exists only where {c.key} is {' or '.join(c.values)}, got {good[c.key]!r}"
            for name in good
            for c in conditions.get(name, ())
            if c.key in good and not c.holds(good)
        ]
        found.append(good)
    if faults:
        raise SpecError(faults)
    return found


def enqueue(study: optuna.Study, points: Sequence[Mapping[str, Any]]) -> None:
    """Queues the points that no start of this study has queued before."""
    known = list(study.user_attrs.get(ENQUEUED, ()))
    fresh = [point for point in points if _key(point) not in known]
    if fresh:
        study.set_user_attr(ENQUEUED, known + [_key(point) for point in fresh])
        for point in fresh:
            study.enqueue_trial(dict(point))


def warm_start(study: optuna.Study, source: optuna.Study, space: Mapping[str, BaseDistribution]) -> tuple[int, int]:
    """Takes in the finished trials of `source` that lie in `space`; returns how many, and how many did not.

    They inform the sampler; they count for no budget and are never the best of this study. The second call for the
    same source takes nothing. Raises `RequestError` if the directions differ.
    """
    if source.directions != study.directions:
        names = [[d.name.lower() for d in s.directions] for s in (source, study)]
        raise RequestError(
            f"hydra.sweeper.warm_start: the study {source.study_name!r} has the directions {names[0]}, this one "
            f"{names[1]}; only a study with the same objective can be a start"
        )
    taken = list(study.user_attrs.get(WARMED, ()))
    if source.study_name in taken:
        return 0, 0
    finished = own(source.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))
    moved = [_moved(trial, source.study_name, space) for trial in finished]
    study.add_trials([trial for trial in moved if trial is not None])
    study.set_user_attr(WARMED, [*taken, source.study_name])
    return len(moved) - moved.count(None), moved.count(None)


def _moved(trial: FrozenTrial, name: str, space: Mapping[str, BaseDistribution]) -> FrozenTrial | None:
    try:
        params = {key: held(space[key], value) for key, value in trial.params.items()}
    except (KeyError, ValueError):
        return None
    return create_trial(
        state=trial.state, params=params, distributions={key: space[key] for key in params}, values=trial.values,
        intermediate_values=trial.intermediate_values, user_attrs={WARM: f"{name}#{trial.number}"},
    )  # fmt: skip


class Seen:
    """The points that this study has finished, to find an equal one at no cost."""

    def __init__(self) -> None:
        self.by_point: dict[str, FrozenTrial] = {}

    def learn(self, trials: Sequence[FrozenTrial]) -> None:
        """Takes in trials that have ended; a crash says nothing about its point, so it is no knowledge."""
        for trial in trials:
            failed = trial.state == TrialState.FAIL and trial.user_attrs.get(FAILURE) != Failure.DIVERGED
            if not failed:
                self.by_point.setdefault(_key(trial.params), trial)

    def equal(self, params: Mapping[str, Any]) -> tuple[int, Outcome] | None:
        """The number and outcome of the equal point, if there is one."""
        trial = self.by_point.get(_key(params))
        if trial is None:
            return None
        values = tuple(trial.values) if trial.values else None
        failure = trial.user_attrs.get(FAILURE)
        return trial.number, Outcome(values, None, trial.state == TrialState.PRUNED, failure)


def _key(point: Mapping[str, Any]) -> str:
    return json.dumps(dict(point), sort_keys=True, default=str)
