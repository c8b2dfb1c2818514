"""A job: validated once, keyed once, fenced when it is created."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hydra import compose, initialize_config_dir
from support.counted import count
from support.places import ROOT
from support.train_command import QUICK

from phalanx.core.callbacks import Callback
from phalanx.core.errors import RequestError, Superseded
from phalanx.core.files import write_json
from phalanx.jobs.job import Job
from phalanx.runs.config import register_resolvers
from phalanx.runs.config_file import read_overrides, read_values
from phalanx.runs.layout import RunPaths
from phalanx.runs.manifest import Manifest, Sweep

VALIDATED = "phalanx.jobs.job:settings", "phalanx.runs.config:settings"
KEYED = "phalanx.jobs.job:static_key", "phalanx.training.partition:static_key"


@pytest.fixture
def config():
    register_resolvers()
    with initialize_config_dir(str(ROOT / "conf")):
        yield lambda *overrides: compose("config", list(overrides))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "validated", "keyed"),
    [
        ([], 1, 1),
        (["-m", "seed=0,1,2"], 1 + 3, 3),  # one of them also before the sweep's folder is made
        (["-m", "seed=0,1,2", "trainer.batch_size=8,16"], 1 + 6, 6),
    ],
    ids=["run", "one cohort", "two cohorts"],
)
def test_a_job_is_validated_once_and_its_static_key_is_computed_once(arguments, validated, keyed, tmp_path):
    names = [*VALIDATED, *KEYED]
    calls = count(names, tmp_path / "calls.json", *QUICK, "tracking=none", *arguments, cwd=tmp_path)
    assert [sum(calls[name] for name in some) for some in (VALIDATED, KEYED)] == [validated, keyed]


def test_a_wrong_configuration_is_validated_once_and_shares_its_key_with_no_other(config, tmp_path, monkeypatch):
    wrong = [Job(config("optimizer.lr=-1"), tmp_path / str(n), Sweep("s", n)) for n in range(2)]
    assert "optimizer.lr must be" in str(wrong[0].error)
    assert wrong[0].cohort_key != wrong[1].cohort_key
    monkeypatch.setattr("phalanx.jobs.job.settings", lambda config: pytest.fail("validated again"))
    with pytest.raises(RequestError) as raised:
        _ = wrong[0].specs
    assert raised.value is wrong[0].error


def test_the_seeds_and_the_test_split_follow_from_the_sweep(config, tmp_path):
    manifest = Manifest(search=True, repeats=2, final_seeds=3)
    trial, final = (Job(config("seed=5"), tmp_path, Sweep("s", 0, manifest, final)) for final in (False, True))
    assert [spec.seed for spec in Job(config("seed=5"), tmp_path).specs] == [5]
    assert [spec.seed for spec in trial.specs] == [5, 6]
    assert [spec.seed for spec in final.specs] == [7, 8, 9]
    assert (trial.reads_test, final.reads_test) == (False, True)


def test_a_job_is_fenced_when_it_is_created(config, tmp_path):
    paths = RunPaths(tmp_path)
    write_json(paths.attempt, {"attempt": 1})
    job = Job(config(), tmp_path)
    job.check_fence()
    write_json(paths.attempt, {"attempt": 2})
    with pytest.raises(Superseded):
        job.check_fence()


def test_a_job_of_a_sweep_says_what_it_trains_before_its_end(config, tmp_path):
    typed = ("model=mlp3", "model.width=8")
    job = Job(config(*typed), tmp_path / "0", Sweep("s", 0), overrides=typed)
    elsewhere = replace(job, config=job.settings, folder=tmp_path / "1")
    single = replace(job, sweep=None, folder=tmp_path / "2")
    for one in (job, elsewhere, single):
        one.describe()
    assert read_overrides(job.paths.overrides) == list(typed)
    assert read_values(job.paths.config_resolved)["model"]["width"] == 8
    assert not elsewhere.paths.config_resolved.exists()  # the process that leads the sweep has written it
    assert not single.paths.config_resolved.exists()  # it is written at its start
    job.paths.config_resolved.write_text("seed: 1\n")
    job.describe()
    assert job.paths.config_resolved.read_text() == "seed: 1\n"


def test_a_value_that_only_hydra_knows_leaves_the_params_for_the_end(config, tmp_path):
    odd = config("+note=${hydra:job.num}")
    job = Job(odd, tmp_path / "0", Sweep("s", 0))
    job.describe()
    assert not job.paths.config_resolved.exists()


@pytest.mark.parametrize(("asked", "n_epochs"), [("null", 20), ("200", 50)])
def test_pruning_ends_with_the_epochs_that_min_updates_asks_for(asked, n_epochs, config, tmp_path, monkeypatch):
    """The embedded wine has 114 training rows, 4 batches of 32."""
    seen = []
    monkeypatch.setattr("phalanx.study.Pruning", lambda trial, objective, n: seen.append(n) or Callback())
    place = Sweep("", 0, Manifest(search=True))
    job = Job(config("data=wine", f"trainer.min_updates={asked}"), tmp_path, place, find_trial=lambda: None)
    job.callback(job.checkpointer())
    assert seen == [n_epochs]
