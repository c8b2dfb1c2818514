"""Jobs for executors; importable by worker processes."""

from __future__ import annotations

import os
import signal

from safetensors.torch import load_file
from support.sweeps import steady
from support.train_command import result_of

from phalanx import TrainerSpec, TrialSpec
from phalanx.jobs.executors.dispatch import RemoteScheduler
from phalanx.jobs.executors.options import LauncherSpec
from phalanx.jobs.job import Job
from phalanx.runs.config import Settings
from phalanx.runs.manifest import Manifest, Sweep
from phalanx.runs.options import CheckpointSpec, TrackingSpec


def job(folder, number, *, trial=None, **options):
    search = Sweep("s", number, Manifest(search=True))  # only a search asks for the trial to prune
    trial = trial or TrialSpec(seed=number, trainer=TrainerSpec(epochs=2))
    asked = Settings(trial, TrackingSpec(kind="none"), CheckpointSpec(), ())
    return Job(asked, folder / str(number), search, **options)


def die(marker, times):
    """Stands for the trial to prune, and kills the process that asks for it, so many times."""
    with open(marker, "a") as file:
        file.write(f"{os.getpid()}\n")
    if len(marker.read_text().splitlines()) <= times:
        os.kill(os.getpid(), signal.SIGKILL)


def trained(shards, scheduler=None):
    """The results of jobs by number, trained by processes, or as the scheduler does it."""
    scheduler = scheduler or RemoteScheduler(LauncherSpec(executor="processes", workers=1))
    found = {}
    try:
        scheduler.submit(shards)
        while scheduler.running:
            found |= by_number(scheduler.advance())
    finally:
        scheduler.close()
    return found


def by_number(trained):
    """The results that a scheduler returns, by the number of the job."""
    return {job.sweep.number: result for job, result in trained}


def same(one, two, n_jobs):
    """Whether two sweeps found the same, to the last bit."""
    n_weights = 0
    for number in map(str, range(n_jobs)):
        a, b = steady(result_of(one / number)), steady(result_of(two / number))
        assert a == b
        assert (one / number / "config.yaml").read_text() == (two / number / "config.yaml").read_text()
        if (one / number / "model.safetensors").is_file():
            first, second = (load_file(folder / number / "model.safetensors") for folder in (one, two))
            assert all(first[name].equal(second[name]) for name in first)
            n_weights += 1
    return n_weights
