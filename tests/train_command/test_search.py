"""`python train.py -m hydra/sweeper=optuna` as people type it: every promise of the search, in real processes."""

from __future__ import annotations

import csv
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import optuna
import pytest
from support.forked import start, train, until
from support.places import ROOT
from support.train_command import QUICK, TRAIN, environment, result_of, train_from_the_start

from phalanx.runs.config_file import read_values
from phalanx.study import n_finished

pytestmark = pytest.mark.slow

LR = "optimizer.lr=tag(log,interval(0.001,0.1))"
PLAIN = ["-m", "hydra/sweeper=optuna", "hydra.sweeper.study_name=s", *QUICK, "tracking.keep=0"]


def test_the_default_space_is_searched_where_nothing_else_is_named(tmp_path):
    train("-m", "hydra/sweeper=optuna", *QUICK, "hydra.sweeper.n_trials=1", "tracking.keep=0", cwd=tmp_path, check=0)
    (sweep,) = (tmp_path / "outputs" / "sweeps").iterdir()
    (row,) = table(sweep)
    assert {"model", "model.width", "loss", "optimizer", "optimizer.lr"} <= {key for key, value in row.items() if value}


def test_what_is_fixed_stays_fixed_and_the_rest_of_the_default_space_is_searched(tmp_path):
    search(
        "hydra.sweeper.params={loss: mse, model.dropout: null}",
        "~model.dropout",
        "hydra.sweeper.n_trials=3",
        cwd=tmp_path,
    )
    rows = table(sweep_of(tmp_path))
    assert {row["loss"] for row in rows} == {"mse"}
    assert len({row["optimizer.lr"] for row in rows}) == 3


def search(*overrides, cwd, check=0, **env):
    return train(*PLAIN, *overrides, cwd=cwd, check=check, **env)


def sweep_of(tmp_path, name="s"):
    return tmp_path / "outputs" / "sweeps" / name


def table(sweep, name="trials.csv"):
    return list(csv.DictReader(open(sweep / name)))


def stored(sweep, name="s"):
    return optuna.load_study(study_name=name, storage=f"sqlite:///{sweep / 'study.db'}")


def test_repeats_and_a_final_on_fresh_seeds(tmp_path):
    options = [LR, "hydra.sweeper.n_trials=3", "hydra.sweeper.repeats=2", "hydra.sweeper.final={top: 2, seeds: 3}"]
    done = search(*options, cwd=tmp_path)
    sweep = sweep_of(tmp_path)
    for number in "012":
        result = result_of(sweep / number)
        assert [r["seed"] for r in result["repeats"]] == [0, 1]
        assert result["objective"]["value"] == pytest.approx(sum(r["value"] for r in result["repeats"]) / 2)
        assert result["metrics"]["test_accuracy"] is None
        assert all(r["metrics"]["test_accuracy"] is None for r in result["repeats"])
    final = table(sweep, "final.csv")
    best = sorted(table(sweep), key=lambda row: (-float(row["objective"]), int(row["number"])))
    assert {row["number"] for row in final} == {row["number"] for row in best[:2]}
    for row in final:
        seeds = result_of(sweep / "final" / row["number"])["repeats"]
        assert [(r["seed"], r["split_seed"]) for r in seeds] == [(2, 1), (3, 2), (4, 3)]
        assert len({r["data_digest"] for r in seeds}) == 3
        assert float(row["test_accuracy"]) == pytest.approx(sum(r["metrics"]["test_accuracy"] for r in seeds) / 3)
    assert "final on 3 fresh seeds, each on a fresh split, mean" in done.stdout
    assert "test_accuracy on 3 fresh splits judges them" in done.stdout
    assert "(3 splits, p" in done.stdout
    before = {n: (sweep / "final" / n / "result.json").stat().st_mtime_ns for n in [row["number"] for row in final]}
    again = search(*options, cwd=tmp_path)
    assert {n: (sweep / "final" / n / "result.json").stat().st_mtime_ns for n in before} == before
    assert "final on 3 fresh seeds" in again.stdout


def test_a_seed_of_a_final_is_what_it_would_be_alone(tmp_path):
    start = ["seed=5", "data.split_seed=3"]  # of the search; those of its final follow
    final = "hydra.sweeper.final={top: 1, seeds: 2}"
    search("hydra.sweeper.n_trials=1", "optimizer.lr=choice(0.01)", final, *start, cwd=tmp_path)
    train(*QUICK, "seed=7", "data.split_seed=5", "optimizer.lr=0.01", cwd=tmp_path, check=0)
    (alone,) = (tmp_path / "outputs" / "runs").iterdir()
    seed = result_of(sweep_of(tmp_path) / "final" / "0")["repeats"][1]
    assert (seed["seed"], seed["split_seed"]) == (7, 5)
    assert seed["data_digest"] == result_of(alone)["data_digest"]
    assert seed["metrics"] == result_of(alone)["metrics"]


FINAL = "hydra.sweeper.final={top: 1, seeds: 2}"


def trained(folder):
    """What a run trained, without its seed and split."""
    values = read_values(folder / "config.yaml")
    values["data"].pop("split_seed", None)
    return {key: value for key, value in values.items() if key not in ("seed", "tracking", "checkpoint")}


def test_a_point_is_what_the_study_has_of_it_and_not_what_hydra_wrote(tmp_path):
    done = search(LR, "hydra.sweeper.n_trials=2", FINAL, "hydra.output_subdir=null", cwd=tmp_path)
    sweep = sweep_of(tmp_path)
    assert not list(sweep.rglob(".hydra"))
    points = {str(t.number): t.params["optimizer.lr"] for t in stored(sweep).trials}
    assert {row["number"]: float(row["optimizer.lr"]) for row in table(sweep)} == points
    assert all(f"optimizer.lr={lr}" in done.stdout.partition("done: ")[0].split("final: ")[1] for lr in points.values())
    (row,) = table(sweep, "final.csv")
    folder = sweep / "final" / row["number"]
    assert float(row["optimizer.lr"]) == points[row["number"]]
    for run in (folder, folder / "split-1", folder / "split-2"):
        assert trained(run) == trained(sweep / row["number"])
    assert f"{points['0']:.6g}"[:5] in (sweep / "report.html").read_text()
    assert read_values(sweep / "best_config.yaml")["hydra"]["run"]["dir"].startswith("outputs/runs/")


def test_overrides_with_signs_and_deletions_reach_the_final_as_they_reached_the_trials(tmp_path):
    signs = [
        "~model.dropout",
        "+model.dropout=0.1",
        "~trainer.patience=null",
        "++optimizer.weight_decay=0.01",
        "++seed=5",
    ]
    search("++optimizer.lr=choice(0.01,0.1)", *signs, "hydra.sweeper.n_trials=2", FINAL, cwd=tmp_path)
    sweep = sweep_of(tmp_path)
    (row,) = table(sweep, "final.csv")
    assert result_of(sweep / row["number"])["overrides"][-6:] == [f"++optimizer.lr={row['optimizer.lr']}", *signs]
    for split in ("split-1", "split-2"):
        assert trained(sweep / "final" / row["number"] / split) == trained(sweep / row["number"])
    assert [r["seed"] for r in result_of(sweep / "final" / row["number"])["repeats"]] == [6, 7]


def test_a_final_refuses_to_train_what_its_trial_did_not_train(tmp_path):
    file = tmp_path / "mine" / "optimizer" / "own.yaml"
    file.parent.mkdir(parents=True)
    text = (ROOT / "conf" / "optimizer" / "sgd.yaml").read_text()
    file.write_text(text)
    options = ["--config-dir", "mine", "optimizer=choice(own)", "optimizer.lr=0.1", "hydra.sweeper.n_trials=1"]
    search(*options, cwd=tmp_path)
    file.write_text(text.replace("momentum: 0.9", "momentum: 0.5"))
    assert file.read_text() != text
    refused = search(*options, FINAL, cwd=tmp_path, check=2)
    assert "trial 0: optimizer.momentum=0.9 then, 0.5 now" in refused.stderr
    assert not (sweep_of(tmp_path) / "final").exists()
    file.write_text(text)
    search(*options, FINAL, cwd=tmp_path)
    assert len(table(sweep_of(tmp_path), "final.csv")) == 1


def test_objectives_on_the_command_line_leave_the_results_in_the_tables(tmp_path):
    for name, objective in (("s", "val_loss"), ("t", "[val_loss,n_parameters]")):
        options = [
            LR,
            "hydra.sweeper.n_trials=3",
            "hydra.sweeper.final={top: 2, seeds: 3}",
            f"hydra.sweeper.study_name={name}",
        ]
        search(*options, f"objective={objective}", cwd=tmp_path)
        sweep = sweep_of(tmp_path, name)
        for row in table(sweep):
            assert float(row["objective"]) == result_of(sweep / row["number"])["objective"]["value"]
            assert row["override.objective"] == objective
        for row in table(sweep, "final.csv"):
            assert float(row["objective"]) == result_of(sweep / "final" / row["number"])["objective"]["value"]
            assert row["override.objective"] == objective
        assert "val_loss" in (sweep / "report.html").read_text()


def test_a_final_on_data_with_an_official_test_split_keeps_its_splits(tmp_path):
    for name in ("train", "test"):
        rows = [f"{k % 7},{k % 5},{'ab'[k % 7 > 3]}" for k in range(60)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["x,y,class", *rows]) + "\n")
    options = ["data=csv", "data.path=train.csv", "data.test_path=test.csv", "data.target=class", LR]
    done = search(*options, "hydra.sweeper.n_trials=2", "hydra.sweeper.final={top: 2, seeds: 3}", cwd=tmp_path)
    for number in "01":
        folder = sweep_of(tmp_path) / "final" / number
        assert [r["seed"] for r in result_of(folder)["repeats"]] == [1, 2, 3]
        assert not any("split_seed" in r for r in result_of(folder)["repeats"])
        assert not list(folder.glob("split-*"))
    assert "test_accuracy on the test split judges them" in done.stdout
    assert "on this test split (3 seeds" in done.stdout


def test_a_trial_with_repeats_equals_its_seeds_trained_alone(tmp_path):
    search("hydra.sweeper.repeats=2", "hydra.sweeper.n_trials=1", "optimizer.lr=choice(0.01)", cwd=tmp_path)
    train("-m", *QUICK, "seed=0,1", "optimizer.lr=0.01", cwd=tmp_path, check=0)
    (grid,) = [p for p in (tmp_path / "outputs" / "sweeps").iterdir() if p.name != "s"]
    alone = [result_of(grid / n)["metrics"]["val_accuracy"] for n in "01"]
    assert [r["value"] for r in result_of(sweep_of(tmp_path) / "0")["repeats"]] == pytest.approx(alone, abs=1e-6)


def test_a_point_on_folds_and_seeds_equals_the_grid_over_them(tmp_path):
    options = ["data=wine", "data.split_seed=2", "optimizer.lr=0.02", "tracking=none"]
    keys = ["hydra.sweeper.folds=2", "hydra.sweeper.repeats=2", "hydra.sweeper.n_trials=1"]
    search(*options, "trainer.epochs=1,2", *keys, FINAL, cwd=tmp_path)
    point, best = sweep_of(tmp_path) / "0", sweep_of(tmp_path) / "best_config.yaml"
    epochs = read_values(point / "config.yaml")["trainer"]["epochs"]
    folds = ["data.resampling=kfold", "data.folds=2", "data.fold=0,1", "seed=0,1", f"trainer.epochs={epochs}"]
    train("-m", *QUICK, "tracking.keep=0", *options, *folds, cwd=tmp_path, check=0)
    (grid,) = [p for p in (tmp_path / "outputs" / "sweeps").iterdir() if p.name != "s"]
    alone = {(r["seed"], read_values(f / "config.yaml")["data"]["fold"]): r
             for f in grid.glob("[0-9]") for r in [result_of(f)]}  # fmt: skip
    rows = {(r["seed"], r["fold"]): r for r in result_of(point)["repeats"]}
    assert rows.keys() == alone.keys()
    for place, row in rows.items():
        assert (row["split_seed"], row["data_digest"]) == (2, alone[place]["data_digest"])
        assert row["metrics"]["val_loss"] == alone[place]["metrics"]["val_loss"]
        assert row["metrics"]["test_loss"] is None
    assert result_of(point)["objective"]["value"] == pytest.approx(sum(r["value"] for r in rows.values()) / 4)
    assert [(r["seed"], r["split_seed"]) for r in result_of(point.parent / "final" / "0")["repeats"]] == [
        (2, 3),
        (3, 4),
    ]
    data = read_values(best)["data"]
    assert (data["resampling"], data["folds"], data["fold"]) == ("kfold", 2, 0)


def test_another_space_under_the_same_name_is_refused_or_gets_the_next_name(tmp_path):
    search(LR, "hydra.sweeper.n_trials=2", cwd=tmp_path)
    other = ["optimizer.lr=tag(log,interval(0.001,0.2))", "hydra.sweeper.n_trials=2"]
    refused = search(*other, cwd=tmp_path, check=2)
    assert "space optimizer.lr" in refused.stderr
    assert "hydra.sweeper.on_mismatch=new" in refused.stderr
    for _ in range(2):  # the second time it goes on with the one it made
        search(*other, "hydra.sweeper.on_mismatch=new", cwd=tmp_path)
    assert {p.name for p in (tmp_path / "outputs" / "sweeps").iterdir()} == {"s", "s-2"}
    assert len(table(sweep_of(tmp_path, "s-2"))) == 2
    assert len(table(sweep_of(tmp_path))) == 2
    held = search(*other, "hydra.sweeper.on_mismatch=new", "hydra.sweep.dir=outputs/sweeps/s", cwd=tmp_path, check=2)
    assert "does not follow it" in held.stderr


def test_start_points_and_a_warm_start(tmp_path):
    search(LR, "hydra.sweeper.n_trials=3", cwd=tmp_path)
    search(
        LR, "hydra.sweeper.study_name=t", "hydra.sweeper.n_trials=2", "hydra.sweeper.warm_start=s",
        "hydra.sweeper.enqueue=[{optimizer.lr: 0.0123}]", cwd=tmp_path,
    )  # fmt: skip
    sweep = sweep_of(tmp_path, "t")
    assert [row["number"] for row in table(sweep)] == ["3", "4"]
    assert table(sweep)[0]["optimizer.lr"] == "0.0123"
    assert read_values(sweep / "optimization_results.yaml")["best_trial"] in (3, 4)


def test_an_equal_point_is_taken_over_and_says_so(tmp_path):
    done = search("optimizer.lr=choice(0.01)", "hydra.sweeper.n_trials=3", cwd=tmp_path)
    sweep = sweep_of(tmp_path)
    assert "trial 2 is the same point as trial 0" in done.stdout
    assert [row["same_as"] for row in table(sweep)] == ["", "0", "0"]
    assert result_of(sweep / "2")["metrics"] == result_of(sweep / "0")["metrics"]
    assert not (sweep / "2" / "model.safetensors").exists()


def test_spaces_beside_their_options(tmp_path):
    """What `optimizer=sgd` and `optimizer=adam` bring to a search, each its own range of the learning rate."""
    folder = tmp_path / "mine" / "optimizer"
    folder.mkdir(parents=True)
    for name, space in {
        "sgd": {"lr": "tag(log,interval(0.05,0.5))", "momentum": "choice(0.0,0.9)"},
        "adam": {"lr": "tag(log,interval(0.0005,0.005))"},
    }.items():
        text = (ROOT / "conf" / "optimizer" / f"{name}.yaml").read_text()
        lines = "".join(f"  {key}: {value}\n" for key, value in space.items())
        (folder / f"{name}_searched.yaml").write_text(f"{text}search:\n{lines}")
    search(
        "--config-dir", "mine", "optimizer=choice(sgd_searched,adam_searched)", "hydra.sweeper.n_trials=8",
        "hydra.sweeper.sampler.seed=1", cwd=tmp_path,
    )  # fmt: skip
    seen = set()
    for row in table(sweep_of(tmp_path)):
        lr, sgd = float(row["optimizer.lr"]), row["optimizer"] == "sgd_searched"
        assert 0.05 <= lr <= 0.5 if sgd else 0.0005 <= lr <= 0.005
        assert bool(row["optimizer.momentum"]) == sgd
        seen.add(sgd)
    assert seen == {True, False}


WRONG = {
    "a seed in the space": (["seed=range(5)"], ["seed is searched", "hydra.sweeper.repeats=5"]),
    "a seed with plus signs": (["++seed=1,2"], ["seed is searched", "hydra.sweeper.repeats=5"]),
    "an objective in the space": (
        [LR, "objective=val_accuracy,val_loss"], ["objective differs between trials", "try objective=val_accuracy"],
    ),
    "nothing left of what params search": (
        ["hydra.sweeper.params={optimizer.lr: 'interval(0.1,0.2)'}", "optimizer.lr=0.1"],
        ["nothing is left to search: optimizer.lr=0.1 is fixed"],
    ),
    "an interval for a whole number": (["trainer.epochs=interval(1,2)"], ["trainer.epochs must be a whole number"]),
    "a pruner that fails when it is asked": (
        [LR, "hydra/sweeper/pruner=hyperband", "hydra.sweeper.pruner.min_resource=0"],
        ["hydra.sweeper.pruner cannot be made of these options"],
    ),
    "the study itself as its start": ([LR, "hydra.sweeper.warm_start=s"], ["warm_start=s is this study itself"]),
    "a test metric": ([LR, "objective=test_accuracy"], ["objective must be", "test split is for the final report"]),
    "an unknown key": (["optimizer.speed=interval(0,1)"], ["optimizer.speed"]),
    "a key of another option": (
        ["optimizer=choice(sgd,adam)", "optimizer.momentum=interval(0,0.9)"], ["optimizer.momentum", "optimizer=adam"],
    ),
    "a range that leaves what is allowed": (["model.dropout=interval(0,2)"], ["model.dropout must be", "got 2.0"]),
    "options that do not go together": (
        ["loss=choice(nll,mse)", "loss.output=choice(logits,softmax)"], ["loss.output must be", "loss=nll"],
    ),
    "data that is not there": ([LR, "data=csv", "data.path=no.csv", "data.target=y"], ["no.csv"]),
    "a condition that never holds": (
        [LR, "optimizer=choice(sgd,adam)", "hydra.sweeper.conditions={optimizer.lr: 'optimizer=rmsprop'}"],
        ["optimizer is never rmsprop"],
    ),
    "several at once": (
        [LR, "hydra.sweeper.n_trials=0", "hydra.sweeper.retries=-1", "hydra.sweeper.repeats=0", "hydra.sweeper.final=3"],
        ["hydra.sweeper.n_trials must", "hydra.sweeper.retries must", "hydra.sweeper.repeats must", "hydra.sweeper.final must"],
    ),
    "a pruner with several objectives": (
        [LR, "objective=[val_accuracy,n_parameters]", "hydra/sweeper/pruner=median"], ["pruner must be none"],
    ),
    "a target with several objectives": (
        [LR, "objective=[val_accuracy,n_parameters]", "hydra.sweeper.target=0.9"], ["hydra.sweeper.target=null"],
    ),
    "a study that is not there": ([LR, "hydra.sweeper.warm_start=nope"], ["hydra.sweeper.warm_start=nope"]),
    "a study in a file that is not there": (
        [LR, "hydra.sweeper.warm_start={study_name: x, storage: 'sqlite:///typo.db'}"],
        ["warm_start: the storage sqlite:///typo.db of the study 'x' has no file", "typo.db does not exist"],
    ),
    "a start point outside": (
        [LR, "hydra.sweeper.enqueue=[{optimizer.lr: 5}]"], ["hydra.sweeper.enqueue[0].optimizer.lr must be from 0.001 to 0.1"],
    ),
    "values that are no list or mapping": (
        [
            LR, "hydra.sweeper.enqueue={optimizer.lr: 0.1}", "hydra.sweeper.conditions=3", "hydra.sweeper.params=[x]",
            "hydra.sweeper.warm_start={study: x}",
        ],
        [
            "4 faults", "enqueue must be a list or null", "conditions must be a mapping or null", "params must be a mapping or null",
            "warm_start must be null, the name",
        ],
    ),
    "a list of points that are none": ([LR, "hydra.sweeper.enqueue=[3]"], ["hydra.sweeper.enqueue must be"]),
    "true for a number": ([LR, "hydra.sweeper.repeats=true"], ["hydra.sweeper.repeats must be a whole number"]),
    "ranges that hold nothing": (
        ["optimizer.lr=interval(0.1,0.01)", "model.dropout=tag(log,interval(0,0.5))", "trainer.epochs=range(3,3)"],
        ["3 faults", "optimizer.lr=interval(0.1,0.01) cannot", "model.dropout=tag(log", "trainer.epochs=range(3,3)"],
    ),
    "a grid of an interval": (
        [LR, "loss=choice(nll,mse)", "hydra/sweeper/sampler=grid"], ["and optimizer.lr has no end", "sampler=qmc"],
    ),
    "an option that the sampler does not know": (
        [LR, "+hydra.sweeper.sampler.speed=1"], ["hydra.sweeper.sampler cannot be made of these options", "'speed'"],
    ),
    "an option that auto does not know": (
        [LR, "hydra/sweeper/sampler=auto", "+hydra.sweeper.sampler.speed=1"], ["hydra.sweeper.sampler cannot", "'speed'"],
    ),
    "an option that the pruner does not know": (
        [LR, "hydra/sweeper/pruner=median", "+hydra.sweeper.pruner.speed=1"], ["hydra.sweeper.pruner cannot", "'speed'"],
    ),
    "a name that is no folder everywhere": ([LR, "hydra.sweeper.study_name='a?b'"], ["study_name must be a plain folder"]),
    "a space of nowhere": (
        [LR, "hydra.sweeper.custom_search_space=no.where"], ["hydra.sweeper.custom_search_space=no.where must be"],
    ),
    "a space of one's own that draws what is fixed": (
        ["optimizer.lr=0.05", "hydra.sweeper.custom_search_space=support.custom_spaces.rate"],
        ["support.custom_spaces.rate draws what is fixed: optimizer.lr=0.05"],
    ),
    "a grid beside a space of one's own": (
        ["loss=nll,mse", "hydra/sweeper/sampler=grid", "hydra.sweeper.custom_search_space=support.custom_spaces.rate"],
        ["custom_search_space=support.custom_spaces.rate draws optimizer.lr beside it", "sampler=tpe"],
    ),
    "an interval where every value is tried": (
        [LR, "hydra/sweeper/sampler=brute_force"], ["optimizer.lr has no end of them", "sampler=qmc"],
    ),
    "a journal in a relative place": ([LR, "hydra.sweeper.storage=journal://study.log"], ["hydra.sweeper.storage"]),
    "a database that is not there": (
        [LR, "hydra.sweeper.storage=sqlite:////nowhere/at/all/study.db"], ["hydra.sweeper.storage"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", list(WRONG))
def test_a_wrong_search_is_refused_before_the_first_trial(case, tmp_path):
    overrides, words = WRONG[case]
    refused = search(*overrides, cwd=tmp_path, check=2)
    for text in words:
        assert text in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not sweep_of(tmp_path).exists()


def test_a_space_of_ones_own_with_automatic_sampler_and_start_points(tmp_path):
    search(
        "hydra.sweeper.custom_search_space=support.custom_spaces.momentum_of_sgd", "hydra/sweeper/sampler=auto",
        "hydra.sweeper.enqueue=[{optimizer: sgd, optimizer.momentum: 0.25}]", "hydra.sweeper.n_trials=3", FINAL,
        cwd=tmp_path,
    )  # fmt: skip
    sweep = sweep_of(tmp_path)
    for trial, row in zip(stored(sweep).trials, table(sweep), strict=True):
        config = read_values(sweep / row["number"] / "config.yaml")["optimizer"]
        assert (row["optimizer"], row.get("optimizer.momentum") or None) == (
            trial.params["optimizer"], str(trial.params["optimizer.momentum"]) if row["optimizer"] == "sgd" else None,
        )  # fmt: skip
        assert config["name"] == trial.params["optimizer"]
        assert config.get("momentum") == trial.params.get("optimizer.momentum")
    assert table(sweep)[0]["optimizer.momentum"] == "0.25"
    assert len(table(sweep, "final.csv")) == 1


def test_an_error_of_a_space_of_ones_own_is_named_with_its_file(tmp_path):
    path = "hydra.sweeper.custom_search_space=support.custom_spaces"
    first = search(f"{path}.fails", cwd=tmp_path, check=1)
    assert "support.custom_spaces.fails raised KeyError: 'nothing' (custom_spaces.py, line" in first.stderr
    assert not sweep_of(tmp_path).exists()
    one_by_one = ["hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=1"]
    later = search(f"{path}.fails_later", *one_by_one, cwd=tmp_path, check=1)
    assert "support.custom_spaces.fails_later raised KeyError: 'nothing' (custom_spaces.py, line" in later.stderr
    assert [row["status"] for row in table(sweep_of(tmp_path))] == ["completed"]


def test_a_single_run_that_is_configured_wrongly_leaves_nothing(tmp_path):
    refused = train("optimizer.lr=-1", "model.hidden=[]", "tracking.keep=x", cwd=tmp_path, check=2)
    assert "3 faults" in refused.stderr
    assert not list(tmp_path.iterdir())


def test_failures_are_shown_counted_and_do_not_stop_the_search(tmp_path):
    done = search("optimizer.lr=choice(0.01,1e30)", "hydra.sweeper.n_trials=4", "hydra.sweeper.sampler.seed=0",
                  cwd=tmp_path)  # fmt: skip
    rows = table(sweep_of(tmp_path))
    bad = [row for row in rows if row["optimizer.lr"] == "1e+30" or row["optimizer.lr"] == "1e30"]
    assert 0 < len(bad) < 4
    assert all((row["status"], row["failure"]) == ("diverged", "diverged") for row in bad)
    assert "diverged: the loss became" in done.stdout


def test_a_trial_that_takes_too_long_has_failed_and_the_next_has_its_turn(tmp_path):
    search(
        LR, "trainer.epochs=choice(1,1000000)", "hydra.sweeper.trial_timeout_s=1", "hydra.sweeper.n_trials=4",
        "hydra.sweeper.sampler.seed=0", cwd=tmp_path,
    )  # fmt: skip
    kinds = {row["trainer.epochs"]: row["failure"] for row in table(sweep_of(tmp_path))}
    assert kinds == {"1": "", "1000000": "timeout"}


def test_a_search_without_a_single_value_has_failed(tmp_path):
    done = search("optimizer.lr=choice(1e30)", "hydra.sweeper.n_trials=1", cwd=tmp_path, check=1)
    assert "no trial of s came to a value" in done.stderr
    assert len(table(sweep_of(tmp_path))) == 1


def test_several_objectives_give_a_front(tmp_path):
    done = search(
        LR,
        "model.width=choice(8,32,128)",
        "objective=[val_accuracy,n_parameters]",
        "hydra.sweeper.n_trials=5",
        cwd=tmp_path,
    )
    sweep = sweep_of(tmp_path)
    solutions = read_values(sweep / "optimization_results.yaml")["solutions"]
    assert all(len(s["values"]) == 2 for s in solutions)
    for s in solutions:
        names = {o["name"]: o["value"] for o in result_of(sweep / str(s["number"]))["objectives"]}
        assert list(names.values()) == s["values"]
        assert names["n_parameters"] == result_of(sweep / str(s["number"]))["n_parameters"]
    assert sum(line.startswith("front ") for line in done.stdout.splitlines()) == len(solutions)


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_trials_are_pruned_whichever_process_trains_them(launcher, tmp_path):
    run = {"basic": train, "joblib": train_from_the_start}[launcher]
    run(
        *PLAIN, "optimizer.lr=choice(0.0001,0.00011,0.1)", "hydra/sweeper/sampler=grid", "hydra/sweeper/pruner=threshold",
"hydra.sweeper.pruner.lower=0.16", "trainer.epochs=4", f"hydra/launcher={launcher}", "hydra.sweeper.n_jobs=3",
        "hydra.sweeper.n_trials=3", "optimizer=sgd", cwd=tmp_path, check=0,
    )  # fmt: skip
    rows = {row["optimizer.lr"]: row for row in table(sweep_of(tmp_path))}
    assert [rows[lr]["status"] for lr in ("0.0001", "0.00011", "0.1")] == ["pruned", "pruned", "completed"]
    trials = {t.params["optimizer.lr"]: t for t in stored(sweep_of(tmp_path)).trials}
    assert len(trials[0.1].intermediate_values) == 4
    assert len(trials[0.0001].intermediate_values) < 4


SAMPLERS = {
    "tpe": [LR, "model.width=choice(8,16)"],
    "random": [LR],
    "gp": [LR],
    "cmaes": [LR, "optimizer.weight_decay=interval(0,0.01)"],
    "nsgaii": [LR],
    "nsgaiii": [LR],
    "qmc": [LR],
    "grid": ["optimizer.lr=choice(0.01,0.1)", "trainer.epochs=range(1,3)"],
    "brute_force": ["optimizer=choice(sgd,adam)", "optimizer.nesterov=choice(true,false)"],
    "auto": [LR],
}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_study_with_each_sampler_reaches_its_total_in_two_starts(sampler, tmp_path):
    options = [*SAMPLERS[sampler], f"hydra/sweeper/sampler={sampler}", "hydra.sweeper.sampler.seed=1"]
    if sampler == "brute_force":
        options += ["hydra.sweeper.conditions={optimizer.nesterov: 'optimizer=sgd'}"]
    for total in (2, 9):
        search(*options, f"hydra.sweeper.n_trials={total}", cwd=tmp_path)
    rows = table(sweep_of(tmp_path))
    expected = {"grid": 4, "brute_force": 3}.get(sampler, 9)
    assert len(rows) == expected
    keys = [option.split("=")[0] for option in SAMPLERS[sampler]]
    assert len({tuple(row[key] for key in keys) for row in rows}) == expected  # a later start draws other points


def test_a_grid_with_start_points_tries_every_point_once(tmp_path):
    space = ["optimizer.lr=choice(0.01,0.1)", "loss=choice(nll,mse)", "hydra/sweeper/sampler=grid"]
    points = "hydra.sweeper.enqueue=[{optimizer.lr: 0.1, loss: mse},{loss: nll},{loss: nll}]"
    for total, options in ((2, [points]), (20, [points]), (20, [])):
        done = search(*space, *options, f"hydra.sweeper.n_trials={total}", cwd=tmp_path)
    rows = table(sweep_of(tmp_path))
    assert sorted((row["loss"], row["optimizer.lr"]) for row in rows) == [
        ("mse", "0.01"), ("mse", "0.1"), ("nll", "0.01"), ("nll", "0.1"),
    ]  # fmt: skip
    assert (rows[0]["loss"], rows[0]["optimizer.lr"], rows[1]["loss"]) == ("mse", "0.1", "nll")
    assert "done: 4/4 trials" in done.stdout
    assert not any(row["same_as"] for row in rows)


def test_a_configuration_written_for_the_stock_plugin_runs_unchanged(tmp_path):
    """Hydra's own example, with its own schema of keys and the format of its results."""
    (tmp_path / "sphere.py").write_text(
        "import hydra\n"
        "@hydra.main(config_path='.', config_name='config')\n"
        "def sphere(cfg):\n"
        "    return cfg.x ** 2 + cfg.y ** 2\n"
        "if __name__ == '__main__':\n"
        "    sphere()\n"
    )
    stock = (
        "  sampler: {seed: 123}\n  direction: minimize\n  study_name: sphere\n"
        "  storage: null\n  n_trials: 6\n  n_jobs: 2\n  max_failure_rate: 0.0\n  params:\n"
        "    x: range(-5.5, 5.5, step=0.5)\n    y: choice(-5, 0, 5)\n"
    )
    (tmp_path / "config.yaml").write_text(
        "defaults: [_self_, {override hydra/sweeper: optuna}]\nx: 1\ny: 1\nz: 100\n"
        "hydra:\n sweep: {dir: out}\n sweeper:\n" + stock
    )
    shutil.copytree(ROOT / "conf" / "hydra" / "sweeper", tmp_path / "hydra" / "sweeper")
    done = subprocess.run(
        [sys.executable, "sphere.py", "-m"], cwd=tmp_path, capture_output=True, text=True, env=environment()
    )
    assert done.returncode == 0, done.stderr
    found = read_values(tmp_path / "out" / "optimization_results.yaml")
    assert (found["name"], set(found["best_params"])) == ("optuna", {"x", "y"})
    assert found["best_value"] == float(found["best_params"]["x"]) ** 2 + float(found["best_params"]["y"]) ** 2


def test_a_literal_password_in_a_file_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    url = "postgresql+psycopg://me:tr0ub4dor@localhost/study"
    query = "postgresql+psycopg://localhost/study?user=me&password=tr0ub4dor"
    text = (
        f"# @package _global_\nhydra:\n  sweeper: {{storage: '{url}', warm_start: {{study_name: x, storage: '{query}'}}}}\n"
        f"  job: {{env_set: {{MLFLOW_TRACKING_URI: '{url}'}}}}\ntracking: {{uri: '{url}'}}\n"
    )
    (tmp_path / "mine" / "experiment" / "shared.yaml").write_text(text)
    for kind in (["-m", "hydra/sweeper=optuna", LR], ["-m", "seed=1,2"], []):
        refused = train(*kind, *QUICK, "--config-dir", "mine", "experiment=shared", cwd=tmp_path, check=2)
        assert "4 faults" in refused.stderr
        for shown in (
            "hydra.sweeper.storage=postgresql+psycopg://***@localhost/study holds a password",
            "hydra.sweeper.warm_start.storage=postgresql+psycopg://localhost/study?user=me&password=*** holds",
            "hydra.job.env_set.MLFLOW_TRACKING_URI=postgresql", "tracking.uri=postgresql",
        ):  # fmt: skip
            assert shown in refused.stderr
        assert "tr0ub4dor" not in refused.stderr + refused.stdout
        assert not (tmp_path / "outputs").exists()


# Kills


def spawn(tmp_path, *overrides):
    return subprocess.Popen(
        [sys.executable, TRAIN, *PLAIN, *overrides], cwd=tmp_path, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env=environment(PYTHONUNBUFFERED="1"),
    )  # fmt: skip


def test_ten_kills_at_random_moments_cost_no_finished_trial_and_repeat_none(tmp_path):
    """Killed ten times, started again each time: every number is there once, what was finished is untouched."""
    draw, total = random.Random(20261122), 60
    options = [
        LR,
        "model.width=choice(8,16,32)",
        f"hydra.sweeper.n_trials={total}",
        "hydra.sweeper.n_jobs=3",
        "trainer.epochs=6",
    ]
    sweep = sweep_of(tmp_path)
    written: dict[str, bytes] = {}
    points: dict[int, dict] = {}
    kills = 0
    while kills < 10:
        out = tmp_path / f"out-{kills}"
        process = start(*PLAIN, *options, cwd=tmp_path, out=out)
        # Every other kill comes after a trial has ended, however slow the machine is.
        assert until("trial " if kills % 2 else "sweep of", out, process), "ended before it began"
        moment = time.monotonic() + draw.uniform(0.02, 0.6 if kills % 2 else 1.2)
        while time.monotonic() < moment and out.read_text().count("\ntrial ") < 3:  # nor after the last, however fast
            time.sleep(0.005)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "ended before it was killed"
        kills += 1
        for number, content in written.items():
            assert (sweep / number / "result.json").read_bytes() == content
        for trial in stored(sweep).trials:
            if trial.user_attrs.get("phalanx.drawn"):
                assert points.setdefault(trial.number, trial.params) == trial.params
            if trial.state.is_finished():
                written.setdefault(str(trial.number), (sweep / str(trial.number) / "result.json").read_bytes())
    search(*options, cwd=tmp_path)
    trials = stored(sweep).trials
    assert n_finished(stored(sweep)) == len(trials) == total
    assert [t.number for t in trials] == list(range(total))
    assert all(trials[number].params == params for number, params in points.items())
    assert all((sweep / number / "result.json").read_bytes() == content for number, content in written.items())
    rows = table(sweep)
    assert [int(row["number"]) for row in rows] == list(range(total))
    for trial, row in zip(trials, rows, strict=True):
        assert float(row["objective"]) == trial.value
    assert len(written) >= 5, "the kills came too early to mean anything"
    with sqlite3.connect(sweep / "study.db") as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_is_finished_and_the_next_start_takes_the_rest_at_once(how, tmp_path):
    # One at a time: with all three in flight, they end together.
    options = [LR, "hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=1", "trainer.epochs=1200"]
    process = spawn(tmp_path, *options)
    assert any(line.startswith("trial 0 ") for line in process.stdout)
    time.sleep(0.2)
    process.send_signal(how)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in out, out
    sweep = sweep_of(tmp_path)
    first = (sweep / "0" / "result.json").read_bytes()
    before = {t.number: t.params for t in stored(sweep).trials if t.params}
    search(*options, cwd=tmp_path)
    assert (sweep / "0" / "result.json").read_bytes() == first
    assert {t.number: t.params for t in stored(sweep).trials if t.number in before} == before
    assert [row["status"] for row in table(sweep)] == ["completed"] * 3


def test_two_drivers_share_one_study_to_one_total(tmp_path):
    options = [LR, "hydra.sweeper.n_trials=12", "tracking.keep=2"]
    outs = [tmp_path / "one", tmp_path / "two"]
    drivers = [start(*PLAIN, *options, cwd=tmp_path, out=out) for out in outs]
    for driver, out in zip(drivers, outs, strict=True):
        driver.join(timeout=120)
        assert driver.exitcode == 0, out.read_text()
    trials = stored(sweep_of(tmp_path)).trials
    assert [t.state.name for t in trials] == ["COMPLETE"] * 12
    assert [int(row["number"]) for row in table(sweep_of(tmp_path))] == list(range(12))


def test_no_password_of_the_storage_is_left_anywhere(tmp_path):
    secret = "tr0ub4dor"
    url = f"sqlite:///file:{tmp_path}/study.db?uri=true&password={secret}"
    done = search(LR, "hydra.sweeper.n_trials=1", "hydra.sweeper.storage=${oc.env:STORE}", "tracking.kind=mlflow",
                  cwd=tmp_path, STORE=url)  # fmt: skip
    assert secret not in done.stdout + done.stderr
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert sweep_of(tmp_path) / "multirun.yaml" in files
    assert tmp_path / "study.db" in files
    assert not [p for p in files if secret.encode() in p.read_bytes()]


def test_a_search_keeps_several_trials_in_flight_unasked_and_repeats_itself_with_a_seed(tmp_path):
    seeded = ["optimizer.lr=tag(log,interval(0.001,0.1))", "optimizer=sgd,adam", "hydra.sweeper.sampler.seed=1",
              "hydra.sweeper.n_trials=16"]  # fmt: skip
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        search(*seeded, cwd=tmp_path / name)
        rows = table(sweep_of(tmp_path / name))
        found.append([(row["number"], row["optimizer"], row["optimizer.lr"], row["val_loss"]) for row in rows])
    assert found[0] == found[1]
    assert len({row[2] for row in found[0]}) == 16
    logs = [file.read_text() for file in sweep_of(tmp_path / "one").glob("*/train.log")]
    assert any("trained in a cohort of 2" in log or "trained in a cohort of 3" in log for log in logs)
    assert not any("trained in a cohort of 5" in log for log in logs)
