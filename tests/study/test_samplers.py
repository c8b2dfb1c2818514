"""The automatic sampler, and the seeds of later starts."""

from __future__ import annotations

import optuna
import pytest
from optuna.distributions import FloatDistribution
from support.studies import (
    COIN,
    SPACE,
    good,
    study,
)

from phalanx.study import (
    Budget,
    automatic,
    run_study,
    seed_of_start,
    suggest_from,
)


@pytest.mark.parametrize(
    ("space", "options", "chosen"),
    [
        (COIN, {}, "BruteForceSampler"),
        (COIN, {"n_trials": 1}, "TPESampler"),
        ({"x": FloatDistribution(0, 1)}, {}, "GPSampler"),
        ({"x": FloatDistribution(0, 1)}, {"n_trials": 1000}, "CmaEsSampler"),
        (SPACE, {}, "TPESampler"),
        ({"x": FloatDistribution(0, 1)}, {"conditional": True}, "TPESampler"),
        ({"x": FloatDistribution(0, 1)}, {"n_objectives": 2}, "TPESampler"),
        ({"x": FloatDistribution(0, 1)}, {"n_objectives": 2, "n_trials": 1000}, "NSGAIISampler"),
    ],
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_the_automatic_sampler_suits_the_space(space, options, chosen):
    sampler, why = automatic(space, **{"conditional": False, "n_objectives": 1, "n_trials": 50, **options})
    assert type(sampler).__name__ == chosen
    assert len(why) > 10


def test_a_later_start_with_the_same_seed_does_not_draw_the_same_points_again(tmp_path):
    for total in (4, 8):
        n_known = len(study(tmp_path).trials)
        sampler = optuna.samplers.RandomSampler(seed=seed_of_start(3, n_known))
        run_study(study(tmp_path, sampler=sampler), suggest_from(SPACE), good, budget=Budget(total))
    assert len({t.params["lr"] for t in study(tmp_path).trials}) == 8
    assert seed_of_start(3, 0) == 3
    assert seed_of_start(None, 9) is None
