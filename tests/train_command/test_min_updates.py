"""`trainer.min_updates` by the command: what is said of it, what a search takes from it, and the stored study with it."""

from __future__ import annotations

import csv
import json

import pytest
from support.forked import train

from phalanx.runs.config_file import read_yaml

pytestmark = pytest.mark.slow

QUICK = ["data=wine", "model.width=8", "tracking=none"]
STUDY = ["experiment=strong_table", "data=wine", "model.width=8", "trainer.epochs=2", "trainer.min_updates=20"]


def rows(file):
    return list(csv.DictReader(file.open()))


def test_a_run_says_its_epochs_and_their_log_too(tmp_path):
    done = train(*QUICK, "trainer.epochs=2", "trainer.min_updates=17", "hydra.run.dir=run", cwd=tmp_path, check=0)
    said = "trainer.epochs=2 is raised to 5 by trainer.min_updates=17: 4 updates an epoch"
    assert said in done.stdout.splitlines()
    assert "epoch 5/5" in done.stdout
    assert said in (tmp_path / "run" / "train.log").read_text()
    assert len(rows(tmp_path / "run" / "metrics.csv")) == 5


def test_a_search_of_the_stored_study_raises_its_trials_and_hyperbands_longest_one(tmp_path):
    """Its space is that of the study alone, and `best_config.yaml` repeats the best trial."""
    done = train(
        "-m", "hydra/sweeper=optuna", "hydra/sweeper/pruner=hyperband", *STUDY, "tracking=none",
        "hydra.sweeper.n_trials=2", "hydra.sweeper.sampler.seed=0", "hydra.sweep.dir=sweep", cwd=tmp_path, check=0,
    )  # fmt: skip
    told = "trainer.min_updates=20 raises the epochs of a trial until it makes so many updates"
    assert f"{told}; trials.csv has the epochs of each" in done.stdout.splitlines()
    sweep = tmp_path / "sweep"
    trials = rows(sweep / "trials.csv")
    assert {"model.dropout", "loss.label_smoothing", "optimizer.lr", "optimizer.weight_decay"} <= trials[0].keys()
    assert not {"model", "loss", "optimizer"} & trials[0].keys()
    assert read_yaml(sweep / "0" / ".hydra" / "hydra.yaml")["hydra"]["sweeper"]["pruner"]["max_resource"] == 5
    assert "5" in {trial["epochs"] for trial in trials}
    train("--config-path", str(sweep), "--config-name", "best_config", "hydra.run.dir=again", cwd=tmp_path, check=0)
    again = json.loads((tmp_path / "again" / "result.json").read_text())
    number = read_yaml(sweep / "optimization_results.yaml")["best_trial"]
    best = json.loads((sweep / str(number) / "result.json").read_text())
    for name in ("train_loss", "val_loss", "val_accuracy"):
        assert again["metrics"][name] == best["metrics"][name]
    assert (again["epochs"], again["config_digest"]) == (best["epochs"], best["config_digest"])
