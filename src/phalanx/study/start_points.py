"""What a study knows before it asks its sampler: points to try first, trials of another study, points it evaluated."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from phalanx.core.errors import Failure, Fault, RequestError, SpecError
from phalanx.study.conditions import parse
from phalanx.study.grid import Grid, completed
from phalanx.study.proposals import ENQUEUED, FAILURE, WARM, WARMED, Outcome, Value, own_trials
from phalanx.study.space import choices_of, value_in

KEY = "hydra.sweeper.enqueue"
Drawn = Callable[[Mapping[str, Value]], Mapping[str, BaseDistribution]]


def start_points(
    points: Sequence[Mapping[str, object]],
    space: Mapping[str, BaseDistribution],
    when: Mapping[str, str] | None = None,
    drawn: Drawn | None = None,
) -> list[dict[str, Value]]:
    """Checks points that are to be tried first.

    Args:
        points: Values by parameter; parameters that a point leaves out are drawn.
        space: Distributions by parameter.
        when: Conditions by parameter, as `suggest_from` takes them.
        drawn: Returns what is drawn for a trial with some values given, where a function of the user's draws too.

    Returns:
        The points, with the values as the space holds them.

    Raises:
        SpecError: With every fault of the points.
    """
    conditions = parse(when or {}, choices_of(space))
    faults: list[Fault | str] = []
    found: list[dict[str, Value]] = []
    for place, point in enumerate(points):
        good = _inside(point, space if drawn is None else _reached(point, space, drawn), f"{KEY}[{place}]", faults)
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
            faults.append(f"{key}.{name}: {name} is not searched; searched: {', '.join(space)}; leave it out")
            continue
        try:
            good[name] = value_in(space[name], value)
        except ValueError as allowed:
            faults.append(f"{key}.{name} must be {allowed}, got {value!r}")
    return good


def _reached(
    point: Mapping[str, object], space: Mapping[str, BaseDistribution], drawn: Drawn
) -> dict[str, BaseDistribution]:  # fmt: skip
    """The space with what a function draws beside it, which may depend on the point's values."""
    reached, n_known = dict(space), -1
    while len(reached) > n_known:
        n_known = len(reached)
        reached |= drawn(_inside({k: v for k, v in point.items() if k in reached}, reached, KEY, []))
    return reached


def enqueue(study: optuna.Study, points: Sequence[Mapping[str, Value]], grid: Grid | None = None) -> None:
    """Queues the points that no start of this study has queued before.

    Args:
        study: The study.
        points: As `start_points` returns them.
        grid: Every value by parameter, of a study that tries each point once; then none is queued that it has tried.
    """
    known = list(study.user_attrs.get(ENQUEUED, ()))
    fresh = [point for point in points if _key(point) not in known]
    queued = fresh if grid is None else completed(study, fresh, grid)
    if fresh:
        study.set_user_attr(ENQUEUED, list(dict.fromkeys([*known, *map(_key, fresh), *map(_key, queued)])))
        for point in queued:
            study.enqueue_trial(dict(point))


def has_start_points(study: optuna.Study) -> bool:
    """Whether any start of the study has queued points."""
    return bool(study.user_attrs.get(ENQUEUED))


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
    check_directions(source, [direction.name.lower() for direction in study.directions])
    taken = list(study.user_attrs.get(WARMED, ()))
    if source.study_name in taken:
        return 0, 0
    finished = own_trials(source.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))
    moved = [_moved(trial, source.study_name, space) for trial in finished]
    study.add_trials([trial for trial in moved if trial is not None])
    study.set_user_attr(WARMED, [*taken, source.study_name])
    return len(moved) - moved.count(None), moved.count(None)


def check_directions(source: optuna.Study, directions: Sequence[str]) -> None:
    """Raises `RequestError` if a study has other directions than a search that starts with its trials."""
    found = [direction.name.lower() for direction in source.directions]
    if found != list(directions):
        raise RequestError(
            f"hydra.sweeper.warm_start: the study {source.study_name!r} has the directions {found}, this one "
            f"{list(directions)}; only a study with the same objective can be a start; try "
            "hydra.sweeper.warm_start=null"
        )


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
