"""Ray: a real cluster of a head and two nodes, the same numbers, and what a lost task, a lost node and an end cost."""

from __future__ import annotations

import csv
import functools
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import Future
from types import SimpleNamespace

import psutil
import pytest
import torch
from support.forked import train
from support.jobs import by_number, die, job, same
from support.places import ROOT
from support.sweeps import sweep_in
from support.train_command import QUICK, TRAIN, environment, train_from_the_start

from phalanx import MODELS, TrainerSpec, TrialSpec
from phalanx.core.errors import RequestError, TrainingInterrupted, WorkerLost
from phalanx.core.extensions import forget, import_file
from phalanx.data.cache import dataset_of
from phalanx.data.csv_table import Csv
from phalanx.data.digits import Digits
from phalanx.jobs.executors.base import Shard
from phalanx.jobs.executors.dispatch import RemoteScheduler
from phalanx.jobs.executors.options import LauncherSpec
from phalanx.jobs.executors.ray import (
    RaySpec,
    _arrays,
    _check_address,
    _check_storage,
    _connect,
    _n_shards_at_once,
    _pass_on,
    _train,
)
from phalanx.jobs.job import Job
from phalanx.jobs.scheduler import train_together
from phalanx.runs.config import Settings
from phalanx.runs.manifest import Sweep
from phalanx.runs.options import CheckpointSpec, TrackingSpec
from phalanx.study import TrialReference

ray = pytest.importorskip("ray", reason="pip install -e '.[ray]'")
lost = pytest.importorskip("ray.exceptions")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    """A head that trains nothing and two nodes of one CPU."""
    from ray.cluster_utils import Cluster

    os.environ["PYTHONPATH"] = os.pathsep.join(str(ROOT / name) for name in ("src", "tests"))  # for `die`
    memory = {"object_store_memory": 100 * 2**20}
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **memory})
    for _ in range(2):
        found.add_node(num_cpus=1, **memory)
    del os.environ["PYTHONPATH"]
    yield found
    found.shutdown()


def on(cluster):
    return ["hydra.launcher.executor=ray", f"hydra.launcher.ray.address={cluster.address}"]


def test_a_task_that_is_killed_costs_one_more_try_and_the_data_come_from_this_process(cluster, tmp_path, caplog):
    file = tmp_path / "points.csv"
    file.write_text("a,b,y\n" + "".join(f"{i % 7},{i % 5},{'uv'[i % 7 > i % 5]}\n" for i in range(200)))
    spec = TrialSpec(data=Csv(path=str(file), target="y"), trainer=TrainerSpec(epochs=2))
    once = tmp_path / "once"
    from_file = Job(Settings(spec, TrackingSpec(kind="none"), CheckpointSpec(), ()), tmp_path / "9", Sweep("s", 9))
    dataset_of(spec.data)
    file.unlink()  # a task that looked for it would fail
    jobs = [job(tmp_path, 0, find_trial=functools.partial(die, once, 1)), job(tmp_path, 1)]
    shards, found = RemoteScheduler(LauncherSpec(executor="ray", ray=RaySpec(address=cluster.address))), {}
    try:
        assert shards.split([[0, 1]], jobs) == [[0], [1]]  # two nodes
        shards.submit([jobs, [from_file]])
        while shards.running:
            found |= by_number(shards.advance())
    finally:
        shards.close()
    assert not ray.is_initialized()
    assert [trained.error for trained in found.values()] == [None] * 3
    assert len(once.read_text().split()) == 2
    assert "(WorkerCrashedError); trained again: 2 of the jobs" in caplog.text  # by us, not by Ray
    here = [job(tmp_path, 0), job(tmp_path, 1), from_file]
    for number, whole in by_number(train_together(here)).items():
        (a,), (b,) = found[number].results, whole.results
        assert a.metrics == b.metrics
        assert all(a.weights[name].equal(b.weights[name]) for name in b.weights)


NET = """
import phalanx
from ._block import Block

@phalanx.model
class ForRay(Block):
    pass
"""
BLOCK = """
from torch import nn

class Block(nn.Sequential):
    def __init__(self, n_features, n_classes, *, units: int = 8):
        super().__init__(nn.Linear(n_features, units), nn.BatchNorm1d(units), nn.ReLU(), nn.Linear(units, n_classes))
"""


def test_a_network_of_ones_own_travels_to_a_task_that_has_no_such_file(cluster, tmp_path):
    (folder := tmp_path / "extensions").mkdir()
    (folder / "nets.py").write_text(NET)
    (folder / "_block.py").write_text(BLOCK)
    import_file(folder / "nets.py")
    try:
        spec = TrialSpec(data=Digits(n_train=64), model=MODELS["for_ray"](units=9), trainer=TrainerSpec(epochs=1))
        one = job(tmp_path, 0, trial=spec)
        (here,) = by_number(train_together([one]))[0].results
        for file in folder.glob("*.py"):
            file.unlink()
        shards, found = RemoteScheduler(LauncherSpec(executor="ray", ray=RaySpec(address=cluster.address))), {}
        try:
            shards.submit([[one]])
            while shards.running:
                found |= by_number(shards.advance())
        finally:
            shards.close()
        assert found[0].error is None
        (there,) = found[0].results
        assert there.metrics == here.metrics
        assert all(there.weights[name].equal(here.weights[name]) for name in here.weights)
    finally:
        forget("model", "for_ray")
        MODELS.pop("for_ray", None)


def tasks():
    """What trains on this process's cluster; beside it another one may run other tests on a cluster of its own."""
    return [p for p in psutil.Process().children(recursive=True) if _name(p).startswith("ray::_train")]


def _name(process):
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def started(cwd, *options):
    """A sweep whose tasks train on both nodes."""
    driver = subprocess.Popen(
        [sys.executable, TRAIN, "-m", *QUICK, *options, "tracking=none"], cwd=cwd, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(PYTHONUNBUFFERED="1"), start_new_session=True,
    )  # fmt: skip
    while driver.poll() is None:
        if len(tasks()) == 2:
            return driver
        time.sleep(0.05)
    raise AssertionError(driver.communicate()[1])


def test_sigterm_ends_the_tasks(cluster, tmp_path):
    driver = started(tmp_path, "trainer.epochs=100000", "seed=0,1", *on(cluster))
    driver.send_signal(signal.SIGTERM)
    _, err = driver.communicate(timeout=60)
    assert driver.returncode == 1
    assert "Traceback" not in err
    assert "interrupted: everything finished so far is kept" in err
    rows = list(csv.DictReader(open(sweep_in(tmp_path) / "trials.csv")))
    assert [row["failure"] for row in rows] == ["interrupted"] * 2
    psutil.wait_procs(tasks(), timeout=30)
    assert not tasks()


def test_a_sweep_ends_complete_and_the_same_when_a_node_is_removed(cluster, tmp_path):
    grid = ["loss=nll,mse", "seed=0,1", "trainer.epochs=4000"]  # not over before the node is gone
    folders = tmp_path / "here", tmp_path / "apart"
    for folder in folders:
        folder.mkdir()
    train("-m", *QUICK, *grid, "tracking=none", cwd=folders[0], check=0)
    driver = started(folders[1], *grid, *on(cluster))
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    _, err = driver.communicate(timeout=150)
    assert driver.returncode == 0, err
    assert "(NodeDiedError); trained again: 2 of the jobs" in err
    assert same(*map(sweep_in, folders), 4) >= 3


def test_a_search_on_a_cluster_of_its_own_prunes_from_its_tasks(tmp_path):
    done = train_from_the_start(
        "-m", *QUICK, "hydra/sweeper=optuna", "optimizer.lr=choice(0.0001,0.1)", "optimizer=sgd",
        "hydra/sweeper/sampler=grid", "hydra/sweeper/pruner=threshold", "hydra.sweeper.pruner.lower=0.16",
        "trainer.epochs=4", "hydra.sweeper.n_jobs=2", "hydra.sweeper.n_trials=2", "tracking=none",
        "hydra.launcher.executor=ray", "hydra.launcher.workers=2", cwd=tmp_path, check=0,
    )  # fmt: skip
    rows = {row["optimizer.lr"]: row for row in csv.DictReader(open(sweep_in(tmp_path) / "trials.csv"))}
    assert [rows[lr]["status"] for lr in ("0.0001", "0.1")] == ["pruned", "completed"]
    assert "ray" not in done.stderr.lower()
    assert "ray" not in done.stdout.lower().replace("hydra.launcher.executor=ray", "")


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (lost.OutOfMemoryError("killed"), WorkerLost, "its node was out of memory"),
        (lost.LocalRayletDiedError(), WorkerLost, r"was lost \(LocalRayletDiedError\)"),
        (lost.ObjectLostError("0" * 56, None, ""), WorkerLost, r"was lost \(ObjectLostError\)"),
        (lost.RayTaskError("f", "a traceback", ValueError("of its own")), ValueError, "^of its own$"),
        (lost.RuntimeEnvSetupError("much text\nno such package"), RuntimeError, "^Ray: no such package$"),
        (OSError("else"), OSError, "^else$"),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, Exception) else "",
)
def test_what_ray_says_of_a_task_in_the_words_of_an_executor(error, kind, said):
    found, future = Future(), Future()
    found.set_exception(error)
    _pass_on(found, future)
    with pytest.raises(kind, match=said):
        future.result()
    _pass_on(found, future)  # again, for one that is done: closed in the meantime


def test_a_cluster_of_its_own_has_the_cpus_of_all_workers_and_sends_no_statistics_unasked(monkeypatch):
    begun, variables = [], {}
    monkeypatch.setattr(ray, "init", lambda *where, **options: begun.append((where, options["num_cpus"])))
    monkeypatch.setattr("loky.cpu_count", lambda: 8)
    monkeypatch.setattr("phalanx.jobs.executors.ray.os", SimpleNamespace(environ=variables))
    for num_cpus, n_workers in ((1, 2), (3, 2), (3, None), (9, None)):
        _connect(RaySpec(num_cpus=num_cpus), n_workers)
    assert begun == [(("local",), n_cpus) for n_cpus in (2, 6, 6, 9)]
    assert variables["RAY_USAGE_STATS_ENABLED"] == "0"
    variables["RAY_USAGE_STATS_ENABLED"] = "1"  # a person's own choice
    _connect(RaySpec(), 1)
    assert variables["RAY_USAGE_STATS_ENABLED"] == "1"


def test_data_are_stored_once_and_where_they_cannot_be_read_the_shard_says_so(tmp_path, monkeypatch):
    stored, begun = [], []
    monkeypatch.setattr("phalanx.jobs.executors.ray._connect", lambda *_: None)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 1.0})
    monkeypatch.setattr(ray, "nodes", list)
    monkeypatch.setattr(ray, "put", lambda arrays: stored.append(arrays) or len(stored))
    asked = Settings(TrialSpec(data=Csv(path="away.csv", target="y")), TrackingSpec(kind="none"), CheckpointSpec(), ())
    shards = [Shard([job(tmp_path, 0)]), Shard([Job(asked, tmp_path / "1", Sweep("s", 1))]), Shard([job(tmp_path, 2)])]
    executor = RaySpec().open(None, shards[0])
    task = SimpleNamespace(future=Future)
    executor.task = SimpleNamespace(
        remote=lambda shard, n_threads, _specs, *data: begun.append((shard, n_threads, *data)) or task
    )
    first, away, second = executor.submit(shards)
    assert begun == [(shards[0], 1, 1), (shards[2], 1, 1)]
    assert [arrays.name for arrays in stored] == ["digits"]
    assert "away.csv" in str(away.exception(timeout=0))
    executor.close()
    assert isinstance(first.exception(timeout=0), TrainingInterrupted)
    assert second.cancelled()  # there was place for one


def test_whether_somebody_listens_is_seen_before_ray_looks():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        there = f"127.0.0.1:{listening.getsockname()[1]}"
        for address in (there, f"ray://{there}", "auto"):
            _check_address(address)
    for address in (there, f"ray://{there}"):
        with pytest.raises(ConnectionRefusedError):
            _check_address(address)


def test_a_task_has_the_threads_of_its_cpus(tmp_path, monkeypatch):
    shard, before = Shard([job(tmp_path, 0)]), torch.get_num_threads()
    monkeypatch.setattr(
        "phalanx.jobs.executors.ray.train_shard", lambda shard, n_threads: (n_threads, torch.get_num_threads())
    )
    try:
        specs = [shard.jobs[0].trial.data]
        assert _train(shard, before + 1, specs, *map(_arrays, map(dataset_of, specs))) == (before + 1, before + 1)
    finally:
        torch.set_num_threads(before)


def test_how_many_shards_run_at_once(monkeypatch):
    there = {"CPU": 8.0, "GPU": 2.0}
    monkeypatch.setattr(ray, "cluster_resources", lambda: there)
    assert _n_shards_at_once(RaySpec(num_cpus=3)) == 2
    assert _n_shards_at_once(RaySpec(num_gpus=0.5)) == 4
    assert _n_shards_at_once(RaySpec(num_cpus=4, num_gpus=0.5)) == 2
    with pytest.raises(
        RequestError, match=r"num_cpus=9 and num_gpus=0 are more than the cluster has, 8 CPUs and 2 GPUs"
    ):
        _n_shards_at_once(RaySpec(num_cpus=9))
    there = {"CPU": 8.0}
    with pytest.raises(RequestError, match=r"num_gpus=1 are more than the cluster has, 8 CPUs and 0 GPUs"):
        _n_shards_at_once(RaySpec(num_gpus=1))


def test_a_study_in_a_file_is_refused_where_tasks_run_on_several_machines(tmp_path, monkeypatch):
    nodes = [{"Alive": True, "NodeManagerAddress": name} for name in "abb"]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    pruned = job(tmp_path, 0, find_trial=TrialReference("s", 0, "sqlite:///study.db", None))
    with pytest.raises(RequestError, match="2 machines, which cannot prune by a study in a file"):
        _check_storage(Shard([pruned]))
    _check_storage(Shard([job(tmp_path, 0)]))
    _check_storage(Shard([job(tmp_path, 0, find_trial=TrialReference("s", 0, "postgresql://h/d", None))]))
    nodes[0]["Alive"] = False
    _check_storage(Shard([pruned]))  # two nodes of one machine


def test_what_cannot_be_is_refused(tmp_path, monkeypatch):
    done = train("-m", "seed=0,1", "hydra.launcher.ray.num_cpus=2", cwd=tmp_path, check=2)
    assert "hydra.launcher.ray.num_cpus must be 1 where hydra.launcher.executor is another, got 2" in done.stderr
    assert "try hydra.launcher.executor=ray" in done.stderr
    wrong = ["hydra.launcher.ray.num_gpus=-1", "+hydra.launcher.ray.adress=auto"]
    done = train("-m", "seed=0,1", "hydra.launcher.executor=ray", *wrong, cwd=tmp_path, check=2)
    assert "hydra.launcher.ray.num_gpus must be a number of at least 0, got -1" in done.stderr
    assert "did you mean hydra.launcher.ray.address?" in done.stderr
    assert not list(tmp_path.iterdir())
    away = ["hydra.launcher.executor=ray", "hydra.launcher.ray.address=127.0.0.1:1"]
    done = train_from_the_start("-m", *QUICK, "seed=0,1", *away, "tracking=none", cwd=tmp_path, check=2)
    assert "hydra.launcher.ray.address=127.0.0.1:1: no Ray cluster can be used there" in done.stderr
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else find(name))
    with pytest.raises(RequestError, match=r"needs ray, which is not installed; type: pip install -e '\.\[ray\]'"):
        LauncherSpec.of({"executor": "ray"})
