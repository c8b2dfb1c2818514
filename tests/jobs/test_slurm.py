"""A real Slurm: `make slurm` starts one that ends with the tests, and everywhere else they are skipped."""

from __future__ import annotations

import csv
import functools
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from support.jobs import same
from support.sweeps import sweep_in
from support.train_command import TRAIN, environment, train_from_the_start

pytestmark = pytest.mark.skipif("PHALANX_SLURM" not in os.environ, reason="no Slurm of its own; type: make slurm")

SLURM = ["hydra.launcher.executor=submitit", "tracking=none"]
LONG = ["seed=0,1", "trainer.epochs=600", "checkpoint.every_epochs=50"]
WAIT_S = 240
DRIVERS = []


def slurm(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def submitit(**options):
    return [f"hydra.launcher.submitit.{key}={value}" for key, value in options.items()]


def until(happened, driver=None):
    """Waits for what `happened` returns, once that is something."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        if found := happened():
            return found
        assert driver is None or driver.poll() is None, driver.communicate()
        time.sleep(0.05)
    raise AssertionError(slurm("squeue", "--all") + slurm("sacct"))


def states():
    """The jobs that Slurm has, by their ids."""
    return dict(line.split() for line in slurm("squeue", "--noheader", "--array", "--format=%i %T").splitlines())


def started(cwd, *options):
    """A sweep, and the id of the job that trains it, which has written a checkpoint."""
    driver = subprocess.Popen(
        [sys.executable, TRAIN, "-m", *options, *SLURM], cwd=cwd, text=True, env=environment(PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    DRIVERS.append(driver)
    until(functools.partial(checkpointer_of, cwd), driver)
    (number,) = states()
    return driver, number


def checkpointer_of(cwd):
    return list(cwd.glob("outputs/sweeps/*/*/checkpoint.safetensors"))


def ended(driver, status=0):
    out, err = driver.communicate(timeout=WAIT_S)
    assert driver.returncode == status, out + err
    assert "Traceback" not in err
    return out, err


def start_at_once(number):
    """Spares the two minutes for which Slurm holds back a job that it has queued again."""
    until(lambda: states().get(number) == "PENDING")
    slurm("scontrol", "update", f"jobid={number}", "starttime=now")


def log_of(cwd):
    return "".join(file.read_text() for file in sorted(sweep_in(cwd).glob("submitit/*_log.*")))


def rows_of(cwd):
    return list(csv.DictReader(open(sweep_in(cwd) / "trials.csv")))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    train_from_the_start("-m", *LONG, "tracking=none", cwd=folder, check=0)
    return sweep_in(folder)


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    while DRIVERS:
        DRIVERS.pop().kill()
    slurm("scancel", "--user=root")
    subprocess.run(["scontrol", "update", "nodename=node", "state=resume"], capture_output=True)  # if a test drained it
    until(lambda: not states())


def test_a_grid_is_one_array_and_gives_the_same_results(tmp_path):
    folders = tmp_path / "here", tmp_path / "slurm"
    for folder, more in zip(folders, (["tracking=none"], [*SLURM, "hydra.launcher.workers=2"]), strict=True):
        folder.mkdir()
        train_from_the_start("-m", "debug=limit", "loss=nll,mse", "seed=0,1", *more, cwd=folder, check=0)
    assert same(*map(sweep_in, folders), 4) >= 1
    (script,) = sweep_in(folders[1]).glob("submitit/*_submission.sh")
    number = script.name.split("_")[0]
    assert "--array=0-1%2" in script.read_text()
    rows = slurm(
        "sacct", f"--jobs={number}", "--allocations", "--noheader", "--parsable2", "--format=jobid,state,ncpus"
    )
    assert rows.split() == [f"{number}_{n}|COMPLETED|1" for n in range(2)]


def test_a_search_asks_slurm_for_job_after_job(tmp_path):
    train_from_the_start(
        "-m", "debug=limit", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=2",
        "hydra/sweeper/pruner=median", "hydra.launcher.workers=2", *SLURM, cwd=tmp_path, check=0,
    )  # fmt: skip
    assert len(rows_of(tmp_path)) == 4
    assert {row["status"] for row in rows_of(tmp_path)} <= {"completed", "pruned"}


def test_a_job_that_is_pre_empted_goes_on_to_the_same_numbers(tmp_path, uninterrupted):
    driver, number = started(tmp_path, *LONG)
    rival = ["--partition=high", f"--cpus-per-task={os.cpu_count()}", "--mem=100", "--output=/dev/null"]
    slurm("sbatch", *rival, "--wrap=sleep 2")
    start_at_once(number)
    ended(driver)
    assert same(uninterrupted, sweep_in(tmp_path), 2) >= 1
    log = log_of(tmp_path)
    assert "Caught signal SIGUSR2" in log
    assert "Requeued job" in log
    (epoch,) = {int(n) for n in re.findall(r"goes on after epoch (\d+)", log)}
    assert 0 < epoch < 600
    assert "Restarts=1" in slurm("scontrol", "show", "job", number)


@pytest.mark.parametrize("how", ["requeue", "node"])
def test_a_job_that_is_queued_again_without_a_warning_goes_on_to_the_same_numbers(how, tmp_path, uninterrupted):
    driver, number = started(tmp_path, *LONG)
    if how == "requeue":
        slurm("scontrol", "requeue", number)
        start_at_once(number)
    else:  # Slurm needs its two minutes to see that the node has nothing of the job left
        slurm("scontrol", "update", "nodename=node", "state=down", "reason=test")  # from which it returns by itself
    ended(driver)
    assert same(uninterrupted, sweep_in(tmp_path), 2) >= 1
    (epoch,) = {int(n) for n in re.findall(r"goes on after epoch (\d+)", log_of(tmp_path))}
    assert 0 < epoch < 600
    assert "Restarts=1" in slurm("scontrol", "show", "job", number)


def test_a_job_that_is_cancelled_costs_one_more_try_and_then_its_trials(tmp_path):
    driver, first = started(tmp_path, "seed=0", "trainer.epochs=2,20000", "checkpoint.every_epochs=100",
                            "hydra.launcher.max_trials=1", "hydra.launcher.workers=1")  # fmt: skip
    slurm("scancel", first)
    second = until(lambda: [number for number in states() if number != first], driver)
    slurm("scancel", *second)
    _, err = ended(driver, status=1)
    assert "trained again: 1 of the jobs" in err
    quick, lost = rows_of(tmp_path)
    assert quick["status"] == "completed"
    assert (lost["status"], lost["failure"]) == ("failed", "crash")
    assert "CANCELLED" in lost["error"]


def test_a_job_that_takes_too_much_memory_is_lost_and_says_so(tmp_path):
    train_from_the_start("-m", "debug=limit", "seed=0,1", *SLURM, *submitit(mem_gb=0.1), cwd=tmp_path, check=1)
    for row in rows_of(tmp_path):
        assert row["failure"] == "crash"
        assert re.search("OUT_OF_MEMORY|FAILED", row["error"])  # FAILED where no cgroup watches
        assert "more hydra.launcher.submitit.mem_gb" in row["error"]


def test_a_job_that_has_run_its_time_is_queued_again(tmp_path):
    times = submitit(timeout_min=2, signal_delay_s=30)
    driver, number = started(tmp_path, "seed=0", "trainer.epochs=1000000", "checkpoint.every_epochs=1000", *times)
    until(lambda: "Requeued job" in log_of(tmp_path), driver)
    start_at_once(number)
    until(lambda: re.search(r"goes on after epoch \d+", log_of(tmp_path)), driver)
    driver.send_signal(signal.SIGINT)
    ended(driver, status=1)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_cancels_the_jobs(how, tmp_path):
    driver, number = started(tmp_path, *LONG)
    driver.send_signal(how)
    _, err = ended(driver, status=1)
    assert "interrupted: everything finished so far is kept" in err
    until(lambda: number not in states())
    assert [row["failure"] for row in rows_of(tmp_path)] == ["interrupted"] * 2


def test_what_sbatch_refuses_is_a_wrong_request(tmp_path):
    done = train_from_the_start("-m", "seed=0,1", *SLURM, *submitit(partition="nosuch"), cwd=tmp_path, check=2)
    assert "could not be submitted" in done.stderr
    assert "invalid partition specified: nosuch" in done.stderr
