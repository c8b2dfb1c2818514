"""One job from config to files, where something fails on the way."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hydra import compose, initialize_config_dir
from support.places import ROOT

from phalanx import TrainerSpec, TrialSpec, train_trial
from phalanx.core.errors import DeviceError, TrainingInterrupted, WorkerLost
from phalanx.data.cache import dataset_of
from phalanx.jobs.job import Job, JobResult
from phalanx.jobs.run import RunFailed, run
from phalanx.runs.config import register_resolvers
from phalanx.runs.manifest import Sweep
from phalanx.tracking import Tracker
from phalanx.training.loop import train_cohort


@pytest.fixture
def config():
    register_resolvers()
    with initialize_config_dir(str(ROOT / "conf")):
        yield compose("config", ["debug=limit"])


def result_of(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, OSError])
def test_what_fails_after_training_cannot_take_the_result_back(error, config, tmp_path, monkeypatch):
    class Broken(Tracker):
        def end(self, status):
            raise error("too late")

    monkeypatch.setattr("phalanx.jobs.run.tracker", lambda *_: Broken())
    with pytest.raises(error):
        run(Job(config, tmp_path))
    assert result_of(tmp_path)["status"] == "completed"
    assert (tmp_path / "plots" / "curves.png").is_file()


def test_plots_that_fail_cost_nothing_else(config, tmp_path, monkeypatch, caplog):
    def broken(*args):
        raise RuntimeError("no ink")

    monkeypatch.setattr("phalanx.report.run_figures.draw.begin_run", broken)
    value = run(Job(config, tmp_path))
    assert result_of(tmp_path)["objective"]["value"] == value
    assert "could not be drawn" in caplog.text


def test_a_crash_in_training_is_written_down(config, tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise MemoryError("too large")

    monkeypatch.setattr("phalanx.jobs.run.train_cohort", broken)
    with pytest.raises(MemoryError):
        run(Job(config, tmp_path))
    stored = result_of(tmp_path)
    assert stored["status"] == "failed"
    assert stored["error"] == "MemoryError: too large"
    assert stored["seed"] == 0
    assert stored["config_digest"]


def test_an_interrupt_leaves_the_result_and_goes_on_as_an_interrupt(config, tmp_path, monkeypatch):
    def interrupted(*args, **kwargs):
        raise TrainingInterrupted(train_cohort(*args, **kwargs))

    monkeypatch.setattr("phalanx.jobs.run.train_cohort", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(Job(config, tmp_path))
    assert (tmp_path / "model.safetensors").is_file()


def test_the_returned_number_is_the_objective_and_nan_if_there_is_none(config, tmp_path):
    config.optimizer.lr = 1e30
    with pytest.raises(RunFailed, match="diverged"):
        run(Job(config, tmp_path / "single"))
    value = run(Job(config, tmp_path / "sweep" / "3", Sweep("sweep", 3)))
    assert value != value
    assert result_of(tmp_path / "sweep" / "3")["status"] == "diverged"


def test_what_was_trained_elsewhere_may_name_a_device_that_is_not_here(config, tmp_path):
    config.device.kind = "mps"  # which no machine with CUDA has, and no CPU
    sweep, folders = Sweep("sweep", 0), [tmp_path / name for name in ("ended", "lost")]
    result = replace(train_trial(TrialSpec(trainer=TrainerSpec(epochs=1)), dataset_of(TrialSpec().data)), device="mps")
    run(Job(config, folders[0], sweep), JobResult([result]))
    assert result_of(folders[0])["device"] == "mps"
    with pytest.raises(WorkerLost):
        run(Job(config, folders[1], sweep), JobResult((), error=WorkerLost("gone")))
    assert result_of(folders[1])["failure"] == "crash"
    with pytest.raises(DeviceError):
        run(Job(config, tmp_path / "here", sweep))
