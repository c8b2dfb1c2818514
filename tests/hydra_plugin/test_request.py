"""The request for a search: how many trials are in flight, and on what each is trained."""

from __future__ import annotations

import re

import optuna
import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf
from support.places import ROOT

from hydra_plugins.phalanx._compose import without_hydra
from hydra_plugins.phalanx._folds import agreed, data_faults
from hydra_plugins.phalanx._options import Options
from hydra_plugins.phalanx._request import IN_FLIGHT, read
from phalanx.core.errors import SpecError
from phalanx.data.csv_table import Csv
from phalanx.runs.config import register_resolvers, trial_spec

LR = "optimizer.lr=interval(0.1,0.2)"
IN_FLIGHT_WITH = {
    "small networks": ([], IN_FLIGHT),
    "a number": (["hydra.sweeper.n_jobs=7"], 7),
    "one": (["hydra.sweeper.n_jobs=1"], 1),
    "networks whose arithmetic takes the time": (["model.hidden=[2048,2048]"], 1),
    "a launcher without cohorts": (["hydra/launcher=basic"], 1),
    "a number, and a launcher without cohorts": (["hydra/launcher=basic", "hydra.sweeper.n_jobs=3"], 3),
    "other processes": (["hydra.launcher.executor=processes", "model.hidden=[2048,2048]"], IN_FLIGHT),
}


def request_of(*overrides, ours=True):
    """The request of these overrides, and the config of its sweep."""
    register_resolvers()
    with initialize_config_dir(str(ROOT / "conf"), job_name="train"):
        loader = GlobalHydra.instance().config_loader()
        given = ["hydra/sweeper=optuna", *overrides]
        config = loader.load_configuration("config", given, run_mode=RunMode.MULTIRUN)
        keys = {str(key): value for key, value in config.hydra.sweeper.items() if key != "_target_"}
        keys = {k: OmegaConf.to_container(v) if OmegaConf.is_config(v) else v for k, v in keys.items()}
        own = [text for text in overrides if not text.startswith("hydra")]
        return read(keys, config, loader, [*own, LR], ours=ours), config


@pytest.mark.parametrize(("overrides", "n_jobs"), IN_FLIGHT_WITH.values(), ids=IN_FLIGHT_WITH)
def test_trials_in_flight(overrides, n_jobs):
    request, config = request_of(*overrides)
    assert request.n_jobs(config, optuna.samplers.TPESampler()) == n_jobs


def test_another_application_has_one_trial_in_flight():
    request, config = request_of(ours=False)
    assert request.n_jobs(config, optuna.samplers.TPESampler()) == 1


@pytest.mark.parametrize(("overrides", "n_jobs"), [([], 1), (["hydra.sweeper.n_jobs=3"], 3)])
def test_brute_force_has_one_trial_in_flight_unless_asked(overrides, n_jobs):
    request, config = request_of(*overrides)
    assert request.n_jobs(config, optuna.samplers.BruteForceSampler()) == n_jobs


@pytest.mark.parametrize("value", ["0", "many", "null"])
def test_what_is_no_number_of_trials(value):
    with pytest.raises(SpecError, match=r"hydra\.sweeper\.n_jobs must be .*try hydra\.sweeper\.n_jobs=auto"):
        request_of(f"hydra.sweeper.n_jobs={value}")


# Folds and splits

FIVE = "hydra.sweeper.folds=5"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([FIVE], ("kfold", 5)),
        (["hydra.sweeper.folds=all", "data.resampling=kfold", "data.folds=4"], ("kfold", 4)),
        ([FIVE, "data.resampling=shuffle_split", "data.repeats=5"], ("shuffle_split", 5)),
    ],
)
def test_a_number_of_folds_makes_folds_of_data_that_have_none(overrides, expected):
    request, config = request_of(*overrides)
    assert (config.data.resampling, config.data.folds) == expected
    (trial,) = {trial_spec(without_hydra(request.composer.compose(request.search.space.overrides({}))))}
    assert (trial.data.resampling, trial.data.folds) == expected
    request.check()


@pytest.mark.parametrize(
    ("overrides", "faults"),
    [
        (["folds=1"], ["folds must be null, all .* got 1; try hydra.sweeper.folds=5"]),
        (["folds=true"], ["folds must be .* got True; try hydra.sweeper.folds=5"]),
        (["vary=[seed]", "repeats=2"], [r"vary must be a list of init .* or of some of these, got \['seed'\]"]),
        (["vary=[]", "repeats=2"], ["vary must be a list of init"]),
        (
            ["trainer.order_seed=range(3)"],
            [r"trainer.order_seed is searched, .* try hydra.sweeper.repeats=5 '.*vary=\[order"],
        ),
        (["vary=[split]"], ["repeats is 1; try hydra.sweeper.repeats=5"]),
        (["aggregate=lower_bound"], ["needs several seeds or folds"]),
        (["folds=5", "data.folds=choice(3,4)"], ["data.folds is searched, .* write one value"]),
        (["data.fold=range(3)"], ["data.fold is searched, .* try hydra.sweeper.folds=all"]),
        (["data.split_seed=range(3)"], [r"data.split_seed is searched, .*vary=\[init,order,split\]"]),
        (["data.outer_folds=3", "data.outer_fold=range(3)"], ["data.outer_fold is searched, .*sweeper.nested=true"]),
        (["nested=1"], ["nested must be null, true for five outer folds, or their number, 2 or more, got 1"]),
        (["nested=often"], ["nested must be true or false or a whole number or null, got 'often'"]),
        (
            ["nested=3", "final={top: 2}", "warm_start=x", "on_mismatch=new", "vary=[split]", "repeats=2"],
            [
                "final must be .* the outer fold would make its",
                "warm_start must be null with nested",
                "on_mismatch must",
                "vary must be without split with nested",
            ],
        ),
    ],
)
def test_what_the_keys_of_folds_and_repeats_contradict(overrides, faults):
    with pytest.raises(SpecError) as refused:
        request_of(*(text if text.startswith(("data", "trainer")) else f"hydra.sweeper.{text}" for text in overrides))
    _assert_faults(refused.value, faults)


def test_all_starts_of_a_study_agree_on_folds_and_what_varies():
    any_sampler = {"_target_": "any"}
    assert agreed(Options(sampler=any_sampler)) == {}
    assert agreed(Options(sampler=any_sampler, repeats=3)) == {"repeats": 3, "aggregate": "mean"}
    found = agreed(Options(sampler=any_sampler, folds=5, repeats=2, vary=("split",)))
    assert found == {"repeats": 2, "aggregate": "mean", "folds": "all", "vary": ["split"]}


KFOLD = {"resampling": "kfold", "folds": 10}


@pytest.mark.parametrize(
    ("options", "data", "faults"),
    [
        ({"folds": 5}, {**KFOLD, "fold": 2},
         ["must be 10 with data.resampling=kfold data.folds=10, or all, got 5; try hydra.sweeper.folds=all",
          "data.fold=2 chooses one fold, .* leave it out"]),
        ({"folds": "all"}, {}, ["needs folds, and data.resampling=holdout has one split; try hydra.sweeper.folds=5"]),
        ({"folds": 5}, {}, ["data.resampling=holdout has one split; leave it out"]),
        ({"folds": 7}, {"resampling": "shuffle_split", "repeats": 6}, ["must be 6 with .* data.repeats=6, or all"]),
        ({"repeats": 2, "vary": ("split",)}, {"time": "day"}, ["nothing to draw, got .* try .*vary=.init,order."]),
        ({"repeats": 2, "vary": ("split",)}, {"outer_folds": 3}, ["vary must be without split with data.outer_folds"]),
        ({"folds": "all"}, {"resampling": "repeated_kfold"}, []),
        ({"folds": 10, "repeats": 2, "vary": ("split",)}, KFOLD, []),
    ],
)  # fmt: skip
def test_what_folds_and_the_data_contradict(options, data, faults):
    found = data_faults(Options(sampler={"_target_": "any"}, **options), Csv(path="a.csv", target="y", **data))
    _assert_faults(SpecError(found), faults)


@pytest.mark.parametrize(("vary", "fixed"), [("init", "init_seed"), ("order", "order_seed")])
def test_what_repeats_vary_cannot_be_fixed(vary, fixed):
    request, _ = request_of(f"hydra.sweeper.vary=[{vary}]", "hydra.sweeper.repeats=2", f"trainer.{fixed}=3")
    with pytest.raises(SpecError, match=rf"trainer\.{fixed} must be null with {vary} in hydra\.sweeper\.vary, got 3"):
        request.check()


def test_more_folds_than_samples():
    request, _ = request_of("hydra.sweeper.folds=60", "data=wine")
    with pytest.raises(SpecError, match=r"with hydra\.sweeper\.folds=60: .* data\.folds may be at most 38"):
        request.check()


def _assert_faults(error, faults):
    assert len(error.faults) == len(faults), error
    for fault, wanted in zip(error.faults, faults, strict=True):
        assert re.search(wanted, str(fault)), fault
