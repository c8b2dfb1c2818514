"""Jobs trained together: divided by static fields, streamed, taken apart when something fails."""

from __future__ import annotations

import gc
import signal
import weakref
from dataclasses import replace

import pytest
from hydra import compose, initialize_config_dir
from support.jobs import by_number
from support.places import ROOT

from phalanx.core.errors import Superseded, TrialTimeout
from phalanx.core.files import write_json
from phalanx.core.result import Status
from phalanx.data.cache import dataset_of
from phalanx.jobs.job import Job
from phalanx.jobs.run import run
from phalanx.jobs.scheduler import CohortScheduler, cohorts, explain, train_together
from phalanx.runs.checkpoint import read_checkpoint, write_checkpoint
from phalanx.runs.config import register_resolvers
from phalanx.runs.layout import RunPaths
from phalanx.runs.manifest import Manifest, Sweep
from phalanx.training.cohort import Cohort
from phalanx.training.loop import CohortLoop


@pytest.fixture
def job(tmp_path):
    """A job of a sweep, by its number and overrides."""
    register_resolvers()
    with initialize_config_dir(str(ROOT / "conf")):

        def make(number, *overrides, **manifest):
            cfg = compose("config", ["debug=limit", "tracking=none", *overrides])
            return Job(cfg, tmp_path / str(number), Sweep("s", number, Manifest(**manifest)))

        yield make


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
    final = Job(final.config, final.folder, Sweep("s", 1, final.sweep.manifest, final=True))
    assert cohorts([trial, final]) == [[0], [1]]


def test_every_job_finds_its_own_result(job):
    jobs = [job(n, f"seed={n}", repeats=2) for n in range(3)]
    found = by_number(train_together(jobs, note="3 jobs"))
    for n in range(3):
        assert [result.seed for result in found[n].results] == [n, n + 1]
        assert found[n].note == "trained in a cohort of 6; 3 jobs"
    assert found[0].results[1].metrics == found[1].results[0].metrics


def test_folds_and_splits_train_in_one_cohort_and_find_their_own_data(job):
    where = [(fold, seed) for seed in (0, 1) for fold in (0, 2, 4)]
    folds = "data.resampling=kfold"
    jobs = [job(n, folds, f"data.fold={fold}", f"data.split_seed={seed}") for n, (fold, seed) in enumerate(where)]
    assert cohorts(jobs) == [[0, 1, 2, 3, 4, 5]]
    found = by_number(train_together(jobs))
    digests = {result.data_digest for one in found.values() for result in one.results}
    assert digests == {dataset_of(one.trial.data).digest for one in jobs}
    assert len(digests) == 6
    for number in range(6):
        (alone,) = by_number(train_together([jobs[number]]))[number].results
        (together,) = found[number].results
        assert found[number].note == "trained in a cohort of 6"
        assert alone.metrics == together.metrics
        assert all(alone.weights[name].equal(together.weights[name]) for name in alone.weights)


def test_jobs_are_told_apart_without_comparing_their_configs(job, monkeypatch):
    """With 64 in flight that took an eighth of a search's time."""
    jobs = [job(n, f"seed={n}", f"trainer.epochs={1 + n % 2}") for n in range(4)]
    monkeypatch.setattr(type(jobs[0].config), "__eq__", lambda *_: pytest.fail("two configs were compared"))
    assert len(by_number(train_together(jobs))) == 4


def test_a_stream_returns_each_job_when_it_ends_and_others_may_join(job):
    stream = CohortScheduler()
    stream.add(job(0, "trainer.epochs=1"))
    stream.add(job(1, "trainer.epochs=4"))
    stream.add(job(2, "trainer.epochs=2", "trainer.batch_size=7"))
    stream.add(job(3, "optimizer.lr=-1"))
    assert stream.running == 4
    assert list(by_number(stream.advance())) == [3]
    found = by_number(stream.advance())
    assert list(found) == [0]
    stream.add(job(4, "trainer.epochs=1"))
    while stream.running:
        found |= by_number(stream.advance())
    assert list(found) in ([0, 4, 2, 1], [0, 2, 4, 1])
    assert {number: trained.results[0].epochs for number, trained in found.items()} == {0: 1, 1: 4, 2: 2, 4: 1}


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

    monkeypatch.setattr("phalanx.training.loop.Cohort", Small)
    jobs = [job(n, f"seed={n}") for n in range(7)]
    found = by_number(train_together(jobs))
    assert [found[n].results[0].seed for n in range(7)] == list(range(7))
    assert max(sizes) == 7
    assert min(sizes) <= 2
    assert not any(trained.error for trained in found.values())


def test_a_cohort_without_memory_gives_its_own_back_before_the_halves_train(job, monkeypatch):
    failed = []

    class Full(Cohort):
        def epoch(self):
            assert not any(known() for known in failed)
            ended = super().epoch()
            if self.running > 1:
                failed.append(weakref.ref(self))
                raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
            return ended

    monkeypatch.setattr("phalanx.training.loop.Cohort", Full)
    gc.disable()
    try:
        found = by_number(train_together([job(n, f"seed={n}", "trainer.epochs=2") for n in range(4)]))
    finally:
        gc.enable()
    assert len(failed) == 3
    assert not any(trained.error for trained in found.values())


def test_a_cohort_that_is_taken_apart_goes_on_from_its_checkpoints(job, monkeypatch):
    class Full(Cohort):
        def epoch(self):
            if self.running > 2 and self.chunks and max(self.chunks[0].stack.epochs_done) == 2:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
            return super().epoch()

    monkeypatch.setattr("phalanx.training.loop.Cohort", Full)
    jobs = [job(n, f"seed={n}", "trainer.epochs=4", "checkpoint.every_epochs=1") for n in range(4)]
    said = []
    found = by_number(train_together(jobs, said.append))
    assert said[2:] == ["cohort of 2, epoch 3", "cohort of 2, epoch 4"] * 2  # and none of the first two again
    assert [trained.note for trained in found.values()] == ["trained in a cohort of 2; went on after epoch 2"] * 4
    monkeypatch.setattr("phalanx.training.loop.Cohort", Cohort)
    plain = [job(9 + n, f"seed={n}", "trainer.epochs=4") for n in range(4)]
    whole = by_number(train_together(plain))
    assert [found[n].results[0].metrics for n in range(4)] == [whole[9 + n].results[0].metrics for n in range(4)]


def test_an_interrupt_keeps_the_epoch_of_every_cohort(job, monkeypatch, interruptible):
    class Asked(Cohort):
        def epoch(self):
            if self.chunks and max(self.chunks[0].stack.epochs_done) == 2:
                signal.raise_signal(signal.SIGINT)
            return super().epoch()

    monkeypatch.setattr("phalanx.training.loop.Cohort", Asked)
    stream = CohortScheduler()
    jobs = [job(0, "trainer.epochs=9"), job(1, "trainer.epochs=9", "trainer.batch_size=7")]
    for one in jobs:
        stream.add(one)
    with pytest.raises(KeyboardInterrupt):
        [stream.advance() for _ in range(99)]
    found = by_number(stream.abandon())
    assert [found[n].results[0].epochs for n in range(2)] == [3, 2]
    assert stream.running == 0
    kept = [read_checkpoint(RunPaths(one.folder).checkpoint)[1][0] for one in jobs]
    assert [len(state.history) for state in kept] == [3, 2]


def test_an_error_is_its_own_jobs_alone(job, monkeypatch):
    class Bad(Broken):
        bad = 0.5

    monkeypatch.setattr("phalanx.training.loop.Cohort", Bad)
    jobs = [job(n, f"optimizer.lr={lr}") for n, lr in enumerate((0.1, 0.5, 0.2))]
    found = by_number(train_together(jobs))
    assert [found[n].error is not None for n in range(3)] == [False, True, False]
    assert found[0].results[0].status is Status.COMPLETED


def test_an_interrupt_within_an_epoch_leaves_what_every_job_had_reached_and_keeps_no_half_epoch(job, monkeypatch):
    def on_step(group, epoch, step):
        if (epoch, step) == (3, 2):
            raise KeyboardInterrupt

    jobs = [job(n, "trainer.epochs=5", f"trainer.batch_size={7 + n}") for n in range(2)]
    whole = [
        trained.results[0].metrics for _, trained in sorted(train_together(jobs), key=lambda pair: pair[0].sweep.number)
    ]
    stream = CohortScheduler()
    for one in jobs:
        stream.add(one)
    with monkeypatch.context() as patch:
        patch.setattr(CohortLoop, "on_step", on_step)
        with pytest.raises(KeyboardInterrupt):
            [stream.advance() for _ in range(99)]
        found = by_number(stream.abandon())
    assert sorted(found) == [0, 1]
    for trained in found.values():
        assert trained.interrupt is not None
        assert trained.results[0].error == "interrupted after epoch 2"
    cut, between = (RunPaths(one.folder).checkpoint for one in jobs)
    assert not cut.exists()  # two epochs and a part of the third are in its weights
    assert len(read_checkpoint(between)[1][0].history) == 2
    found = by_number(train_together(jobs))
    assert found[1].note.endswith("; went on after epoch 2")
    assert [found[n].results[0].metrics for n in range(2)] == whole


def test_a_trial_has_its_share_of_the_cohorts_time(job):
    quick, slow = job(0, "trainer.epochs=1"), job(1, "trainer.epochs=100000", trial_timeout_s=0.05)
    found = by_number(train_together([quick, slow]))
    assert isinstance(found[1].error, TrialTimeout)
    assert found[0].error is None


def test_the_time_before_a_restart_counts_for_its_own_job_alone(job):
    """Two epochs of two seeds, 20 s each, were trained before; 80 s in all are more than a minute."""
    options = ["trainer.epochs=4", "checkpoint.every_epochs=2"]
    old, new = (job(n, *options, repeats=2, trial_timeout_s=60) for n in range(2))
    train_together([old])
    file = RunPaths(old.folder).checkpoint
    about, states = read_checkpoint(file)
    slow = [replace(s, history=tuple(replace(row, seconds=20.0) for row in s.history)) for s in states]
    write_checkpoint(file, {**about, "format": 1}, slow)
    found = by_number(train_together([old, new]))
    assert str(found[0].error) == "longer than hydra.sweeper.trial_timeout_s=60, in epoch 3"
    assert found[1].error is None
    assert found[1].results[0].epochs == 4


def test_a_job_that_was_replaced_while_it_trained_writes_nothing(job, tmp_path):
    paths = RunPaths(tmp_path / "0")
    write_json(paths.attempt, {"attempt": 1})
    one = job(0, "trainer.epochs=1")
    ((_, trained),) = train_together([one])
    write_json(paths.attempt, {"attempt": 2})  # another driver has taken the trial up
    with pytest.raises(Superseded):
        run(one, trained)
    assert not paths.result.exists()
    assert not paths.model.exists()
