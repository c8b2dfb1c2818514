"""Processes: the same numbers to the last bit, and what a kill, an interrupt and a wrong request cost."""

from __future__ import annotations

import csv
import functools
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from loky.process_executor import TerminatedWorkerError
from omegaconf import OmegaConf
from support.forked import server, train
from support.jobs import by_number, die, job, same, trained
from support.places import ROOT
from support.sweeps import steady, sweep_in
from support.train_command import QUICK, TRAIN, environment, result_of, train_from_the_start
from support.waiting import until

from hydra_plugins.phalanx._compose import Composer
from hydra_plugins.phalanx._job_config import job_config
from hydra_plugins.phalanx.launcher import CohortLauncher, _job, trains_together
from phalanx import OPTIMIZERS, DeviceSpec
from phalanx.core.errors import Failure, RequestError, Superseded, TrainingInterrupted, WorkerLost, failure_of
from phalanx.core.files import write_json
from phalanx.core.process_identity import ProcessIdentity
from phalanx.core.result import Status
from phalanx.jobs.executors.base import LARGEST, Shard, end_with, read_here
from phalanx.jobs.executors.dispatch import RemoteScheduler, cut
from phalanx.jobs.executors.options import LauncherSpec
from phalanx.jobs.executors.processes import Place, Processes, Worker, places
from phalanx.jobs.executors.worker import packed, train_shard, unpacked
from phalanx.jobs.job import JobResult
from phalanx.jobs.scheduler import train_together
from phalanx.runs.config import Settings, register_resolvers
from phalanx.runs.layout import RunPaths

APART = "hydra.launcher.executor=processes"


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_its_shard_one_more_try_and_a_second_kill_its_jobs(tmp_path):
    once, always = tmp_path / "once", tmp_path / "always"
    found = trained(
        [
            [job(tmp_path, 0), job(tmp_path, 1, find_trial=functools.partial(die, once, 1))],
            [job(tmp_path, 2, find_trial=functools.partial(die, always, 9)), job(tmp_path, 3)],
            [job(tmp_path, 4)],
        ]
    )
    assert len(set(once.read_text().split())) == 2  # another process
    assert len(always.read_text().split()) == 2
    for number in (2, 3):
        assert failure_of(found[number].error) is Failure.CRASH
        assert "killed or crashed, twice" in str(found[number].error)
        assert "hydra.launcher.max_trials=1" in str(found[number].error)
    for number, here in by_number(train_together([job(tmp_path, number) for number in (0, 1, 4)])).items():
        assert found[number].error is None
        (a,), (b,) = found[number].results, here.results
        assert a.metrics == b.metrics
        assert all(a.weights[name].equal(b.weights[name]) for name in b.weights)


def test_an_error_of_a_job_comes_back_with_its_kind_and_one_that_cannot_be_pickled_as_text(tmp_path):
    ((_, fine),) = train_together([job(tmp_path, 0)])

    class Odd(Exception):
        pass

    memory, odd = unpacked(packed([replace(fine, error=MemoryError("no")), replace(fine, error=Odd("what"))]))
    assert failure_of(memory.error) is Failure.OUT_OF_MEMORY
    assert str(odd.error) == "Odd: what"


def test_a_trial_that_diverges_at_once_comes_back_without_weights(tmp_path):
    one = job(tmp_path, 0)
    wild = replace(one.trial, optimizer=OPTIMIZERS["sgd"](lr=1e30))
    (trained,) = unpacked(train_shard(Shard([replace(one, config=replace(one.settings, trial=wild))])))
    (result,) = trained.results
    assert (result.status, result.weights) == (Status.DIVERGED, None)
    assert "in epoch 1" in result.error


def test_parts_keep_all_workers_busy():
    assert cut([list(range(64))], 2, 32) == [list(range(0, 64, 2)), list(range(1, 64, 2))]
    assert [len(shard) for shard in cut([list(range(100))], 2, 32)] == [25] * 4
    assert [len(shard) for shard in cut([list(range(100))], 2, None)] == [50] * 2
    assert [len(shard) for shard in cut([[0, 1], list(range(2, 12)), [12]], 2, 32)] == [5, 5, 2, 1]
    assert [len(shard) for shard in cut([list(range(3))], 2, 32)] == [2, 1]
    assert cut([[0]], 8, 32) == [[0]]


class Recorder:
    """An executor of two places that says how many jobs each of its shards has, and trains none."""

    n_at_once, largest, first = 2, 32, None

    def __init__(self):
        self.sizes, self.shards, self.futures, self.closed = [], [], [], 0

    def open(self, n_workers, shard):
        return self

    def submit(self, shards):
        self.sizes.append([len(shard.jobs) for shard in shards])
        found = [Future() for _ in shards]
        self.shards += shards
        self.futures += found
        found[0].set_exception(self.first) if self.first else found[0].set_result(
            [JobResult(()) for _ in shards[0].jobs]
        )
        return found

    def close(self):
        self.closed += 1


def test_points_of_a_search_are_gathered_into_shards_for_the_places_that_are_free(tmp_path):
    shards, executor, _ = on_recorder()
    for number in range(8):
        shards.add(job(tmp_path, number))
    assert shards.running == 8
    ended = shards.advance()
    assert executor.sizes == [[4, 4]]
    assert list(by_number(ended)) == [0, 2, 4, 6]
    for number in range(8, 12):
        shards.add(job(tmp_path, number))
    assert list(by_number(shards.advance())) == [8, 9, 10, 11]
    assert executor.sizes == [[4, 4], [4]]
    assert shards.running == 4
    shards, executor, _ = on_recorder(max_trials=3)
    for number in range(8):
        shards.add(job(tmp_path, number))
    shards.advance()
    assert executor.sizes == [[3, 3, 2]]


def on_recorder(**options):
    """Parts on an engine that trains none, that engine, and what is reported."""
    executor, said = Recorder(), []
    asked = {"executor_options": executor, "workers": None, "max_trials": None, **options}
    return RemoteScheduler(SimpleNamespace(**asked), said.append), executor, said


def wrong(folder, number):
    """A job whose configuration cannot be trained."""
    return replace(job(folder, number), config=OmegaConf.create({"seed": "none"}))


def test_a_wrong_configuration_is_returned_at_once_and_the_others_are_shared_out(tmp_path):
    shards, executor, said = on_recorder()
    jobs = [wrong(tmp_path, 0), *(job(tmp_path, number, fence=f"fence {number}") for number in range(1, 6))]
    groups = shards.split([[0], [1, 2, 3, 4, 5]], jobs)
    assert groups == [[1, 3, 5], [2, 4], [0]]
    shards.note = "a note"
    shards.submit([[jobs[place] for place in group] for group in groups])
    assert shards.running == 6
    ((first, failed),) = shards.advance()
    assert (first.sweep.number, failed.error) == (0, jobs[0].error)
    assert [(one.sweep.number, one.fence) for one, _ in shards.advance()] == [(n, f"fence {n}") for n in (1, 3, 5)]
    assert shards.running == 2
    assert executor.sizes == [[3, 2]]
    assert executor.shards[0].note == "a note"
    assert all(isinstance(one.config, Settings) for one in executor.shards[0].jobs)  # nothing of Hydra's travels
    assert said == ["2 shards training"]
    executor.n_at_once = 1
    shards.submit([[jobs[1]], [jobs[3]]])
    executor.futures[1].set_exception(MemoryError("no"))
    found = by_number(shards.advance())
    assert said[1:] == ["1 shard training, 2 wait"]
    assert failure_of(found[2].error) is Failure.OUT_OF_MEMORY


def test_only_a_lost_shard_is_trained_again_and_none_after_an_interrupt(tmp_path):
    shards, executor, said = on_recorder()
    executor.n_at_once, executor.first = None, WorkerLost("it was lost")
    shards.submit([[job(tmp_path, 0)], [job(tmp_path, 1)], [job(tmp_path, 2)]])
    shards._start_waiting()
    shards._report_progress()
    assert said == ["3 shards submitted"]
    shards._collect(executor.futures[0])
    assert shards.trained == []
    assert [len(submission.jobs) for submission in shards.waiting] == [1]
    executor.futures[1].set_exception(WorkerLost("it was lost"))
    executor.futures[2].cancel()
    assert {number: str(result.error) for number, result in by_number(shards.abandon()).items()} == {1: "it was lost"}
    assert executor.closed == 1
    assert shards.running == 0


def test_cores_and_gpus_are_shared_out(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 4, 5, 6, 8}, raising=False)
    monkeypatch.setattr("loky.cpu_count", lambda: 5)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,7")
    assert [place.cores for place in places(None, "cpu")] == [(3,), (4,), (5,), (6,), (8,)]
    assert [(place.cores, place.threads, place.gpu) for place in places(2, "cpu")] == [
        ((3, 4), 2, None), ((5, 6, 8), 2, None),
    ]  # fmt: skip
    assert [place.gpu for place in places(None, "cuda")] == ["1", "7"]
    assert [place.gpu for place in places(3, "cuda")] == ["1", "7", "1"]
    assert [place.cores for place in places(7, "cpu")][5:] == [(3,), (4,)]


def test_the_process_that_leads_reads_the_data_too_and_leaves_errors_to_those_who_train(tmp_path, monkeypatch):
    asked = []

    def dataset_of(spec):
        asked.append(spec)
        raise OSError("cannot be read")

    monkeypatch.setattr("phalanx.data.cache.dataset_of", dataset_of)
    shard = Shard([job(tmp_path, 0)])
    read_here(shard)
    assert asked == [shard.jobs[0].trial.data]


def threaded(one, threads):
    return replace(one, config=replace(one.settings, trial=replace(one.trial, device=DeviceSpec(threads=threads))))


def test_a_shard_trains_with_no_more_threads_than_its_place_has(tmp_path, monkeypatch):
    seen = []

    def train_together(jobs, note, trained):
        seen.extend((*jobs, note))
        return [(one, JobResult(())) for one in reversed(jobs)]

    monkeypatch.setattr("phalanx.jobs.scheduler.train_together", train_together)
    some = [job(tmp_path, number) for number in range(3)]
    some = [threaded(one, threads) for one, threads in zip(some, (None, 8, 1), strict=True)]
    assert unpacked(train_shard(Shard(some, "a note"), 2)) == [JobResult([])] * 3
    assert [one.trial.device.threads for one in seen[:3]] == [None, 2, 1]
    assert seen[3] == "a note"


def test_the_process_that_is_warm_goes_first_and_a_gpu_takes_all_there_is():
    executor = Processes([Place((), 1), Place((), 1)])
    assert executor.largest == LARGEST
    first = executor.idle.get()
    assert first is executor.workers[0]
    executor.idle.put(first)
    assert executor.idle.get() is first
    assert Processes([Place((), 1, "0")]).largest is None


def test_a_worker_has_the_cores_threads_and_gpu_of_its_place_and_leaves_ctrl_c_to_the_one_that_leads():
    core = max(os.sched_getaffinity(0))
    executor = Processes([Place((core,), 1, "5")])
    try:
        process = executor.threads.submit(executor.workers[0]._started).result()
        assert signal.SIGINT in process.submit(signal.pthread_sigmask, signal.SIG_BLOCK, []).result()
        assert process.submit(os.sched_getaffinity, 0).result() == {core}
        assert process.submit(os.getenv, "CUDA_VISIBLE_DEVICES").result() == "5"
        assert process.submit(eval, "__import__('torch').get_num_threads()").result() == 1
    finally:
        executor.close()


def test_a_shard_that_never_began_is_cancelled_when_all_ends(monkeypatch):
    executor, began, over = Processes([Place((), 1)]), threading.Event(), threading.Event()
    shutdown = executor.threads.shutdown

    def shut(**options):
        shutdown(wait=False, **options)
        over.set()
        shutdown()

    monkeypatch.setattr(executor.workers[0], "train", lambda shard: (began.set(), over.wait(60)))
    monkeypatch.setattr(executor.threads, "shutdown", shut)
    futures = executor.submit([Shard([]), Shard([])])
    began.wait(60)
    executor.close()
    assert [future.cancelled() for future in futures] == [False, True]


@pytest.mark.parametrize("error", [TerminatedWorkerError("killed"), RuntimeError("of its own")])
def test_a_process_that_is_ended_was_interrupted_whatever_it_says_and_one_that_dies_was_lost(error, tmp_path):
    shard, closed = Shard([job(tmp_path, 0)]), []

    def pool(worker, ended):
        def submit(*_):
            if ended:
                worker.end()
            raise error

        worker.executor = SimpleNamespace(submit=submit, shutdown=lambda **options: closed.append(options))
        return worker

    with pytest.raises(TrainingInterrupted):
        pool(Worker(Place((), 1)), ended=True).train(shard)
    assert closed == [{"wait": True, "kill_workers": True}]
    dies = pool(Worker(Place((), 1)), ended=False)
    is_lost = isinstance(error, TerminatedWorkerError)
    with pytest.raises(WorkerLost if is_lost else RuntimeError):
        dies.train(shard)
    assert (dies.executor is None) == is_lost  # else it is used again


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["loss=nll,mse", "seed=0,1,2", "trainer.epochs=3"],
        [
            "hydra/sweeper=optuna", "optimizer.lr=tag(log,interval(0.001,0.1))", "model.width=choice(8,16)",
            "hydra.sweeper.n_trials=5", "hydra.sweeper.n_jobs=2", "hydra.sweeper.repeats=2",
            "hydra/sweeper/sampler=qmc", "hydra.sweeper.sampler.seed=1", "hydra.sweeper.final={top: 1, seeds: 2}",
        ],
    ],
    ids=["grid", "search"],
)  # fmt: skip
def test_processes_give_the_same_results_as_this_one(options, tmp_path):
    folders = tmp_path / "here", tmp_path / "apart"
    for folder, run, more in zip(
        folders, (train, train_from_the_start), ([], [APART, "hydra.launcher.workers=2"]), strict=True
    ):
        folder.mkdir()
        run("-m", *QUICK, *options, *more, "tracking=none", cwd=folder, check=0)
    here, apart = map(sweep_in, folders)
    assert same(here, apart, 6 if "loss=nll,mse" in options else 5) >= 3
    if "loss=nll,mse" in options:
        log = (apart / "0" / "train.log").read_text()
        assert "trained in a cohort of 3; 6 jobs in 2 cohorts of 3, 3" in log
    else:
        (final,) = (apart / "final").iterdir()
        assert same(here / "final", apart / "final", 0) == 0
        a, b = (steady(result_of(sweep / "final" / final.name)) for sweep in (here, apart))
        assert a == b


@pytest.mark.slow
def test_a_search_prunes_from_other_processes(tmp_path):
    train_from_the_start(
        "-m", *QUICK, "hydra/sweeper=optuna", "optimizer.lr=choice(0.0001,0.00011,0.1)", "optimizer=sgd",
        "hydra/sweeper/sampler=grid", "hydra/sweeper/pruner=threshold", "hydra.sweeper.pruner.lower=0.16",
        "trainer.epochs=4", "hydra.sweeper.n_jobs=2", "hydra.sweeper.n_trials=3", "tracking=none", APART,
        cwd=tmp_path, check=0,
    )  # fmt: skip
    rows = {row["optimizer.lr"]: row for row in csv.DictReader(open(sweep_in(tmp_path) / "trials.csv"))}
    assert [rows[lr]["status"] for lr in ("0.0001", "0.00011", "0.1")] == ["pruned", "pruned", "completed"]
    assert int(rows["0.0001"]["epochs"]) < 4


def started(cwd, *options):
    """A sweep in whose processes a first shard has ended and a long one trains; and these."""
    driver = subprocess.Popen(
        [sys.executable, TRAIN, "-m", *QUICK, *options, APART, "hydra.launcher.max_trials=1", "tracking=none"],
        cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(PYTHONUNBUFFERED="1"),
        start_new_session=True,
    )  # fmt: skip
    if not any(line.startswith("trial ") for line in driver.stdout):
        raise AssertionError(driver.communicate()[1])
    return driver, [p for p in psutil.Process(driver.pid).children() if "popen_loky" in " ".join(p.cmdline())]


@pytest.mark.slow
@pytest.mark.parametrize("whole", ["the group", "the driver"])
def test_ctrl_c_ends_the_workers_and_keeps_what_there_is(whole, tmp_path):
    n_workers = 2 if whole == "the group" else 1  # one of two has nothing to do when the interrupt comes
    driver, workers = started(tmp_path, "trainer.epochs=1,100000", f"hydra.launcher.workers={n_workers}")
    if whole == "the group":
        os.killpg(driver.pid, signal.SIGINT)  # as a terminal does
    else:
        driver.send_signal(signal.SIGTERM)
    _, err = driver.communicate(timeout=60)
    assert driver.returncode == 1
    assert "Traceback" not in err
    assert "interrupted: everything finished so far is kept" in err
    assert len(workers) == n_workers
    assert not any(worker.is_running() for worker in workers)
    rows = list(csv.DictReader(open(sweep_in(tmp_path) / "trials.csv")))
    assert [(row["status"], row["failure"]) for row in rows] == [("completed", ""), ("failed", "interrupted")]


@pytest.mark.slow
def test_a_sweep_goes_on_when_a_worker_is_killed_and_workers_end_when_the_driver_is(tmp_path):
    driver, (worker,) = started(tmp_path, "trainer.epochs=2,2000", "hydra.launcher.workers=1")
    worker.kill()
    _, err = driver.communicate(timeout=120)
    assert driver.returncode == 0
    assert "Traceback" not in err
    assert "was killed or crashed; trained again: 1 of the jobs" in err
    rows = list(csv.DictReader(open(sweep_in(tmp_path) / "trials.csv")))
    assert [row["status"] for row in rows] == ["completed"] * 2
    folder = tmp_path / "second"
    folder.mkdir()
    driver, workers = started(folder, "trainer.epochs=1,100000", "hydra.launcher.workers=1")
    driver.kill()
    psutil.wait_procs(workers, timeout=60)
    assert not any(worker.is_running() for worker in workers)
    driver.communicate()


def lead(file):
    file.write_bytes(pickle.dumps(ProcessIdentity.here()))
    time.sleep(600)


def follow(file):
    end_with(pickle.loads(file.read_bytes()))
    time.sleep(600)


def test_a_process_ends_with_its_leader_and_not_before(tmp_path):
    file = tmp_path / "leader"
    leader = server.Process(target=lead, args=(file,))
    leader.start()
    until(lambda: file.is_file() and file.stat().st_size)
    follower = server.Process(target=follow, args=(file,))
    follower.start()
    follower.join(1.5)
    assert follower.is_alive()
    os.kill(leader.pid, signal.SIGKILL)
    follower.join(60)
    assert follower.exitcode == 1
    leader.join()


def test_an_interrupt_while_a_job_is_written_down_keeps_what_the_others_had_reached(tmp_path, monkeypatch):
    jobs = [job(tmp_path, number) for number in range(4)]
    in_flight = {one: (one.sweep.number, one.sweep.number) for one in jobs}
    scheduler, begun = RemoteScheduler(LauncherSpec()), []
    ending = iter(jobs)
    scheduler.advance = lambda: [(next(ending), "trained")]
    scheduler.abandon = lambda: [(jobs[2], "interrupted")]  # the last one has reached nothing

    def run(config, one, result):
        begun.append((config, one.sweep.number, result))
        if config > 0:
            raise KeyboardInterrupt

    launcher = CohortLauncher()
    monkeypatch.setattr(launcher, "runner", SimpleNamespace(run=run), raising=False)
    assert launcher._advance(scheduler, in_flight) == [(0, None)]
    assert list(in_flight) == jobs[1:]
    with pytest.raises(KeyboardInterrupt):
        launcher._advance(scheduler, in_flight)
    assert begun == [(0, 0, "trained"), (1, 1, "trained"), (2, 2, "interrupted")]


def test_only_jobs_that_are_marked_train_elsewhere_and_an_error_ends_what_does(monkeypatch):
    launcher, (shards, executor, _) = CohortLauncher(executor="processes"), on_recorder()
    context, config = SimpleNamespace(config_loader=None), OmegaConf.create({"hydra": {"sweeper": {}, "callbacks": {}}})
    with pytest.raises(RequestError, match=r"executor=processes trains the jobs of Phalanx's own train\.py"):
        launcher.setup(hydra_context=context, task_function=lambda cfg: None, config=config)
    launcher.setup(hydra_context=context, task_function=trains_together(lambda cfg: None), config=config)
    monkeypatch.setattr(launcher, "_begin", lambda: None)
    monkeypatch.setattr(shards, "split", lambda groups, jobs: 1 / 0)
    launcher.remote, shards.executor = shards, executor
    with pytest.raises(ZeroDivisionError):
        launcher.launch([], 0)
    assert executor.closed == 1
    assert launcher.remote is None


def test_a_job_is_fenced_as_its_folder_stands_when_it_is_launched(tmp_path):
    register_resolvers()
    with initialize_config_dir(str(ROOT / "conf")):
        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration("config", [f"hydra.sweep.dir={tmp_path}"], run_mode=RunMode.MULTIRUN)
        config = job_config(Composer(loader, master), [], 3)
    paths = RunPaths(tmp_path / "3")
    write_json(paths.attempt, {"attempt": 1})
    jobs = [_job(config, executor) for executor in ("local", "processes")]
    for one in jobs:
        assert (one.folder, one.sweep.number) == (paths.root, 3)
        one.fence.check()
    write_json(paths.attempt, {"attempt": 2})
    for one in jobs:
        with pytest.raises(Superseded, match="attempt 1 at this trial was replaced by attempt 2"):
            one.fence.check()


def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path):
    done = train("-m", "seed=0,1", "hydra.launcher.executor=cloud", "hydra.launcher.workers=0", cwd=tmp_path, check=2)
    assert "2 faults" in done.stderr
    assert "hydra.launcher.executor must be one of local, processes, submitit, ray, got 'cloud'" in done.stderr
    assert (
        "hydra.launcher.workers must be a whole number of at least 1 or null, got 0; try hydra.launcher.workers=2"
        in done.stderr
    )
    done = train("-m", "seed=0,1", "hydra.launcher.workers=2", cwd=tmp_path, check=2)
    assert "try hydra.launcher.executor=processes" in done.stderr
    done = train("-m", "seed=0,1", "+hydra.launcher.worker=2", cwd=tmp_path, check=2)
    assert "did you mean hydra.launcher.workers?" in done.stderr
    search = ["-m", "hydra/sweeper=optuna", "hydra/sweeper/pruner=median", "hydra.sweeper.storage='sqlite://'"]
    done = train(*search, APART, cwd=tmp_path, check=2)
    assert "cannot prune by a study in memory" in done.stderr
    assert "try hydra.sweeper.storage=null" in done.stderr
    assert not list(tmp_path.iterdir())


def test_options_by_themselves():
    assert LauncherSpec.of({}) == LauncherSpec(executor="local", workers=None, max_trials=None)
