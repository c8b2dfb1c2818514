"""Jobs of submitit on this machine, and what is said to Slurm; tests/slurm has the tests with a real one."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest
from support.forked import train
from support.jobs import by_number, job, same, trained
from support.places import ROOT
from support.submitit_jobs import Killed, Told
from support.sweeps import sweep_in
from support.train_command import train_from_the_start
from support.waiting import until

from phalanx import TrainerSpec
from phalanx.core.errors import Failure, RequestError, SpecError, failure_of
from phalanx.jobs.executors import slurm, slurm_job
from phalanx.jobs.executors.base import Shard
from phalanx.jobs.executors.dispatch import RemoteScheduler
from phalanx.jobs.executors.options import LauncherSpec
from phalanx.jobs.executors.slurm import SubmititSpec, Submitted
from phalanx.jobs.executors.slurm_job import SlurmJob
from phalanx.jobs.executors.worker import unpacked
from phalanx.jobs.scheduler import train_together

HERE = ["hydra.launcher.executor=submitit", "hydra.launcher.submitit.cluster=local"]


@pytest.fixture
def jobs_find_helpers(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))


def lasting(folder, number, epochs, **options):
    one = job(folder, number, **options)
    return replace(one, config=replace(one.settings, trial=replace(one.trial, trainer=TrainerSpec(epochs=epochs))))


def here(**options):
    return RemoteScheduler(
        LauncherSpec(executor="submitit", workers=2, submitit=SubmititSpec(cluster="local", **options))
    )


def processes_of(folder):
    return [p for p in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or ())]


@pytest.mark.slow
def test_jobs_give_the_same_results_as_this_process(tmp_path):
    folders = tmp_path / "here", tmp_path / "apart"
    for folder, run, more in zip(
        folders, (train, train_from_the_start), ([], [*HERE, "hydra.launcher.workers=2"]), strict=True
    ):
        folder.mkdir()
        run("-m", "debug=limit", "loss=nll,mse", "seed=0,1", *more, "tracking=none", cwd=folder, check=0)
    one, two = map(sweep_in, folders)
    assert same(one, two, 4) >= 1
    assert (two / "submitit").stat().st_mode & 0o777 == 0o700
    left = {path.suffix for path in (two / "submitit").iterdir()}
    assert left == {".out", ".err"}  # the pickles hold weights, and are gone


@pytest.mark.slow
def test_a_job_that_is_told_to_end_goes_on_from_its_checkpoints_to_the_same_numbers(tmp_path, jobs_find_helpers):
    told = [Told(tmp_path / f"diary-{number}", at) for number, at in enumerate((None, 3, None))]
    epochs = [2, 6, 5]
    found = trained([[lasting(tmp_path, n, epochs[n], find_trial=told[n]) for n in range(3)]], here())
    alone = [lasting(tmp_path / "alone", n, epochs[n]) for n in range(3)]
    for number, whole in by_number(train_together(alone)).items():
        (a,), (b,) = found[number].results, whole.results
        assert a.metrics == b.metrics
        assert [replace(row, seconds=0) for row in a.history] == [replace(row, seconds=0) for row in b.history]
        assert all(a.weights[name].equal(b.weights[name]) for name in b.weights)
    # The first had ended, the others went on: no epoch was trained twice.
    assert [sorted(map(int, one.diary.read_text().split())) for one in told] == [[*range(1, n + 1)] for n in epochs]


@pytest.mark.slow
def test_a_job_that_is_lost_twice_fails_alone(tmp_path, jobs_find_helpers):
    diary = tmp_path / "diary"
    found = trained([[job(tmp_path, 0, find_trial=Killed(diary))], [job(tmp_path, 1)]], here())
    assert len(set(diary.read_text().split())) == 2  # processes
    assert failure_of(found[0].error) is Failure.CRASH
    assert "ended without a result, twice" in str(found[0].error)
    assert "more hydra.launcher.submitit.mem_gb" in str(found[0].error)
    assert found[1].error is None


@pytest.mark.slow
def test_ctrl_c_ends_the_jobs(tmp_path, jobs_find_helpers):
    shards, told = here(), Told(tmp_path / "diary")
    shards.submit([[lasting(tmp_path, 0, 100_000, find_trial=told)], [job(tmp_path, 1)], [job(tmp_path, 2)]])
    ended = by_number(shards.advance())  # 2 waits for a place
    until(told.diary.is_file)
    assert processes_of(tmp_path / "submitit")
    left = by_number(shards.abandon())
    assert failure_of(left[0].error) is Failure.INTERRUPTED
    assert not ended.keys() & left.keys()
    assert not processes_of(tmp_path / "submitit")


class Queued(BaseException):
    """Raised where submitit would queue a job again."""


@pytest.fixture
def told_by(monkeypatch):
    """Sets by which signal the training of a shard is interrupted, in this process."""

    def queue(number, frame):
        raise Queued

    def by(number):
        def train_shard(shard, n_threads, trained):
            os.kill(os.getpid(), number)
            time.sleep(60)

        signal.signal(signal.SIGUSR2, queue)
        monkeypatch.setattr(slurm_job, "train_shard", train_shard)

    monkeypatch.setattr(slurm_job, "TOGETHER_S", 0.2)
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR2, signal.SIGINT, signal.SIGTERM)}
    yield by
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_job_that_runs_its_time_and_gets_nowhere_ends_with_that_word(tmp_path, told_by):
    task = SlurmJob(Shard([job(tmp_path, 0), job(tmp_path, 1)]), n_threads=1, minutes=1, delay_s=30)
    told_by(signal.SIGUSR2)
    with pytest.raises(Queued):
        task()
    task = task.checkpoint().function
    told_by(signal.SIGUSR2)
    late, other = unpacked(task())
    assert failure_of(late.error) is failure_of(other.error) is Failure.TIMEOUT
    assert "hydra.launcher.submitit.timeout_min=1" in str(late.error)


def test_a_job_may_be_pre_empted_as_often_as_slurm_likes(tmp_path, told_by):
    task = SlurmJob(Shard([job(tmp_path, 0)]), n_threads=1, minutes=60, delay_s=30)
    for _ in range(slurm_job.STALLS + 2):
        told_by(signal.SIGUSR2)
        with pytest.raises(Queued):
            task()


def test_a_job_that_slurm_has_queued_again_or_cancelled_only_ends(tmp_path, told_by):
    told_by(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        SlurmJob(Shard([job(tmp_path, 0)]), n_threads=1, minutes=60, delay_s=30)()


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Stands for Slurm's commands: each notes how it was called, and prints and returns what it is told to."""
    folder, called = tmp_path / "bin", tmp_path / "called"
    folder.mkdir()
    called.touch()

    def command(name, prints="", status=0):
        file = folder / name
        file.write_text(f'#!/bin/sh\necho "{name} $@" >>{called}\necho "{prints}"\nexit {status}\n')
        file.chmod(0o755)

    for name in slurm.COMMANDS:
        command(name)
    command("sbatch", "Submitted batch job 7")
    command.called = lambda: called.read_text().splitlines()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    slurm._no_slurm.cache_clear()
    yield command
    slurm._no_slurm.cache_clear()


def test_what_is_asked_of_slurm(tmp_path, commands):
    asked = SubmititSpec(
        partition="gpu", timeout_min=90, cpus_per_task=3, gpus_per_node=1, mem_gb=1.5, setup=["module load cuda"],
        sbatch=["--account=me", "--exclusive"],
    )  # fmt: skip
    asked.check()
    executor = asked.open(2, Shard([job(tmp_path / "sweep", 0)]))
    assert (executor.n_at_once, executor.largest) == (2, None)
    futures = executor.submit([Shard([job(tmp_path / "sweep", n)]) for n in range(3)])
    script = (tmp_path / "sweep" / "submitit" / "7_submission.sh").read_text().splitlines()
    expected = {
        "array=0-2%2", "partition=gpu", "time=90", "cpus-per-task=3", "gpus-per-node=1", "mem=1536M", "account=me",
        "exclusive", "signal=USR2@90", "job-name=phalanx",
    }  # fmt: skip
    assert {f"#SBATCH --{option}" for option in expected} <= set(script)
    assert "module load cuda" in script
    assert any(line.startswith("srun") and "--cpus-per-task=3" in line for line in script)
    executor.close()
    assert all(future.cancelled() for future in futures)
    assert [line for line in commands.called() if line.startswith("scancel")] == [f"scancel 7_{n}" for n in range(3)]
    assert sum(line.startswith("sbatch") for line in commands.called()) == 1


def test_what_slurm_refuses_is_a_wrong_request(tmp_path, commands):
    commands("sbatch", "invalid partition specified: nosuch >&2", 1)
    executor = SubmititSpec().open(None, Shard([job(tmp_path, 0)]))
    with pytest.raises(RequestError, match="could not be submitted"):
        executor.submit([Shard([job(tmp_path, 0)])])
    executor.close()


def test_a_job_that_slurm_has_queued_again_is_not_lost(tmp_path, commands, monkeypatch):
    monkeypatch.setattr(slurm, "GRACE_S", 0.0)
    executor = Submitted(SubmititSpec(), tmp_path / "submitit", None)
    dead = SimpleNamespace(job_id="7_0")
    commands("squeue", "7_0 low phalanx PD")
    assert [executor._may_bring_result("future", dead) for _ in range(3)] == [True] * 3
    commands("squeue")
    assert not executor._may_bring_result("future", dead)
    assert "squeue --noheader --jobs=7_0" in commands.called()


def test_slurm_without_accounting_is_refused(commands):
    commands("sacct", "Slurm accounting storage is disabled", 1)
    with pytest.raises(RequestError, match=r"sacct, which tells what became of a job, says: .*cluster=local"):
        SubmititSpec().check()
    SubmititSpec(cluster="local").check()


def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path):
    done = train("-m", "seed=0,1", "hydra.launcher.executor=submitit", cwd=tmp_path, check=2, PATH="/nowhere")
    assert "needs Slurm: sbatch, srun, scancel, squeue, sacct are not found; try" in done.stderr
    assert "hydra.launcher.submitit.cluster=local" in done.stderr
    wrong = ["cluster=cloud", "timeout_min=0", "mem_gb=-1", "sbatch=[account]"]
    done = train("-m", "seed=0,1", HERE[0], *(f"hydra.launcher.submitit.{key}" for key in wrong), cwd=tmp_path, check=2)
    assert "4 faults" in done.stderr
    assert 'hydra.launcher.submitit.sbatch=["--account=NAME"]' in done.stderr
    done = train("-m", "seed=0,1", "hydra.launcher.submitit.partition=gpu", cwd=tmp_path, check=2)
    assert "try hydra.launcher.executor=submitit" in done.stderr
    done = train("-m", "seed=0,1", *HERE, "+hydra.launcher.submitit.time=3", cwd=tmp_path, check=2)
    assert "hydra.launcher.submitit.time is not an option" in done.stderr
    assert not list(tmp_path.iterdir())
    with pytest.raises(SpecError, match=r"less than the 60 s of hydra\.launcher\.submitit\.timeout_min=1"):
        SubmititSpec(timeout_min=1)
