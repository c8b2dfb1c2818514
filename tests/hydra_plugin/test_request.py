"""The request for a search: how many trials are in flight."""

from __future__ import annotations

import optuna
import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf
from support.places import ROOT

from hydra_plugins.phalanx._request import IN_FLIGHT, read
from phalanx.core.errors import SpecError
from phalanx.runs.config import register_resolvers

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
