"""`python train.py` as a person runs it: real processes, exit statuses, and what is left behind."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file
from support.forked import train
from support.places import ROOT
from support.train_command import (
    QUICK,
    TRAIN,
    environment,
    mlflow_run_id_of,
    only,
    result_of,
    temporaries,
    train_from_the_start,
)

from phalanx.core.result import TrialResult

RESULT_KEYS = {
    "status", "objective", "metrics", "best_epoch", "epochs", "train_seconds", "samples_per_second", "device", "seed",
    "config_digest", "data_digest", "versions", "git", "error", "timing",
}  # fmt: skip


def test_a_run_leaves_everything_it_should(tmp_path):
    done = train_from_the_start("trainer.epochs=3", "loss=mse", "optimizer=sgd", cwd=tmp_path, check=0)
    run = only(tmp_path / "outputs" / "runs")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-[0-9a-f]{6}", run.name)
    for name in ("result.json", "metrics.csv", "model.safetensors", "config.yaml", "train.log", ".hydra/config.yaml"):
        assert (run / name).stat().st_size > 0, name
    assert {p.name for p in (run / "plots").iterdir()} == {
        "curves.png", "confusion.png", "first_layer.png", "mistakes.png", "reliability.png",
    }  # fmt: skip
    result = result_of(run)
    assert set(result) >= RESULT_KEYS
    assert result["status"] == "completed"
    assert result["objective"]["value"] == result["metrics"]["val_accuracy"] > 0.5
    assert all(value is not None for value in result["metrics"].values())
    assert re.fullmatch(r"[0-9a-f]{32}", mlflow_run_id_of(run))
    assert "mlflow_run_id" not in result
    assert (tmp_path / "mlflow.db").is_file()
    rows = list(csv.DictReader(open(run / "metrics.csv")))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    for word in ("epoch 3/3", "test", "accuracy", f"files: outputs/runs/{run.name}"):
        assert word in done.stdout
    assert done.stderr == ""
    assert temporaries(run) == []


WRONG = [
    (["optimizer=adma"], "optimizer=adma names no option (did you mean", "try optimizer=adam"),
    (["nonsense=1"], "nonsense", ""),
    (["optimizer.lrr=1"], "optimizer.lrr", ""),
    (["optimizer=3"], "must be a string or a list", ""),
    (["optimizer.lr=-1", "model.hidden=[]"], "2 faults", "try 'model.hidden=[64,64]'"),
    (["data=csv", "data.path=no.csv", "data.target=y"], "no.csv", ""),
    (["device=cuda"], "device=cuda cannot be used", "device=cpu"),
    (["data.n_val=100000"], "data.n_val must be at most", "try data.n_val="),
    (["hydra.run.dir=a_file/run"], "hydra.run.dir must be a folder", "try hydra.run.dir=outputs/runs/mine"),
    (["hydra.run.dir=/proc/x"], "got '/proc/x'", "try hydra.run.dir="),
    (["hydra.run.dir=/proc"], "got '/proc'", "try hydra.run.dir="),
    (["-m", "seed=0,1", "hydra.sweep.dir=/proc/x"], "hydra.sweep.dir must be a folder", "try hydra.sweep.dir="),
    (["-m", "seed=0,1", "hydra.sweep.dir=a_file"], "got 'a_file'", "try hydra.sweep.dir=outputs/sweeps/mine"),
    (["-m", "hydra/sweeper=optuna", "hydra.sweep.dir=/proc/x"], "got '/proc/x'", "try hydra.sweep.dir="),
    (["-m", "hydra/sweeper=optuna", "hydra.sweeper.study_name=../x"], "plain folder name", "study_name=first"),
    (["-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=0", "hydra.sweeper.patience=x"], "2 faults", "n_trials=20"),
    (
        ["-m", "hydra/sweeper=optuna", "hydra.sweeper.conditions={model.width:'loss=x'}"],
        "loss is never x",
        "one of nll",
    ),
    (["-m", "loss=nll,adma"], "loss=adma names no option; loss has cross_entropy, ", "try loss=cross_entropy"),
    (["-m", "seed=0,1", "optimizer.lr=-1", "model.hidden=[]"], "2 faults", "try 'model.hidden=[64,64]'"),
    (["-m", "seed=0,1", "data=csv", "data.path=no.csv", "data.target=y"], "no.csv", ""),
    (["-m", "seed=range(0)", "loss=range(3,0)"], "2 faults", "seed=range(0) has no values; try 'seed=range(0,1)'"),
    (["-m", "seed=range(0,3,0)"], "seed=range(0,3,0) has no values", "try 'seed=range(0,3)'"),
    (["-m", "seed=range(0,1000000000)"], "more than 100,000 jobs", "hydra/sweeper=optuna"),
    (["-m", "optimizer.lr=interval(0,1)"], "optimizer.lr=interval(0,1) is a range", "hydra/sweeper=optuna"),
    (["-m", "objective=val_loss,val_accuracy"], "objective differs between trials", "try objective=val_accuracy"),
    (["-m", "seed=0,1", "hydra.sweeper.max_batch_size=0"], "got 0", "try hydra.sweeper.max_batch_size=null"),
    (["-m", "seed=0,1", "hydra.sweeper.max_batch_size=abc"], "got 'abc'", "try hydra.sweeper.max_batch_size=null"),
    (["-m", "seed=0,1", "hydra.sweeper.live_report_s=0"], "got 0", "try hydra.sweeper.live_report_s=30"),
    (["-m", "hydra/sweeper=optuna", "hydra.sweeper.live_report_s=0"], "got 0", "try hydra.sweeper.live_report_s=30"),
    (["-m", "seed=0,1", "+hydra.sweeper.n_trials=3"], "n_trials is not a key of a grid", "hydra/sweeper=optuna"),
    (["-m", "seed=0,1", "hydra.sweeper.params=foo"], "must be a mapping or null, got 'foo'", "{seed:"),
]


@pytest.mark.parametrize(("args", "message", "advice"), WRONG, ids=lambda x: " ".join(x) if isinstance(x, list) else "")
def test_a_wrong_request_exits_with_2_and_says_what_to_type(args, message, advice, tmp_path):
    if "device=cuda" in args:
        import torch

        if torch.cuda.is_available():
            pytest.skip("there is a CUDA GPU here, so device=cuda is right")
    (tmp_path / "a_file").write_text("in the way")
    done = train(*args, "tracking=none", cwd=tmp_path, check=2)
    assert message in done.stderr
    assert advice in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a_file"]


@pytest.mark.parametrize("key", ["tracking.uri", "hydra.sweeper.storage"])
def test_a_password_in_a_literal_url_is_refused_before_anything_is_written(key, tmp_path):
    url = "postgresql://me:hunter2@localhost/db"
    done = train("-m", "hydra/sweeper=optuna", f"{key}={url}", cwd=tmp_path, check=2)
    assert f"{key}=${{oc.env:NAME}}" in done.stderr
    assert "hunter2" not in done.stderr + done.stdout
    assert not list(tmp_path.iterdir())


def test_a_run_that_diverges_exits_with_1_and_says_why(tmp_path):
    done = train(*QUICK, "optimizer.lr=1e30", cwd=tmp_path, check=1)
    assert "diverged" in done.stderr
    assert "try a lower optimizer.lr" in done.stderr
    result = result_of(only(tmp_path / "outputs" / "runs"))
    assert result["status"] == "diverged"
    assert result["objective"]["value"] is None


def test_a_training_too_short_for_its_schedule_is_refused_alone_and_in_a_grid(tmp_path):
    short = ["tracking=none", "trainer.epochs=1", "trainer.batch_size=null"]
    text = "trainer.epochs must be at least 5 with schedule=one_cycle and 1 step(s) per epoch"
    done = train(*short, "schedule=one_cycle", cwd=tmp_path, check=2)
    assert text in done.stderr
    assert "try trainer.epochs=5, a smaller trainer.batch_size, or schedule=constant" in done.stderr
    done = train("-m", *short, "schedule=one_cycle", "seed=0,1", cwd=tmp_path, check=2)
    assert text in done.stderr
    assert not (tmp_path / "outputs" / "sweeps").exists()  # none of its jobs could be trained
    done = train("-m", *short, "schedule=constant,one_cycle", cwd=tmp_path, check=2)
    assert text in done.stdout
    grid = only(tmp_path / "outputs" / "sweeps")
    assert [result_of(grid / n)["status"] for n in "01"] == ["completed", "failed"]


def test_a_schedule_that_changes_nothing_is_named_on_the_terminal_and_in_the_log(tmp_path):
    text = "schedule.every_epochs=10 never lowers the rate in trainer.epochs=2; type schedule.every_epochs=1"
    done = train(*QUICK, "schedule=step", cwd=tmp_path, check=0)
    assert f"WARNING: {text}" in done.stderr
    assert text in (only(tmp_path / "outputs" / "runs") / "train.log").read_text()


def test_numbers_that_float32_does_not_have_are_all_refused_at_once(tmp_path):
    wrong = ["optimizer.eps=1e-300", "model.dropout=0.9999999999", "optimizer.lr=1e-300", "trainer.clip_norm=1e300"]
    done = train(*QUICK, *wrong, cwd=tmp_path, check=2)
    assert "4 faults" in done.stderr
    assert "optimizer.eps must be a number above 0 in float32, where 1e-300 becomes 0" in done.stderr
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_signal_ends_cleanly_and_keeps_what_is_done(number, tmp_path):
    process = subprocess.Popen(
        [sys.executable, TRAIN, "trainer.epochs=100000", "tracking=none"], cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(PYTHONUNBUFFERED="1"),
    )  # fmt: skip
    assert any("epoch 1/" in line for line in process.stdout)
    time.sleep(0.5)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "interrupted" in err
    assert "Traceback" not in err
    run = only(tmp_path / "outputs" / "runs")
    result = result_of(run)
    assert result["status"] == "failed"
    assert "interrupted after epoch" in result["error"]
    assert result["epochs"] == len((run / "metrics.csv").read_text().splitlines()) - 1 > 0
    assert load_file(run / "model.safetensors")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_ends_with_a_clear_message_and_nothing_half_written(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], capture_output=True).returncode:
        pytest.skip("mount is not permitted here")
    try:
        done = train(*QUICK, "model.hidden=[500]", f"hydra.run.dir={disk}/run", cwd=tmp_path, check=1)
        assert "the disk is full" in done.stderr
        assert not (disk / "run" / "model.safetensors").exists()
        for path in (disk / "run").rglob("*.json"):
            json.loads(path.read_text())
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("sweep", [[], ["-m", "seed=0,1"], ["-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=2"]])
def test_a_reader_that_stops_reading_ends_no_training(sweep, tmp_path):
    """As `| head -1` does; a full device is named at the end, when everything is written."""
    reading, writing = os.pipe()
    os.close(reading)
    for name, status, sink in (("pipe", 0, writing), ("full", 1, os.open("/dev/full", os.O_WRONLY))):
        command = [
            sys.executable,
            TRAIN,
            *sweep,
            *QUICK,
            "tracking=none",
            f"hydra.{'sweep' if sweep else 'run'}.dir={name}",
        ]
        done = subprocess.run(
            command, cwd=tmp_path, stdout=sink, stderr=subprocess.PIPE, text=True, env=environment(), timeout=300
        )
        os.close(sink)
        assert done.returncode == status, done.stderr
        assert ("the output could not be printed (No space left on device)" in done.stderr) == (status == 1)
        results = [f"{number}/result.json" for number in (0, 1)] if sweep else ["result.json", "plots/curves.png"]
        for file in [*results, "trials.csv", "report.html", "best_config.yaml"] if sweep else results:
            assert (tmp_path / name / file).is_file(), file
        assert not list((tmp_path / name).glob("*-wal"))  # the study is closed


def test_a_grid_goes_on_past_failures_and_sums_up(tmp_path):
    done = train("-m", *QUICK, "loss=nll,mse", "optimizer.lr=0.01,1e30", cwd=tmp_path, check=0)
    sweep = only(tmp_path / "outputs" / "sweeps")
    rows = list(csv.DictReader(open(sweep / "trials.csv")))
    assert [row["number"] for row in rows] == ["0", "1", "2", "3"]
    assert [row["status"] for row in rows] == ["completed", "diverged", "completed", "diverged"]
    assert [row["loss"] for row in rows] == ["nll", "nll", "mse", "mse"]
    assert "became NaN" in rows[1]["error"] or "infinite" in rows[1]["error"]
    assert rows[0]["test_accuracy"]  # a plain grid reports the test split
    assert "4/4 trials, 2 failed" in done.stdout
    assert (sweep / "0" / "plots" / "curves.png").is_file()
    page = (sweep / "report.html").read_text()
    assert "4 trials: 2 completed, 2 diverged." in page
    assert page.count("<svg") >= 4
    assert "http" not in page  # opens offline
    assert {f.name for f in sweep.iterdir() if f.is_file()} == {
        "multirun.yaml", "sweep.json", "trials.csv", "best_config.yaml", "report.html", ".train.lock",
    }  # fmt: skip


def test_only_the_best_trials_keep_weights_and_plots(tmp_path):
    train("-m", *QUICK, "seed=0,1,2,3", "tracking.keep=1", cwd=tmp_path, check=0)
    sweep = only(tmp_path / "outputs" / "sweeps")
    kept = [n for n in "0123" if (sweep / n / "model.safetensors").is_file()]
    drawn = [n for n in "0123" if (sweep / n / "plots").is_dir()]
    values = {n: result_of(sweep / n)["objective"]["value"] for n in "0123"}
    assert kept == drawn == [max(values, key=lambda n: (values[n], -int(n)))]
    assert all((sweep / n / "metrics.csv").is_file() for n in "0123")


def test_the_best_config_repeats_the_trial_to_the_last_bit(tmp_path):
    train("-m", *QUICK, "seed=3,4", "optimizer=sgd,adam", "model.dropout=0.2", cwd=tmp_path, check=0)
    sweep = only(tmp_path / "outputs" / "sweeps")
    best = next(iter(sorted(sweep.glob("*/plots"), key=lambda p: -result_of(p.parent)["objective"]["value"]))).parent
    train("--config-path", str(sweep), "--config-name", "best_config", cwd=tmp_path, check=0, OMP_NUM_THREADS="1")
    again = only(tmp_path / "outputs" / "runs")
    one, two = result_of(again), result_of(sweep / _best_number(sweep))
    assert best.is_dir()
    assert one["metrics"] == two["metrics"]
    assert one["config_digest"] == two["config_digest"]
    first, second = (load_file(p / "model.safetensors") for p in (again, sweep / _best_number(sweep)))
    assert all(first[k].equal(second[k]) for k in first)


def _best_number(sweep: Path) -> str:
    rows = [row for row in csv.DictReader(open(sweep / "trials.csv")) if row["objective"]]
    return max(rows, key=lambda row: (float(row["objective"]), -int(row["number"])))["number"]


SEARCH = [
    "-m", "hydra/sweeper=optuna", "hydra.sweeper.study_name=s", "hydra.sweeper.sampler.seed=1", *QUICK,
    "tracking.keep=1", "optimizer=choice(sgd,adam)", "optimizer.lr=tag(log,interval(0.0005,0.5))",
]  # fmt: skip


def test_a_search_is_persisted_and_goes_on_to_its_total(tmp_path):
    train(*SEARCH, "hydra.sweeper.n_trials=3", cwd=tmp_path, check=0)
    sweep = tmp_path / "outputs" / "sweeps" / "s"
    before = {n: (sweep / n / "result.json").read_bytes() for n in "012"}
    done = train(*SEARCH, "hydra.sweeper.n_trials=5", cwd=tmp_path, check=0)
    assert "3 finished before" in done.stdout
    assert {f.name for f in sweep.iterdir() if f.is_dir()} == set("01234")
    assert {n: (sweep / n / "result.json").read_bytes() for n in "012"} == before
    assert all(result_of(sweep / n)["metrics"]["test_loss"] is None for n in "01234")
    refused = train(*SEARCH, "hydra.sweeper.n_trials=9", "trainer.epochs=3", cwd=tmp_path, check=2)
    assert "trainer.epochs: 2 then, 3 now" in refused.stderr
    patient = train(*SEARCH, "hydra.sweeper.n_trials=9", "hydra.sweeper.patience=1", cwd=tmp_path, check=0)
    assert "(patience=1: no better value than" in patient.stdout or "(n_trials=9 reached)" in patient.stdout
    ended = train(*SEARCH, "hydra.sweeper.n_trials=5", cwd=tmp_path, check=0)
    assert "(n_trials=5 reached)" in ended.stdout
    assert len(list(csv.DictReader(open(sweep / "trials.csv")))) == 5
    from phalanx.runs.config_file import read_values

    found = read_values(sweep / "optimization_results.yaml")
    rows = {row["number"]: row for row in csv.DictReader(open(sweep / "trials.csv"))}
    best = rows[str(found["best_trial"])]
    assert found["name"] == "optuna"
    assert (
        float(best["objective"])
        == found["best_value"]
        == max(float(r["objective"]) for r in rows.values() if r["objective"])
    )
    assert best["optimizer"] == found["best_params"]["optimizer"]


@pytest.mark.slow
def test_a_search_that_goes_on_stays_one_parent_in_mlflow(tmp_path, monkeypatch):
    from mlflow import MlflowClient

    for total in (2, 3):
        train(
            *SEARCH, "tracking.kind=mlflow", "tracking.keep=1", f"hydra.sweeper.n_trials={total}", cwd=tmp_path, check=0
        )
    monkeypatch.chdir(tmp_path)
    sweep = tmp_path / "outputs" / "sweeps" / "s"
    # By its absolute path: MLflow keeps the engine of a URL, and a relative one is another test's database by now.
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("phalanx").experiment_id
    runs = client.search_runs([experiment])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 1
    assert len(runs) == 4
    assert parents[0].info.status == "FINISHED"
    parent = parents[0].info.run_id
    assert {run.data.tags["mlflow.parentRunId"] for run in runs if run not in parents} == {parent}
    for n in "012":
        run = client.get_run(mlflow_run_id_of(sweep / n))
        assert run.data.metrics["val_accuracy"] == result_of(sweep / n)["objective"]["value"]
        assert run.data.params["optimizer.name"] in ("sgd", "adam")
        assert "test_accuracy" not in run.data.metrics
    assert "trials.csv" in {f.path for f in client.list_artifacts(parent)}


@pytest.mark.slow
def test_a_killed_search_loses_nothing_and_repeats_nothing(tmp_path):
    command = [sys.executable, TRAIN, *SEARCH, "hydra.sweeper.n_trials=6"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=environment(PYTHONUNBUFFERED="1")
    )
    assert any(line.startswith("trial 1 ") for line in process.stdout)
    process.kill()
    process.communicate()
    sweep = tmp_path / "outputs" / "sweeps" / "s"
    before = {p.parent.name: p.read_bytes() for p in sweep.glob("*/result.json")}
    assert len(before) >= 2
    train(*SEARCH, "hydra.sweeper.n_trials=6", cwd=tmp_path, check=0)
    assert {n: (sweep / n / "result.json").read_bytes() for n in before} == before
    assert len(list(csv.DictReader(open(sweep / "trials.csv")))) == 6


def test_an_interrupted_grid_sums_up_what_is_done(tmp_path):
    process = subprocess.Popen(
        [sys.executable, TRAIN, "-m", *QUICK, "trainer.epochs=2,3,100000"], cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(PYTHONUNBUFFERED="1"),
    )  # fmt: skip
    assert any(line.startswith("trial 1 ") for line in process.stdout)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in err
    assert "stopped: 2/3 trials, 0 failed, 1 interrupted, best" in out
    sweep = only(tmp_path / "outputs" / "sweeps")
    counts = json.loads((sweep / "sweep.json").read_text())["summary"]["metrics"]
    assert [counts[name] for name in ("n_trials", "n_failed", "n_interrupted")] == [3, 0, 1]
    assert "3 trials: 2 completed, 1 interrupted." in (sweep / "report.html").read_text()
    rows = list(csv.DictReader(open(sweep / "trials.csv")))
    assert [row["status"] for row in rows] == ["completed", "completed", "failed"]
    assert [row["failure"] for row in rows] == ["", "", "interrupted"]
    assert "interrupted after epoch" in rows[2]["error"]


def test_a_table_of_ones_own_from_training_to_prediction(tmp_path):
    rows = [(f"{i / 10}", "red" if i % 3 else "blue", "yes" if i % 3 and i > 40 else "no") for i in range(120)]
    (tmp_path / "fruit.csv").write_text("size;colour;ripe\n" + "\n".join(map(";".join, rows)) + "\n")
    train(
        "data=csv",
        "data.path=fruit.csv",
        "data.target=ripe",
        "tracking=none",
        "trainer.epochs=40",
        cwd=tmp_path,
        check=0,
    )
    run = only(tmp_path / "outputs" / "runs")
    command = [sys.executable, "-m", "phalanx", "predict", str(run), "fruit.csv", "--format", "csv"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment(), check=True)
    predicted = [row["predicted"] for row in csv.DictReader(done.stdout.splitlines())]
    assert sum(a == b for a, (_, _, b) in zip(predicted, rows, strict=True)) > 110


PRUNERS = sorted(path.stem for path in (ROOT / "conf" / "hydra" / "sweeper" / "pruner").glob("*.yaml"))


@pytest.mark.slow
@pytest.mark.parametrize("pruner", PRUNERS)
def test_every_pruner_runs_and_says_what_it_pruned(pruner, tmp_path):
    never = ["hydra.sweeper.pruner.lower=1.1"] if pruner == "threshold" else []  # which then prunes everything
    done = train(
        *SEARCH, f"hydra/sweeper/pruner={pruner}", *never, "hydra.sweeper.n_trials=8", "hydra.sweeper.n_jobs=1",
        "trainer.epochs=8", "hydra.sweeper.sampler.seed=3", cwd=tmp_path, check=0,
    )  # fmt: skip
    sweep = tmp_path / "outputs" / "sweeps" / "s"
    rows = list(csv.DictReader(open(sweep / "trials.csv")))
    pruned = [row for row in rows if row["status"] == "pruned"]
    assert len(rows) == 8
    if pruner in ("median", "percentile", "successive_halving", "hyperband", "threshold"):
        assert pruned
        assert f"{len(pruned)} pruned" in done.stdout
    if pruner == "none":
        assert not pruned
    best = [n for n in "01234567" if (sweep / n / "model.safetensors").is_file()]
    assert not set(best) & {row["number"] for row in pruned}


def test_help_and_config_inspection_cost_no_training(tmp_path):
    assert (
        "optimizer: adam, adamw, muon, nadam, rmsprop, sgd"
        in train_from_the_start("--help", cwd=tmp_path, check=0).stdout
    )
    assert "name: adam" in train("--cfg", "job", cwd=tmp_path, check=0).stdout
    assert "model" in train("--info", "defaults", cwd=tmp_path, check=0).stdout
    assert not (tmp_path / "outputs" / "runs").exists()


def test_result_json_has_a_key_for_every_field_of_a_result():
    assert set(TrialResult.__dataclass_fields__) - {"history", "weights"} >= RESULT_KEYS - {"versions", "git"}


@pytest.mark.slow
def test_a_seeded_search_twice_gives_the_same_trials(tmp_path):
    found = []
    for name in ("one", "two"):
        where = tmp_path / name
        where.mkdir()
        train(*SEARCH, "hydra.sweeper.n_trials=4", cwd=where, check=0)
        rows = csv.DictReader(open(where / "outputs" / "sweeps" / "s" / "trials.csv"))
        varying = ("train_seconds", "mlflow_run_id")
        found.append([{key: value for key, value in row.items() if key not in varying} for row in rows])
    assert found[0] == found[1]
    assert len({row["optimizer.lr"] for row in found[0]}) == 4
