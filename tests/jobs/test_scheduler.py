"""Jobs trained together: divided by static fields, streamed, taken apart when something fails."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest
from hydra import compose, initialize_config_dir
from support.places import ROOT

from phalanx.core.errors import Superseded, TrainingInterrupted, TrialTimeout
from phalanx.core.files import write_json
from phalanx.core.result import Status
from phalanx.jobs import run as app
from phalanx.jobs import scheduler
from phalanx.jobs.job import Job
from phalanx.jobs.scheduler import CohortScheduler, cohorts, explain, train_together
from phalanx.runs.checkpoint import read_checkpoint, write_checkpoint
from phalanx.runs.config import register_resolvers
from phalanx.runs.fencing import FencingToken
from phalanx.runs.layout import RunPaths
from phalanx.runs.manifest import Manifest, Sweep
from phalanx.training.cohort import Cohort


@pytest.fixture
def job(tmp_path):
    """A job of a sweep, by its number and overrides."""
    register_resolvers()
    with initialize_config_dir(str(ROOT / "conf")):

        def make(number, *overrides, **manifest):
            cfg = compose("config", ["debug=limit", "tracking=none", *overrides])
            return Job(cfg, tmp_path / str(number), Sweep("s", number, Manifest(**manifest)))

        yield make
    app.ready.clear()


def test_jobs_are_divided_by_what_is_static_and_a_wrong_one_stands_alone(job):
    jobs = [
        job(0),
        job(1, "trainer.batch_size=7"),
        job(2, "seed=1", "loss=mse", "schedule=cosine"),
        job(3, "optimizer.lr=-1"),
        job(4, "trainer.batch_size=7", "optimizer.lr=0.1"),
    ]
    assert cohorts(jobs) == [[0, 2], [1, 4], [3]]
    assert cohorts(jobs, max_trials=1) == [[0], [1], [2], [3], [4]]
    assert explain(cohorts(jobs), jobs) == "5 jobs in 3 cohorts of 2, 2, 1; they differ in trainer.batch_size"


def test_a_search_and_a_final_never_share_a_cohort(job):
    trial, final = job(0, search=True), job(1, search=True)
    final = Job(final.cfg, final.folder, Sweep("s", 1, final.sweep.manifest, final=True))
    assert cohorts([trial, final]) == [[0], [1]]


def test_every_job_finds_its_own_result(job):
    jobs = [job(n, f"seed={n}", repeats=2) for n in range(3)]
    train_together(jobs, note="3 jobs")
    for n, one in enumerate(jobs):
        trained = app.ready[one.folder]
        assert [result.seed for result in trained.results] == [n, n + 1]
        assert trained.note == "trained in a cohort of 6; 3 jobs"
    assert app.ready[jobs[0].folder].results[1].metrics == app.ready[jobs[1].folder].results[0].metrics


def test_jobs_are_told_apart_without_comparing_their_configs(job, monkeypatch):
    """With 64 in flight that took an eighth of a search's time."""
    jobs = [job(n, f"seed={n}", f"trainer.epochs={1 + n % 2}") for n in range(4)]
    monkeypatch.setattr(type(jobs[0].cfg), "__eq__", lambda *_: pytest.fail("two configs were compared"))
    train_together(jobs)
    assert all(one.folder in app.ready for one in jobs)


def test_a_stream_returns_each_job_when_it_ends_and_others_may_join(job):
    stream = CohortScheduler()
    stream.add(job(0, "trainer.epochs=1"))
    stream.add(job(1, "trainer.epochs=4"))
    stream.add(job(2, "trainer.epochs=2", "trainer.batch_size=7"))
    stream.add(job(3, "optimizer.lr=-1"))
    assert stream.running == 4
    assert [j.sweep.number for j in stream.advance()] == [3]
    assert [j.sweep.number for j in stream.advance()] == [0]
    stream.add(job(4, "trainer.epochs=1"))
    order = []
    while stream.running:
        order += [j.sweep.number for j in stream.advance()]
    assert order in ([4, 2, 1], [2, 4, 1])
    epochs = {folder.name: trained.results[0].epochs for folder, trained in app.ready.items()}
    assert epochs == {"0": 1, "1": 4, "2": 2, "4": 1}


class Broken(Cohort):
    """Fails while more than `most` trials train, or while one with the learning rate `bad` does."""

    most, bad, error = 99, None, RuntimeError("a bug")

    def epoch(self):
        if self.running > self.most or any(s.optimizer.lr == self.bad for s in self.joining.values()):
            raise self.error
        return super().epoch()


def test_out_of_memory_halves_a_cohort_until_it_fits(job, monkeypatch, caplog):
    sizes = []

    class Small(Broken):
        most, error = 2, RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")

        def epoch(self):
            sizes.append(self.running)
            return super().epoch()

    monkeypatch.setattr(scheduler, "Cohort", Small)
    jobs = [job(n, f"seed={n}") for n in range(7)]
    train_together(jobs)
    assert [app.ready[j.folder].results[0].seed for j in jobs] == list(range(7))
    assert max(sizes) == 7
    assert min(sizes) <= 2
    assert not any(app.ready[j.folder].error for j in jobs)


def test_a_cohort_that_is_taken_apart_goes_on_from_its_checkpoints(job, monkeypatch):
    class Full(Cohort):
        def epoch(self):
            if self.running > 2 and self.chunks and max(self.chunks[0].stack.epochs_done) == 2:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
            return super().epoch()

    monkeypatch.setattr(scheduler, "Cohort", Full)
    jobs = [job(n, f"seed={n}", "trainer.epochs=4", "checkpoint.every_epochs=1") for n in range(4)]
    said = []
    train_together(jobs, said.append)
    assert said[2:] == ["cohort of 2, epoch 3", "cohort of 2, epoch 4"] * 2  # and none of the first two again
    notes = [app.ready[one.folder].note for one in jobs]
    assert notes == ["trained in a cohort of 2; went on after epoch 2"] * 4
    found = [app.ready.pop(one.folder).results[0] for one in jobs]
    monkeypatch.setattr(scheduler, "Cohort", Cohort)
    plain = [job(9 + n, f"seed={n}", "trainer.epochs=4") for n in range(4)]
    train_together(plain)
    assert [result.metrics for result in found] == [app.ready[one.folder].results[0].metrics for one in plain]


def test_an_interrupt_keeps_the_epoch_of_every_cohort(job, monkeypatch, interruptible):
    class Asked(Cohort):
        def epoch(self):
            if self.chunks and max(self.chunks[0].stack.epochs_done) == 2:
                signal.raise_signal(signal.SIGINT)
            return super().epoch()

    monkeypatch.setattr(scheduler, "Cohort", Asked)
    stream = CohortScheduler()
    jobs = [job(0, "trainer.epochs=9"), job(1, "trainer.epochs=9", "trainer.batch_size=7")]
    for one in jobs:
        stream.add(one)
    with pytest.raises(TrainingInterrupted):
        [stream.advance() for _ in range(99)]
    assert [app.ready[one.folder].results[0].epochs for one in jobs] == [3, 2]
    kept = [read_checkpoint(RunPaths(one.folder).checkpoint)[1][0] for one in jobs]
    assert [len(state.history) for state in kept] == [3, 2]


def test_an_error_is_its_own_jobs_alone(job, monkeypatch):
    class Bad(Broken):
        bad = 0.5

    monkeypatch.setattr(scheduler, "Cohort", Bad)
    jobs = [job(n, f"optimizer.lr={lr}") for n, lr in enumerate((0.1, 0.5, 0.2))]
    train_together(jobs)
    assert [app.ready[j.folder].error is not None for j in jobs] == [False, True, False]
    assert app.ready[jobs[0].folder].results[0].status is Status.COMPLETED


def test_an_interrupt_within_an_epoch_leaves_what_every_job_had_reached_and_keeps_no_half_epoch(job, monkeypatch):
    def on_step(group, epoch, step):
        if (epoch, step) == (3, 2):
            raise KeyboardInterrupt

    jobs = [job(n, "trainer.epochs=5", f"trainer.batch_size={7 + n}") for n in range(2)]
    train_together(jobs)
    whole = [app.ready.pop(one.folder).results[0].metrics for one in jobs]
    stream = CohortScheduler()
    for one in jobs:
        stream.add(one)
    with monkeypatch.context() as patch:
        patch.setattr(scheduler._Group, "on_step", on_step)
        with pytest.raises(TrainingInterrupted):
            [stream.advance() for _ in range(99)]
    for one in jobs:
        trained = app.ready[one.folder]
        assert trained.interrupt is not None
        assert trained.results[0].error == "interrupted after epoch 2"
    cut, between = (RunPaths(one.folder).checkpoint for one in jobs)
    assert not cut.exists()  # two epochs and a part of the third are in its weights
    assert len(read_checkpoint(between)[1][0].history) == 2
    train_together(jobs)
    assert app.ready[jobs[1].folder].note.endswith("; went on after epoch 2")
    assert [app.ready[one.folder].results[0].metrics for one in jobs] == whole


def test_a_trial_has_its_share_of_the_cohorts_time(job):
    quick, slow = job(0, "trainer.epochs=1"), job(1, "trainer.epochs=100000", trial_timeout_s=0.05)
    train_together([quick, slow])
    assert isinstance(app.ready[slow.folder].error, TrialTimeout)
    assert app.ready[quick.folder].error is None


def test_the_time_before_a_restart_counts_for_its_own_job_alone(job):
    """Two epochs of two seeds, 20 s each, were trained before; 80 s in all are more than a minute."""
    options = ["trainer.epochs=4", "checkpoint.every_epochs=2"]
    old, new = (job(n, *options, repeats=2, trial_timeout_s=60) for n in range(2))
    train_together([old])
    file = RunPaths(old.folder).checkpoint
    about, states = read_checkpoint(file)
    slow = [replace(s, history=tuple(replace(row, seconds=20.0) for row in s.history)) for s in states]
    write_checkpoint(file, {**about, "format": 1}, slow)
    train_together([old, new])
    assert str(app.ready[old.folder].error) == "longer than hydra.sweeper.trial_timeout_s=60, in epoch 3"
    assert app.ready[new.folder].error is None
    assert app.ready[new.folder].results[0].epochs == 4


def test_a_job_that_was_replaced_while_it_trained_writes_nothing(job):
    one = job(0, "trainer.epochs=1")
    paths = RunPaths(one.folder)
    write_json(paths.attempt, {"attempt": 1})
    one = replace(one, fence=FencingToken(paths))
    train_together([one])
    write_json(paths.attempt, {"attempt": 2})  # another driver has taken the trial up
    with pytest.raises(Superseded):
        app.run(one.cfg, one.folder, one.sweep)
    assert not paths.result.exists()
    assert not paths.model.exists()
