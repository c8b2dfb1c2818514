"""A function of the user's that draws parameters beside those of the space."""

from __future__ import annotations

import functools

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from sqlalchemy.exc import OperationalError
from support import custom_spaces

from phalanx.core.errors import RequestError, SpecError
from phalanx.study import CustomSpace, start_points, suggest_from
from phalanx.study.custom_space import CustomSpaceFailed

LOSS = {"loss": CategoricalDistribution(("nll", "mse"))}


def custom(function, space=(), **fixed):
    partial = functools.partial(function, None)
    return CustomSpace(
        "mine.draw", partial, suggest_from(dict(space)), {k.replace("__", "."): v for k, v in fixed.items()}
    )


def test_the_function_draws_beside_the_space():
    drawn = custom(custom_spaces.rate, LOSS).drawn({})
    assert drawn == {**LOSS, "optimizer.lr": FloatDistribution(0.001, 0.1, log=True)}


def test_what_is_fixed_cannot_be_drawn():
    with pytest.raises(
        RequestError, match=r"custom_search_space=mine\.draw draws what is fixed: optimizer\.lr=0\.5; leave"
    ):
        custom(custom_spaces.rate, optimizer__lr="0.5").drawn({})


def test_an_error_of_the_function_is_named():
    with pytest.raises(
        CustomSpaceFailed, match=r"mine\.draw raised KeyError: 'nothing' \(custom_spaces\.py, line \d+\)$"
    ):
        custom(custom_spaces.fails).drawn({})


def test_a_storage_that_does_not_answer_is_no_error_of_the_function():
    def cut_off(config, trial):
        raise OperationalError("select", {}, ConnectionError("gone"), connection_invalidated=True)

    with pytest.raises(OperationalError):
        custom(cut_off).drawn({})


def test_start_points_have_what_the_function_draws_for_them():
    space = custom(custom_spaces.momentum_of_sgd, LOSS)
    points = [{"optimizer": "sgd", "optimizer.momentum": 0.25, "loss": "mse"}, {"optimizer": "adam"}]
    assert start_points(points, LOSS, drawn=space.drawn) == points
    study = optuna.create_study()
    for point in points:
        study.enqueue_trial(point)
        trial = study.ask()
        space(trial)
        assert point.items() <= trial.params.items()


def test_faults_of_such_start_points_are_all_named():
    space = custom(custom_spaces.momentum_of_sgd)
    points = [
        {"optimizer": "adam", "optimizer.momentum": 0.25},
        {"optimizer": "sgd", "optimizer.momentum": 2},
        {"x": 1},
    ]
    with pytest.raises(SpecError) as refused:
        start_points(points, {}, drawn=space.drawn)
    assert [str(fault) for fault in refused.value.faults][:2] == [
        "hydra.sweeper.enqueue[0].optimizer.momentum: optimizer.momentum is not searched; searched: optimizer; "
        "leave it out",
        "hydra.sweeper.enqueue[1].optimizer.momentum must be from 0 to 0.9, got 2",
    ]
    assert "hydra.sweeper.enqueue[2].x: x is not searched" in str(refused.value)
