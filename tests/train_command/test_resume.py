"""Runs and sweeps that are killed go on by the commands of README.md and docs/resume.md, in real processes."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.forked import start, train
from support.places import ROOT
from support.run_folders import complete, result, write_run
from support.train_command import TRAIN, environment, mlflow_run_id_of, result_of, temporaries

from phalanx.core.errors import RequestError
from phalanx.runs.checkpoint import read_checkpoint

pytestmark = pytest.mark.slow

# Odd sizes, so that rows of parameters are not aligned and the last batch is not full.
NET = [
    "model.hidden=[33,17]", "model.dropout=0.1", "trainer.batch_size=29", "optimizer.lr=0.003", "tracking=none",
    "schedule=cosine", "checkpoint.every_epochs=1",
]  # fmt: skip
RUN = [*NET, "trainer.epochs=50", "hydra.run.dir=run"]
# `resume=` gives the whole configuration where the first start gave what was typed.
TIMES = ("seconds", "train_seconds", "samples_per_second", "timing", "mlflow_run_id", "overrides")


def same(one, other):
    """Weights to the byte, curves and result to the last digit, but for times."""
    for name in ("model.safetensors", "metrics.csv", "seeds.csv", "result.json"):
        first, second = (_content(folder / name) for folder in (one, other))
        assert first == second, name
    assert not (one / "checkpoint.safetensors").exists()


def _content(file):
    if not file.is_file():
        return None
    if file.suffix == ".csv":
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file.open())]
    if file.suffix == ".json":
        return {key: value for key, value in json.loads(file.read_text()).items() if key not in TIMES}
    return file.read_bytes()


def killed_once_it_goes_on(arguments, cwd, *files, how=signal.SIGKILL):
    """Starts a training and kills it at a moment after every one of the checkpoints was written anew."""
    child = started_until_it_goes_on(arguments, cwd, *files)
    time.sleep(random.uniform(0, 0.15))
    os.kill(child.pid, how)
    child.join(60)
    return child.exitcode


def started_until_it_goes_on(arguments, cwd, *files):
    before = {file: _written(file) for file in files}
    child = start(*arguments, cwd=cwd, out=cwd / "out")
    while any(_written(file) == before[file] for file in files):
        assert child.is_alive(), (cwd / "out").read_text()
        time.sleep(0.005)
    return child


def _written(file):
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return None


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train(*RUN, cwd=folder, check=0)
    return folder / "run"


def test_a_run_that_is_killed_again_and_again_ends_as_one_that_was_not(uninterrupted, tmp_path):
    run = tmp_path / "run"
    assert killed_once_it_goes_on(RUN, tmp_path, run / "checkpoint.safetensors") == -signal.SIGKILL
    assert not (run / "result.json").exists()
    killed_once_it_goes_on(["resume=run"], tmp_path, run / "checkpoint.safetensors")
    done = train("resume=run", cwd=tmp_path, check=0)
    assert "goes on after epoch" in done.stdout
    same(run, uninterrupted)
    assert (run / "train.log").read_text().count("goes on after epoch") == 2
    ended = train("resume=run", cwd=tmp_path, check=0)
    assert "has ended (completed, 50 epochs)" in ended.stdout
    same(run, uninterrupted)


def test_a_run_that_is_killed_while_its_plots_are_drawn_gets_them(uninterrupted, tmp_path):
    run = tmp_path / "run"
    child = started_until_it_goes_on(RUN, tmp_path, run / "result.json")
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert not (run / "plots").exists()
    done = train("resume=run", cwd=tmp_path, check=0)
    assert "has ended (completed, 50 epochs)" in done.stdout
    drawn, expected = ({file.name for file in folder.glob("plots/*")} for folder in (run, uninterrupted))
    assert drawn == expected
    assert temporaries(run) == []
    same(run, uninterrupted)


def test_a_run_is_trained_by_one_process_at_a_time(tmp_path):
    """By that which began it, then by that which goes on with it; a kill lets go of it."""
    run, long = tmp_path / "run", [*RUN, "schedule=constant", "trainer.epochs=100000"]
    file = run / "checkpoint.safetensors"
    for arguments in (long, ["resume=run"]):
        child = started_until_it_goes_on(arguments, tmp_path, file)
        try:
            config = (run / ".hydra" / "config.yaml").stat()
            for late in (["resume=run", "trainer.epochs=1"], [*long, "optimizer.lr=0.1"]):
                done = train(*late, cwd=tmp_path, check=2)
                assert "another process is training in run; wait until it has ended, or stop it" in done.stderr
            assert (run / ".hydra" / "config.yaml").stat() == config
            assert child.is_alive()
        finally:
            child.kill()
            child.join()
    n_epochs = len(read_checkpoint(file)[1][0].history) + 1
    train("resume=run", f"trainer.epochs={n_epochs}", cwd=tmp_path, check=0)
    assert result_of(run)["epochs"] == n_epochs


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("interrupted")
    assert killed_once_it_goes_on(RUN, folder, folder / "run" / "checkpoint.safetensors", how=signal.SIGTERM) == 1
    return folder


def test_the_same_command_in_the_same_folder_goes_on_too_after_an_interrupt(uninterrupted, interrupted, tmp_path):
    run = shutil.copytree(interrupted / "run", tmp_path / "run")
    stored = result_of(run)
    assert "go on: python train.py resume=run" in (interrupted / "out").read_text()
    assert stored["failure"] == "interrupted"
    train(*RUN, cwd=tmp_path, check=0)
    assert f"goes on after epoch {stored['epochs']}," in (run / "train.log").read_text()
    same(run, uninterrupted)


def test_without_a_checkpoint_it_starts_from_its_beginning(uninterrupted, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_bytes((uninterrupted / "config.yaml").read_bytes())
    assert "has no checkpoint" in train("resume=run", cwd=tmp_path, check=0).stdout
    same(tmp_path / "run", uninterrupted)


def test_a_torn_checkpoint_is_refused_and_nothing_is_touched(interrupted, tmp_path):
    run = shutil.copytree(interrupted / "run", tmp_path / "run")
    file = run / "checkpoint.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-50])
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    done = train("resume=run", cwd=tmp_path, check=2)
    assert "is not a checkpoint written by Phalanx, or is damaged" in done.stderr
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    file.write_bytes(whole)
    done = train(*RUN, "optimizer.lr=0.1", cwd=tmp_path, check=2)
    assert "is of another configuration: optimizer.lr was 0.003, now 0.1" in done.stderr
    assert file.read_bytes() == whole
    for name in ("config.yaml", "result.json", "metrics.csv"):
        assert (run / name).read_bytes() == before[run / name]


GRID = [
    "-m", *NET, "optimizer=adam", "seed=0,1", "loss=cross_entropy,mse", "optimizer.lr=0.003,0.001", "trainer.patience=9",
    "trainer.epochs=40", "hydra.sweep.dir=grid", "tracking.keep=8",
    "checkpoint.every_epochs=3",
]  # fmt: skip


def test_a_cohort_that_is_killed_goes_on_trial_by_trial(tmp_path):
    """After an interrupt, then after a kill, with fewer beside each other, it ends as one that was not."""
    (tmp_path / "whole").mkdir()
    train(*GRID, cwd=tmp_path / "whole", check=0)
    files = [tmp_path / "grid" / n / "checkpoint.safetensors" for n in "07"]
    assert killed_once_it_goes_on(GRID, tmp_path, *files, how=signal.SIGTERM) == 1
    rows = list(csv.DictReader((tmp_path / "grid" / "trials.csv").open()))
    assert {row["failure"] for row in rows} == {"interrupted"}
    killed_once_it_goes_on([*GRID, "hydra.launcher.max_trials=5"], tmp_path, files[0])
    alone = train(*GRID, "hydra/launcher=basic", cwd=tmp_path, check=0)
    assert "8/8 trials, 0 failed" in alone.stdout
    for n in "01234567":
        same(tmp_path / "grid" / n, tmp_path / "whole" / "grid" / n)
    logs = [(tmp_path / "grid" / n / "train.log").read_text() for n in "01234567"]
    assert all("went on after epoch" in text or "goes on after epoch" in text for text in logs)


def test_a_grid_started_again_trains_what_is_not_finished_as_it_is_asked_for_now(tmp_path):
    grid = [
        "-m", "data=csv", "data.path=rows.csv", "data.target=kind", "trainer.epochs=2", "seed=0,1",
        "optimizer.lr=0.01,0.003", "tracking=none", "hydra.sweep.dir=grid",
    ]  # fmt: skip
    table = "size,kind\n" + "".join(f"{i},{'a' if i % 7 < 3 else 'b'}\n" for i in range(90))
    (tmp_path / "rows.csv").write_text(table)

    def again(*changes, n_kept):
        files = [tmp_path / "grid" / n / "result.json" for n in "0123"]
        before = [_written(file) for file in files]
        done = train(*grid, *changes, cwd=tmp_path, check=0)
        assert [_written(file) == was for file, was in zip(files, before, strict=True)].count(True) == n_kept
        assert (f"{n_kept} trials were finished before and stay as they are" in done.stdout) == (n_kept > 0)
        assert "done: 4/4 trials, 0 failed" in done.stdout
        return (tmp_path / "grid" / "trials.csv").read_text()

    first = again(n_kept=0)
    assert again(n_kept=4) == first
    shutil.rmtree(tmp_path / "grid" / "2")  # as a crash leaves a trial that had not begun
    stored = json.loads((tmp_path / "grid" / "3" / "result.json").read_text())
    (tmp_path / "grid" / "3" / "result.json").write_text(json.dumps({**stored, "status": "failed"}))
    again(n_kept=2)
    again("seed=2,1", n_kept=2)
    again("seed=2,1", "optimizer.weight_decay=0.1", n_kept=0)
    (tmp_path / "rows.csv").write_text(table.replace("5,", "6,"))
    again("seed=2,1", "optimizer.weight_decay=0.1", n_kept=0)


def test_a_search_that_is_killed_goes_on_with_the_trials_in_flight(tmp_path):
    search = [
        "-m", "hydra/sweeper=optuna", "hydra.sweeper.study_name=s", *NET, "optimizer.lr=choice(0.001,0.003,0.01)",
        "hydra/sweeper/sampler=grid", "hydra.sweeper.n_trials=3", "hydra.sweeper.repeats=2", "hydra.sweeper.n_jobs=3",
        "trainer.epochs=40", "hydra/sweeper/pruner=median", "checkpoint.every_epochs=3",
    ]  # fmt: skip
    (tmp_path / "whole").mkdir()
    train(*search, cwd=tmp_path / "whole", check=0)
    sweep = tmp_path / "outputs" / "sweeps" / "s"
    killed_once_it_goes_on(search, tmp_path, *[sweep / n / "checkpoint.safetensors" for n in "012"])
    train(*search, cwd=tmp_path, check=0)
    for n in "012":
        same(sweep / n, tmp_path / "whole" / "outputs" / "sweeps" / "s" / n)
        assert "went on after epoch" in (sweep / n / "train.log").read_text()


def test_the_run_in_mlflow_goes_on_with_each_epoch_once(tmp_path):
    from mlflow import MlflowClient

    slow = ["model.hidden=[300,300]", "trainer.batch_size=8", "schedule=constant", "trainer.epochs=100000"]
    process = subprocess.Popen(
        [sys.executable, TRAIN, *RUN, *slow, "tracking=mlflow", "tracking.live=0.05"], cwd=tmp_path,
        env=environment(), stdout=subprocess.DEVNULL,
    )  # fmt: skip
    store = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    try:
        run = _until(lambda: _seen(tmp_path, store))
    finally:
        process.kill()
        process.wait()
    (state,) = read_checkpoint(tmp_path / "run" / "checkpoint.safetensors")[1]
    n_epochs = len(state.history) + 5
    done = subprocess.run(
        [sys.executable, TRAIN, "resume=run", f"trainer.epochs={n_epochs}"], cwd=tmp_path, env=environment(),
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (again,) = [r for e in store.search_experiments() for r in store.search_runs([e.experiment_id])]
    assert again.info.run_id == run.info.run_id == mlflow_run_id_of(tmp_path / "run")
    assert again.info.status == "FINISHED"
    points = store.get_metric_history(run.info.run_id, "epoch/val_loss")
    assert sorted(point.step for point in points) == list(range(1, n_epochs + 1))


def _seen(folder, store):
    """The run in MLflow once it has a curve."""
    if not (folder / "run" / "checkpoint.safetensors").is_file() or not (folder / "mlflow.db").is_file():
        return None
    runs = [r for e in store.search_experiments() for r in store.search_runs([e.experiment_id])]
    return next((run for run in runs if "epoch/val_loss" in run.data.metrics), None)


def _until(look, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError("it never came")


@pytest.mark.parametrize(("given", "said"), [
    (["resume=run", "-m"], "a sweep goes on by its own command"),
    (["resume=run", "--multirun"], "a sweep goes on by its own command"),
    (["resume=run", "resume=run"], "can be given once"),
    (["resume=run", "from_run=run"], "from_run cannot be given beside it"),
    (["resume=run", "optimizer.lr=1", "seed=2"], "optimizer.lr, seed cannot be given beside it"),
    (["resume=run", "hydra.run.dir=other"], "hydra.run.dir cannot be given beside it"),
    (["resume=run", "trainer.patience=3"], "trainer.patience cannot be given beside it"),
    (["resume="], "must be the folder of a run, got ''"),
    (["resume=nowhere"], "must be the folder of a run, got 'nowhere'"),
    (["resume=empty"], "there is no run's config.yaml"),
    (["resume=sweep"], "a sweep goes on by its own command"),
    (["resume=sweep/3"], "a sweep goes on by its own command"),
    (["resume=sweep/final/3"], "a sweep goes on by its own command"),
    (["resume=sweep/final/3/split-1"], "a sweep goes on by its own command"),
], ids=lambda x: " ".join(x) if isinstance(x, list) else "")  # fmt: skip
def test_what_cannot_go_on_is_told(given, said, tmp_path, monkeypatch):
    from hydra_plugins.phalanx._resume import resumed
    from phalanx.core.errors import RequestError

    for name in ("run", "empty", "sweep/3", "sweep/final/3", "sweep/final/3/split-1"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.yaml").write_text("seed: 0\n")
    (tmp_path / "empty" / "config.yaml").unlink()
    (tmp_path / "sweep" / "sweep.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match=said):
        resumed(given, ROOT / "conf")


def resumed_in(folder, monkeypatch, *arguments):
    """The arguments of `train.py` that take the place of these, in the folder that has the run."""
    from hydra_plugins.phalanx._resume import resumed

    monkeypatch.chdir(folder)
    return resumed(arguments, ROOT / "conf")[0]


@pytest.mark.parametrize("status", ["completed", "pruned", "diverged", "failed"])
def test_a_run_that_has_ended_does_not_go_on_unless_it_was_broken_off(status, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(complete("seed: 3\n"))
    (run / "result.json").write_text(json.dumps(result(status=status, epochs=7)))
    if status == "failed":
        assert "seed=3" in resumed_in(tmp_path, monkeypatch, "resume=run")
        return
    with pytest.raises(SystemExit) as left:
        resumed_in(tmp_path, monkeypatch, "resume=run")
    assert left.value.code == 0
    assert f"has ended ({status}, 7 epochs)" in capsys.readouterr().out


@pytest.mark.parametrize("key", ["resume", "from_run"])
def test_a_wrong_value_of_the_run_is_told_with_its_file(key, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(complete("objective: odd\ntracking: {kind: none}"))
    done = train(f"{key}=run", cwd=tmp_path, check=2)
    assert "objective must be one of val_loss, val_accuracy" in done.stderr
    assert done.stderr.endswith("values that were not typed are those of run/config.yaml\n")


def test_what_is_given_beside_it_takes_the_place_of_the_runs_own(tmp_path, monkeypatch):
    run = tmp_path / "run"
    run.mkdir()
    own_config = (
        "seed: 3\ntracking: {kind: mlflow, uri: 'sqlite:///own.db', live: 5.0}\ncheckpoint: {every_epochs: 9}\n"
    )
    (run / "config.yaml").write_text(complete(own_config))
    plain = resumed_in(tmp_path, monkeypatch, "resume=run")
    own = ["++tracking.kind='mlflow'", "++tracking.uri='sqlite:///own.db'", "++tracking.live=5.0"]
    assert plain == ["seed=3", *own, "++checkpoint.every_epochs=9", "hydra.run.dir='run'"]
    beside = ["tracking.live=1", "device=cpu", "trainer.epochs=80", "checkpoint=default"]
    given = resumed_in(tmp_path, monkeypatch, "resume=run", *beside)
    assert given == ["seed=3", *own[:2], "hydra.run.dir='run'", *beside]
    (run / "config.yaml").write_text(complete(own_config.replace("sqlite:///own.db", "http://h")))
    group = resumed_in(tmp_path, monkeypatch, "tracking=none", "resume=run")
    assert group == ["seed=3", "++checkpoint.every_epochs=9", "hydra.run.dir='run'", "tracking=none"]


@pytest.mark.parametrize(("config", "said"), [
    ("tracking: {uri: 'http://h/${oc.env:OWN}'}", r"resume=run 'tracking.uri=http://h/\$\{oc.env:OWN\}', else"),
    ("tracking: {kind: mlflow, uri: '${oc.env:OWN}'}", "an address is not taken from a folder"),
    ("tracking: {uri: 'postgresql://me:secret@h/d'}", r"tracking.uri='postgresql://\*\*\*@h/d'"),
    ("tracking: {experiment: '${oc.env:OWN}'}", "tracking.experiment='.*' is an interpolation, which is not resolved"),
    ("checkpoint: {every_epochs: '${oc.env:OWN}'}", "checkpoint.every_epochs='.*' is an interpolation"),
    ("tracking: [1]", "is damaged: tracking must be a config group"),
    ("tracking: {'x=1': 2}", "'tracking.x=1' is not a key"),
    ("data: {path: '${oc.env:OWN}'}\ntrainer: {'a b': 1}", "'trainer.a b' is not a key\n.*data.path=.* is an interp"),
    ("model: {name: mlp, hidden: ['${oc.env:OWN}']}", "model.hidden='.*' is an interpolation"),
    ("[1]", "is damaged: it holds no keys"), ("", "is damaged: it holds no keys"), ("{}", "it holds no keys"),
])  # fmt: skip
def test_no_address_and_no_interpolation_is_taken_from_a_folder(config, said, tmp_path, monkeypatch):
    from phalanx.core.errors import RequestError

    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(config if config[:1] in "[{" else complete(config))
    monkeypatch.setenv("OWN", "SECRET")
    with pytest.raises(RequestError, match=f"(?s)run/config.yaml.*{said}") as caught:
        resumed_in(tmp_path, monkeypatch, "resume=run")
    assert "SECRET" not in str(caught.value)


def test_a_server_that_the_user_names_is_taken(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(complete("tracking: {uri: 'http://h', experiment: mine}"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://h")
    assert "++tracking.uri='http://h'" in resumed_in(tmp_path, monkeypatch, "resume=run")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    typed = resumed_in(tmp_path, monkeypatch, "resume=run", "tracking.uri=http://h")
    assert typed == ["++tracking.experiment='mine'", "hydra.run.dir='run'", "tracking.uri=http://h"]


def test_a_server_in_the_users_own_conf_is_taken(tmp_path, monkeypatch):
    from hydra_plugins.phalanx._resume import resumed

    shutil.copytree(Path(TRAIN).parent / "conf", tmp_path / "conf")
    shutil.copy(TRAIN, tmp_path)
    monkeypatch.setenv("OWN_STORE", "http://h")
    options = tmp_path / "conf" / "tracking" / "mlflow.yaml"
    options.write_text(options.read_text().replace("uri: null", "uri: ${oc.env:OWN_STORE}"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(complete("tracking: {uri: '${oc.env:OWN_STORE}'}"))
    found = resumed([f"resume={tmp_path / 'run'}"], tmp_path / "conf")[0]
    assert found[0] == "++tracking.uri='${oc.env:OWN_STORE}'"


def test_secrets_stay_unresolved_and_tracking_is_the_runs_own(tmp_path, monkeypatch):
    monkeypatch.setenv("STORE", "sqlite:///own.db")
    train(*RUN, "trainer.epochs=2", "tracking=mlflow", "tracking.uri=${oc.env:STORE}", "tracking.experiment=mine",
          "tracking.kind=none", cwd=tmp_path, check=0, STORE="sqlite:///own.db")  # fmt: skip
    (tmp_path / "run" / "result.json").unlink()
    again = ("resume=run", "trainer.epochs=3", "tracking.uri=${oc.env:STORE}")
    train(*again, cwd=tmp_path, check=0, STORE="sqlite:///own.db")
    text = (tmp_path / "run" / "config.yaml").read_text()
    assert "uri: ${oc.env:STORE}" in text
    assert "experiment: mine" in text
    assert "epochs: 3" in text


def test_a_folder_of_any_name_is_advised_as_it_can_be_pasted(tmp_path, monkeypatch, capsys):
    from hydra_plugins.phalanx._resume import resumed

    name = "my run's $HOME `touch x` größe\n[1]"
    write_run(tmp_path / name, result())
    (tmp_path / name / "plots").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        resumed([f"resume={name}"], lambda: None)
    with pytest.raises(RequestError) as refused:
        resumed([f"resume={name}", "seed=1"], lambda: None)
    for message in (capsys.readouterr().out, str(refused.value)):
        script = f"printf '%s\\0' {message.rpartition(' type ')[2]}"
        done = subprocess.run(["bash", "-c", script], capture_output=True, check=True, cwd=tmp_path)
        assert done.stdout.decode().split("\0")[0] == f"from_run={name}"
    assert [path.name for path in tmp_path.iterdir()] == [name]
