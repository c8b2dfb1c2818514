"""Grids that try some of their points first: every point once, in any order of starts."""

from __future__ import annotations

import itertools
import random

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from phalanx.study import Budget, GridSampler, Outcome, enqueue, run_study, suggest_from, warm_start

SPACE = {
    "lr": FloatDistribution(0.1, 0.4, step=0.1), "loss": CategoricalDistribution(("nll", "mse", None)),
    "epochs": IntDistribution(1, 3, step=2),
}  # fmt: skip
GRID = {"lr": [0.1, 0.2, 0.30000000000000004, 0.4], "loss": ["nll", "mse", None], "epochs": [1, 3]}
ALL = sorted(itertools.product(*GRID.values()), key=str)


def new_study(**options):
    return optuna.create_study(direction="maximize", **options)


def value(point):
    return point["lr"] + point["epochs"]


def go_on(study, total, points=(), seed=0, n_jobs=1):
    study.sampler = GridSampler(SPACE, GRID, seed)
    enqueue(study, points, GRID)
    outcomes = lambda proposals: [Outcome((value(p.params),)) for p in proposals]  # noqa: E731
    return run_study(study, suggest_from(SPACE), outcomes, budget=Budget(n_trials=total, n_jobs=n_jobs))


def tried(study):
    return [tuple(trial.params[name] for name in GRID) for trial in study.trials if trial.state.is_finished()]


@pytest.mark.parametrize("n_jobs", [1, 5])
@pytest.mark.parametrize(
    "points",
    [
        [],
        [{"lr": 0.2, "loss": None, "epochs": 3}],
        [{"lr": 0.3, "loss": "mse", "epochs": 1}],  # as it is typed, which the steps of the grid do not reach
        [{"lr": 0.2}],
        [{"loss": None}, {"loss": None}, {"lr": 0.1, "loss": None}, {"lr": 0.1, "loss": None, "epochs": 1}],
        [{}],
    ],
)
def test_each_point_is_tried_once(points, n_jobs):
    study = new_study()
    go_on(study, len(ALL), points, n_jobs=n_jobs)
    assert sorted(tried(study), key=str) == ALL
    for point, trial in zip(points[:1], study.trials, strict=False):  # these come first
        assert {k: pytest.approx(v) if k == "lr" else v for k, v in point.items()}.items() <= trial.params.items()


def test_start_points_of_later_starts_and_none_again():
    study, draw = new_study(), random.Random(1)
    for start, total in enumerate((3, 7, 12, 20, len(ALL))):
        lr, loss, epochs = draw.choice(ALL)
        points = [{"lr": lr, "loss": loss, "epochs": epochs}, {"loss": loss}][: start % 3]
        go_on(study, total, points, seed=start)
        assert len(tried(study)) == total
    assert sorted(tried(study), key=str) == ALL


def test_a_trial_that_lost_its_driver_keeps_its_values():
    study = new_study(sampler=GridSampler(SPACE, GRID, 0))
    trial = study.ask()
    lr = trial.suggest_float("lr", 0.1, 0.4, step=0.1)
    go_on(study, len(ALL), [{"lr": lr}], seed=1)
    assert sorted(tried(study), key=str) == ALL
    assert study.trials[0].params["lr"] == lr


def test_what_another_study_tried_is_tried_here_too():
    source, study = new_study(study_name="a"), new_study(study_name="b")
    go_on(source, 5)
    warm_start(study, source, SPACE)
    go_on(study, len(ALL), [{"lr": 0.2}])
    assert sorted(tried(study)[5:], key=str) == ALL
