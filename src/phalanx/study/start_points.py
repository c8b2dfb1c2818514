"""What a study knows before it asks its sampler: points to try first, trials of another study, points it evaluated."""

import json
from collections.abc import Iterable, Mapping, Sequence

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from phalanx.core.errors import Failure, Fault, RequestError, SpecError
from phalanx.study.conditions import parse
from phalanx.study.proposals import ENQUEUED, FAILURE, WARM, WARMED, Outcome, Value, own_trials
from phalanx.study.space import choices_of, value_in

KEY = "hydra.sweeper.enqueue"


def start_points(
    points: Sequence[Mapping[str, object]],
    space: Mapping[str, BaseDistribution],
    when: Mapping[str, str] | None = None,
) -> list[dict[str, Value]]:
    """Checks points that are to be tried first.

    Args:
        points: Values by parameter; parameters that a point leaves out are drawn.
        space: Distributions by parameter.
        when: Conditions by parameter, as `suggest_from` takes them.

    Returns:
        The points, with the values as the space holds them.

    Raises:
        SpecError: With every fault of the points.
    """
    conditions = parse(when or {}, choices_of(space))
    faults: list[Fault | str] = []
    found: list[dict[str, Value]] = []
    for place, point in enumerate(points):
        good = _inside(point, space, f"{KEY}[{place}]", faults)
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


def _inside(
    point: Mapping[str, object], space: Mapping[str, BaseDistribution], key: str, faults: list[Fault | str]
) -> dict[str, Value]:
    """Returns the values that the space has, as it holds them; adds a fault for each other one to `faults`."""
    good: dict[str, Value] = {}
    for name, value in point.items():
        if name not in space:
            faults.append(f"{key}.{name}: {name} is not searched; searched: {', '.join(space)}")
            continue
        try:
            good[name] = value_in(space[name], value)
        except ValueError as allowed:
            faults.append(f"{key}.{name} must be {allowed}, got {value!r}")
    return good


def enqueue(study: optuna.Study, points: Sequence[Mapping[str, Value]]) -> None:
    """Queues the points that no start of this study has queued before."""
    known = list(study.user_attrs.get(ENQUEUED, ()))
    fresh = [point for point in points if _key(point) not in known]
    if fresh:
        study.set_user_attr(ENQUEUED, known + [_key(point) for point in fresh])
        for point in fresh:
            study.enqueue_trial(dict(point))


def warm_start(study: optuna.Study, source: optuna.Study, space: Mapping[str, BaseDistribution]) -> tuple[int, int]:
    """Takes in the finished trials of another study. They inform the sampler, count for no budget, and are never best.

    Args:
        study: The study that takes them in; the second call for the same source takes nothing.
        source: The other study.
        space: Distributions by parameter; trials outside it are left out.

    Returns:
        The number of trials taken in, and of those left out.

    Raises:
        RequestError: If the directions of the two studies differ.
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
    finished = own_trials(source.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))
    moved = [_moved(trial, source.study_name, space) for trial in finished]
    study.add_trials([trial for trial in moved if trial is not None])
    study.set_user_attr(WARMED, [*taken, source.study_name])
    return len(moved) - moved.count(None), moved.count(None)


def _moved(trial: FrozenTrial, name: str, space: Mapping[str, BaseDistribution]) -> FrozenTrial | None:
    try:
        params = {key: value_in(space[key], value) for key, value in trial.params.items()}
    except (KeyError, ValueError):
        return None
    return create_trial(
        state=trial.state, params=params, distributions={key: space[key] for key in params}, values=trial.values,
        intermediate_values=trial.intermediate_values, user_attrs={WARM: f"{name}#{trial.number}"},
    )  # fmt: skip


class EvaluatedPoints:
    """The points that a study has evaluated, to find an equal one without a search."""

    def __init__(self) -> None:
        self._trials: dict[str, FrozenTrial] = {}

    def add(self, trials: Iterable[FrozenTrial]) -> None:
        """Adds trials that have ended, but for those that crashed: their points may go well another time."""
        for trial in trials:
            if trial.state != TrialState.FAIL or trial.user_attrs.get(FAILURE) == Failure.DIVERGED:
                self._trials.setdefault(_key(trial.params), trial)

    def find(self, params: Mapping[str, Value]) -> tuple[int, Outcome] | None:
        """Returns the number and outcome of the trial with equal parameters, if there is one."""
        trial = self._trials.get(_key(params))
        if trial is None:
            return None
        values = tuple(trial.values) if trial.values else None
        pruned, failure = trial.state == TrialState.PRUNED, trial.user_attrs.get(FAILURE)
        return trial.number, Outcome(values, pruned=pruned, failure=failure)


def _key(point: Mapping[str, Value]) -> str:
    return json.dumps(dict(point), sort_keys=True, default=str)
