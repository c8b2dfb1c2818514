"""`trainer.min_updates`: a trial trains as one whose epochs were typed, and says how many they are."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from support.datasets import blobs

from phalanx import MLP, OPTIMIZERS, SCHEDULES, TrainerSpec, TrialSpec, partition, train_cohort, train_trial
from phalanx.core.callbacks import Callback
from phalanx.core.errors import CheckpointError, SpecError
from phalanx.runs.checkpoint import RunCheckpointer
from phalanx.runs.layout import RunPaths
from phalanx.runs.options import CheckpointSpec
from phalanx.training.data_check import check_with_data
from phalanx.training.epochs import epochs_note, with_epochs
from phalanx.training.spec import config_digest, determining

DATA = blobs(n_train=50, n_val=20)
PLAIN = TrialSpec(
    model=MLP(hidden=(6,), dropout=0.1), optimizer=OPTIMIZERS["adam"](lr=0.02), schedule=SCHEDULES["cosine"](), seed=1
)


def trial(**trainer):
    return replace(PLAIN, trainer=TrainerSpec(**{"epochs": 2, "batch_size": 20, **trainer}))


def told(result):
    return result.status, result.epochs, result.metrics, [replace(row, seconds=0) for row in result.history]


def assert_same_bits(one, other):
    assert told(one) == told(other)
    assert all(one.weights[name].equal(other.weights[name]) for name in one.weights)


class Starts(Callback):
    def __init__(self):
        self.seen = []

    def on_start(self, n_trials, n_epochs, steps_per_epoch):
        self.seen.append((n_trials, n_epochs, steps_per_epoch))


@pytest.mark.parametrize(
    "options",
    [{}, {"drop_last": True}, {"batch_size": None}, {"batch_size": 500, "drop_last": True}, {"patience": 2},
     {"average": "swa", "swa_start": 3}, {"keep": "last"}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
def test_it_trains_as_with_the_epochs_that_it_takes(options, schedule):
    """Counted here by hand: 50 rows are 3 batches of 20, or 2 whole ones."""
    updates = {True: 2, False: 3}[options.get("drop_last", False)] if options.get("batch_size", 20) == 20 else 1
    spec = replace(trial(min_updates=11, **options), schedule=SCHEDULES[schedule]())
    typed = replace(trial(epochs=math.ceil(11 / updates), **options), schedule=spec.schedule)
    found = train_trial(spec, DATA)
    assert_same_bits(found, train_trial(typed, DATA))
    assert found.epochs == typed.trainer.epochs or "patience" in options
    assert found.config_digest == config_digest(spec) != config_digest(typed)


def test_epochs_that_are_enough_stay_and_without_it_the_digest_is_what_it_was():
    assert "trainer.min_updates" not in determining(trial())
    assert "trainer.raised_epochs" not in determining(trial(min_updates=5))
    assert with_epochs(trial(), 50) == trial()
    assert [with_epochs(trial(epochs=7, min_updates=n), 50).trainer.n_epochs for n in (5, 21, 22)] == [7, 7, 8]
    twice = with_epochs(with_epochs(trial(min_updates=9), 50), 10)
    assert (twice.trainer.epochs, twice.trainer.n_epochs) == (2, 9)  # of other data anew


def test_trials_of_different_epochs_share_a_cohort_whose_start_tells_the_most():
    specs = [replace(trial(min_updates=n), seed=n or 0) for n in (None, 4, 10, 20)]
    assert partition(specs) == [[0, 1, 2, 3]]
    starts = Starts()
    results = train_cohort(specs, DATA, starts)
    assert starts.seen == [(4, 7, 3)]
    assert [result.epochs for result in results] == [2, 2, 4, 7]
    for spec, result in zip(specs, results, strict=True):
        assert_same_bits(result, train_trial(spec, DATA))


def test_what_a_trial_says_of_its_epochs():
    assert epochs_note(trial(), 50) == ""
    said = "trainer.epochs=2 is raised to 4 by trainer.min_updates=10: 3 updates an epoch"
    assert epochs_note(trial(min_updates=10), 50) == said
    said = "trainer.min_updates=10 is reached by trainer.epochs=2: 5 updates an epoch"
    assert epochs_note(trial(min_updates=10), 100) == said


def test_schedules_and_averages_are_checked_by_the_epochs_that_it_takes():
    swa = trial(min_updates=12, average="swa", swa_start=4)
    check_with_data(swa, DATA)
    late = trial(min_updates=12, average="swa", swa_start=5)
    text = (
        r"trainer.swa_start must be at most 4, the epochs with trainer.min_updates=12, with trainer.average=swa, got 5"
    )
    with pytest.raises(SpecError, match=text):
        check_with_data(late, DATA)
    cycle = replace(trial(epochs=1, batch_size=50), schedule=SCHEDULES["one_cycle"]())
    with pytest.raises(SpecError, match="schedule=one_cycle"):
        check_with_data(cycle, DATA)
    check_with_data(replace(cycle, trainer=replace(cycle.trainer, min_updates=10)), DATA)


@pytest.mark.parametrize("value", [0, -3, 1.5, "many"])
def test_what_is_no_number_of_updates_is_refused(value):
    with pytest.raises(SpecError, match=r"trainer.min_updates must be a whole number of at least 1 or null, got"):
        TrainerSpec(min_updates=value)


class Stop(Callback):
    def on_epoch(self, rows):
        if next(iter(rows.values())).epoch == 3:
            raise RuntimeError
        return ()


def interrupted(spec, folder):
    """A checkpoint of the first three epochs."""
    paths = RunPaths(folder)
    folder.mkdir(exist_ok=True)
    keeper = RunCheckpointer(paths, CheckpointSpec(every_epochs=1), [spec])
    keeper.begin(DATA)
    with pytest.raises(RuntimeError):
        train_cohort([spec], DATA, Stop(), checkpointer=keeper)
    return paths


def goes_on(spec, paths):
    keeper = RunCheckpointer(paths, CheckpointSpec(every_epochs=1), [spec])
    keeper.begin(DATA)
    (result,) = train_cohort([spec], DATA, checkpointer=keeper)
    return keeper.epochs_before, result


def test_an_interrupted_trial_goes_on_to_the_bit(tmp_path):
    """Also beyond `trainer.epochs`, which it had passed."""
    spec = trial(min_updates=17)
    before, result = goes_on(spec, interrupted(spec, tmp_path / "run"))
    assert (before, result.epochs) == (2, 6)
    assert_same_bits(result, train_trial(spec, DATA))


def test_more_updates_may_be_asked_for_where_the_schedule_allows_it(tmp_path):
    constant = replace(trial(min_updates=12), schedule=SCHEDULES["constant"]())
    longer = replace(constant, trainer=replace(constant.trainer, min_updates=18))
    paths = interrupted(constant, tmp_path / "run")
    fewer = replace(constant, trainer=replace(constant.trainer, min_updates=6))
    with pytest.raises(CheckpointError, match="2 trained epochs of 2, so nothing is left to train"):
        goes_on(fewer, paths)
    _, result = goes_on(longer, paths)
    assert_same_bits(result, train_trial(longer, DATA))
    spec = trial(min_updates=12)
    paths = interrupted(spec, tmp_path / "cosine")
    with pytest.raises(CheckpointError, match=r"schedule=cosine was laid out over trainer.min_updates=12"):
        goes_on(replace(spec, trainer=replace(spec.trainer, min_updates=18)), paths)
