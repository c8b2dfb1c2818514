"""Which folder a run or a sweep may have: another one's is refused, nothing in it changes, and the advice works."""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
import signal
import time
from pathlib import Path

import pytest
from support.forked import start, train
from support.train_command import QUICK, result_of

from hydra_plugins.phalanx import callback
from hydra_plugins.phalanx._state import STATE

OPTIONS = [*QUICK, "tracking=none"]
GRID = ["-m", *OPTIONS, "seed=0,1,2"]
SEARCH = ["-m", *OPTIONS, "hydra/sweeper=optuna", "optimizer.lr=interval(0.001,0.1)", "hydra.sweeper.n_trials=2"]
MEMORY = "hydra.sweeper.storage='sqlite:///:memory:'"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run, a grid, and searches with a stored study and with one in memory."""
    folder = tmp_path_factory.mktemp("made")
    train(*OPTIONS, "hydra.run.dir=run", cwd=folder, check=0)
    train(*GRID, "hydra.sweep.dir=grid", cwd=folder, check=0)
    train(*SEARCH, "hydra.sweeper.study_name=s", cwd=folder, check=0)
    train(*SEARCH, "hydra.sweep.dir=memory", MEMORY, cwd=folder, check=0)
    return folder


@pytest.fixture
def site(made, tmp_path):
    return shutil.copytree(made, tmp_path / "site")


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "study.db" not in path.name}


def table(sweep):
    return list(csv.DictReader(open(sweep / "trials.csv")))


def lose_database(site):
    for file in (site / "outputs" / "sweeps" / "s").glob("study.db*"):
        file.unlink()


def lose_manifest(site):
    (site / "grid" / "sweep.json").unlink()


def write_damaged_trial(site):
    (site / "new" / "7").mkdir(parents=True)
    (site / "new" / "7" / "result.json").write_text("{")


def write_own_files(site):
    (site / "new").mkdir()
    for name in ("config.yaml", "trials.csv"):
        (site / "new" / name).write_text("mine")


S = "hydra.sweeper.study_name=s"
TAKEN = {
    "a run in a run": (None, [*OPTIONS, "seed=3", "hydra.run.dir=run"], "run that has ended (completed, 2 epochs)"),
    "a run in a sweep": (None, [*OPTIONS, "hydra.run.dir=grid"], "is the folder of a sweep with 3 trials"),
    "a run as a trial": (None, [*OPTIONS, "hydra.run.dir=grid/7"], "lies in the folder of the sweep"),
    "a run in a final": (None, [*OPTIONS, "hydra.run.dir=outputs/sweeps/s/final/0"], "lies in the folder of the sweep"),
    "a run beside files of one's own": (write_own_files, [*OPTIONS, "hydra.run.dir=new"], "a run's (config.yaml)"),
    "a run beside a damaged result": (write_damaged_trial, [*OPTIONS, "hydra.run.dir=new/7"], "cannot be read"),
    "a grid in a run": (None, [*GRID, "hydra.sweep.dir=run"], "is the folder of a run"),
    "a grid in a trial": (None, [*GRID, "hydra.sweep.dir=grid/1"], "lies in the folder of the sweep"),
    "a grid in a search": (None, [*GRID, "hydra.sweep.dir=outputs/sweeps/s"], "holds the study 's' with 2 trials"),
    "a grid beside sweeps": (None, [*GRID, "hydra.sweep.dir=outputs/sweeps"], "holds sweeps (s)"),
    "a grid beside a trial": (write_damaged_trial, [*GRID, "hydra.sweep.dir=new"], "holds trials (7)"),
    "a grid beside files of one's own": (write_own_files, [*GRID, "hydra.sweep.dir=new"], "a sweep's (trials.csv)"),
    "a grid without its manifest": (lose_manifest, [*GRID, "hydra.sweep.dir=grid"], "holds trials (0, 1, 2)"),
    "a search in a grid": (None, [*SEARCH, "hydra.sweep.dir=grid"], "holds a grid of 3 trials, and this is a search"),
    "a search in a run": (None, [*SEARCH, "hydra.sweep.dir=run"], "is the folder of a run"),
    "two studies": (None, [*SEARCH, "hydra.sweep.dir=outputs/sweeps/s", "hydra.sweeper.study_name=t"], "study 't'"),
    "a study whose database is lost": (lose_database, [*SEARCH, S], "does not have that study"),
    "a study in another database": (None, [*SEARCH, S, "hydra.sweeper.storage=sqlite:///new.db"], "new.db does not"),
    "a study in memory": (None, [*SEARCH, "hydra.sweep.dir=memory", MEMORY], "in the memory of a process"),
}  # fmt: skip


@pytest.mark.parametrize("case", TAKEN)
def test_a_folder_that_is_taken_is_refused_and_the_advice_works(case, site):
    change, command, said = TAKEN[case]
    if change is not None:
        change(site)
    before = content(site)
    refused = train(*command, cwd=site, check=2)
    assert said in refused.stderr
    assert content(site) == before
    advice = refused.stderr.partition("for a ")[2].splitlines()[1]
    words = shlex.split(advice)
    assert words[0] == "python"
    done = train(*words[2:], cwd=site, check=0)
    assert "done: " in done.stdout
    assert content(site).items() >= before.items()


def test_a_study_of_another_name_goes_on_as_the_message_says(site):
    command = [*SEARCH, "hydra.sweep.dir=outputs/sweeps/s", "hydra.sweeper.n_trials=3"]
    os.rename(site / "outputs" / "sweeps" / "s", site / "outputs" / "sweeps" / "moved")
    command[-2] = "hydra.sweep.dir=outputs/sweeps/moved"
    advice = train(*command, cwd=site, check=2).stderr.partition("to go on with the one that is there type\n")[2]
    done = train(*shlex.split(advice)[2:], cwd=site, check=0)
    assert "done: 3/3 trials" in done.stdout


def test_a_second_database_with_a_study_of_the_same_name_and_size_is_another_study(site):
    other = "hydra.sweeper.storage=sqlite:///other.db"
    train(*SEARCH, S, other, "hydra.sweep.dir=elsewhere", cwd=site, check=0)
    refused = train(*SEARCH, S, other, cwd=site, check=2)
    assert "sqlite:///other.db does not have that study" in refused.stderr


def test_a_sweep_of_an_earlier_version_goes_on_and_gets_its_identity(site):
    sweep = site / "outputs" / "sweeps" / "s"
    manifest = json.loads((sweep / "sweep.json").read_text())
    identity = manifest.pop("study_id")
    (sweep / "sweep.json").write_text(json.dumps(manifest))
    done = train(*SEARCH, S, "hydra.sweeper.n_trials=3", cwd=site, check=0)
    assert "done: 3/3 trials" in done.stdout
    assert json.loads((sweep / "sweep.json").read_text())["study_id"] == identity


def test_trials_beyond_a_smaller_grid_are_not_counted_and_stay(site):
    command = ["-m", *OPTIONS, "hydra.sweep.dir=grid"]
    before = content(site / "grid" / "2")
    (site / "grid" / "1" / "result.json").write_text("{")  # which is not read either
    done = train(*command, "seed=0", cwd=site, check=0)
    assert "done: 1/1 trials, 0 failed" in done.stdout
    assert "(trial 0)" in done.stdout
    assert [row["number"] for row in table(site / "grid")] == ["0"]
    assert "1 trials: 1 completed" in (site / "grid" / "report.html").read_text()
    assert content(site / "grid" / "2") == before
    done = train(*command, "seed=0,1,2", cwd=site, check=0)
    assert "2 trials were finished before" in done.stdout
    assert [row["number"] for row in table(site / "grid")] == ["0", "1", "2"]


def test_results_of_a_changed_grid_are_gone_when_it_begins(site):
    command = ["-m", *OPTIONS, "hydra.sweep.dir=grid", "seed=0,1,2", "trainer.epochs=100000"]
    child = start(*command, "checkpoint.every_epochs=1", cwd=site, out=site / "out")
    while not (site / "grid" / "2" / "checkpoint.safetensors").exists():
        assert child.is_alive(), (site / "out").read_text()
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGTERM)
    child.join()
    assert child.exitcode == 1
    assert "stopped: 0/3 trials, 0 failed, 3 interrupted" in (site / "out").read_text()
    assert {(row["status"], row["objective"]) for row in table(site / "grid")} == {("failed", "")}


IN_MEMORY = [*SEARCH, MEMORY, "hydra.sweep.dir=sweep", "hydra.sweeper.final=null"]
BUSY = {
    "a grid": ([*GRID, "hydra.sweep.dir=sweep"], [*GRID, "hydra.sweep.dir=sweep"]),
    "a grid of Hydra's launcher": ([*GRID, "hydra.sweep.dir=sweep", "hydra/launcher=basic"],) * 2,
    "a search in memory": (IN_MEMORY, IN_MEMORY),
    "a grid where a run trains": ([*OPTIONS, "hydra.run.dir=sweep"], [*GRID, "hydra.sweep.dir=sweep"]),
}


def written(file: Path) -> tuple[int, int] | None:
    """Which file it is and when it was written; to read it changes neither."""
    return ((found := file.stat()).st_ino, found.st_mtime_ns) if file.exists() else None


@pytest.mark.parametrize("case", BUSY)
def test_a_folder_is_trained_in_by_one_process_at_a_time(case, tmp_path):
    command, late = BUSY[case]
    child = start(*command, "trainer.epochs=10000000", cwd=tmp_path, out=tmp_path / "out")
    try:
        while not any((tmp_path / "sweep").glob("**/config.yaml")):
            assert child.is_alive(), (tmp_path / "out").read_text()
            time.sleep(0.01)
        files = [tmp_path / "sweep" / name for name in ("sweep.json", "multirun.yaml", ".hydra/config.yaml")]
        before = list(map(written, files))
        assert any(before)
        refused = train(*late, cwd=tmp_path, check=2)
        assert "another process is training in sweep; wait until it has ended, or stop it" in refused.stderr
        assert list(map(written, files)) == before
        advice = refused.stderr.partition("for a new sweep beside it type\n")[2]
        done = train(*shlex.split(advice)[2:], cwd=tmp_path, check=0)
        assert "files: sweep-2\n" in done.stdout
        assert child.is_alive()
    finally:
        child.kill()
        child.join()
    if late == command and MEMORY not in command:
        assert "done: 3/3 trials" in train(*command, cwd=tmp_path, check=0).stdout


SUBDIRS = ["x${hydra.job.num}", "${hydra.job.override_dirname}", "one"]


@pytest.mark.parametrize("subdir", SUBDIRS)
@pytest.mark.parametrize("sweep", [GRID, SEARCH], ids=["grid", "search"])
def test_trials_in_folders_of_other_names_are_refused(sweep, subdir, tmp_path):
    refused = train(*sweep, f"hydra.sweep.subdir={subdir}", cwd=tmp_path, check=2)
    assert f"hydra.sweep.subdir must be ${{hydra.job.num}}, got '{subdir}'" in refused.stderr
    assert not list(tmp_path.iterdir())
    words = shlex.split(refused.stderr.splitlines()[-1])
    assert "done: " in train(*words[2:], cwd=tmp_path, check=0).stdout


@pytest.mark.parametrize("launcher", ["cohort", "basic"])
def test_paths_are_relative_to_where_the_command_was_typed_with_chdir_too(launcher, tmp_path):
    (tmp_path / "rows.csv").write_text("size,kind\n" + "".join(f"{i},{i % 7 // 4}\n" for i in range(90)))
    options = ["data=csv", "data.path=rows.csv", "data.target=kind", "trainer.epochs=2", "tracking.uri=sqlite:///m.db"]
    sweep = ["-m", f"hydra/launcher={launcher}", *options]
    commands = {
        "run": [*options, "hydra.run.dir=run"],
        "grid": [*sweep, "seed=0,1", "hydra.sweep.dir=grid"],
        "search": [
            *sweep,
            *SEARCH[3:],
            "hydra/sweeper/pruner=median",
            "hydra.sweeper.sampler.seed=0",
            "hydra.sweep.dir=search",
        ],
    }
    for name, command in commands.items():
        done = [train(*command, *also, cwd=tmp_path, check=0) for also in ([], _elsewhere(command))]
        assert f"files: {name}-2\n" in done[1].stdout
        assert all("model: models:/" in one.stdout for one in done if name != "run")  # in the store that was given
        for number in [""] if name == "run" else ["0", "1"]:
            first, second = (result_of(tmp_path / folder / number) for folder in (name, f"{name}-2"))
            assert second["metrics"] == first["metrics"]
    assert {path.name for path in tmp_path.rglob("*.db")} == {"m.db", "study.db"}
    assert (tmp_path / "m.db").is_file()


def _elsewhere(command):
    return ["hydra.job.chdir=true", f"{command[-1]}-2"]


def test_an_error_of_a_callback_ends_the_process(monkeypatch, capsys):
    hooks = [name for name in vars(callback.SweepCallback) if name.startswith("on_")]
    assert len(hooks) == 4
    monkeypatch.setattr(STATE, "sweep_log", object())  # has none of the methods that the last hook calls
    for name in hooks:
        with pytest.raises(SystemExit) as end:
            getattr(callback.SweepCallback(), name)(config=None, job_return=None)
        assert end.value.code == 1
        assert "Error" in capsys.readouterr().err
