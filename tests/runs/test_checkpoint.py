"""A training that goes on from its checkpoint gives, on a CPU, what it would have given, to the last bit."""

from __future__ import annotations

import json
import os
import signal
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.cohorts import assert_same, cohorts, exactly
from support.datasets import blobs
from support.places import ROOT

from phalanx import MLP, OPTIMIZERS, SCHEDULES, DeviceSpec, TrainerSpec, TrialSpec, train_trial
from phalanx.core.callbacks import Callback, Deadline
from phalanx.core.errors import CheckpointError, TrialTimeout
from phalanx.core.result import Snapshot, Status
from phalanx.runs.checkpoint import RunCheckpointer, _sum, read_checkpoint, write_checkpoint
from phalanx.runs.fencing import FencingToken
from phalanx.runs.layout import RunPaths
from phalanx.runs.live_metrics import LiveMetrics
from phalanx.runs.metrics_csv import read_metrics
from phalanx.runs.options import CheckpointSpec
from phalanx.runs.tensor_file import read_tensors, write_tensors
from phalanx.training.cohort import Cohort
from phalanx.training.interrupts import EpochEnd
from phalanx.training.loop import train_cohort

DATA = blobs(n_train=50, n_val=20)
ABOUT = {"format": 1, "trial": {}, "data_digest": "d", "versions": {}}


def states_after(specs, n_epochs):
    """How far trials are that trained together for so many epochs."""
    cohort, found = Cohort(specs[0], DATA), {}
    positions = cohort.join(specs)
    for _ in range(n_epochs):
        if cohort.running:
            found |= cohort.epoch()
    return [found.get(position) or cohort.snapshot(position) for position in positions]


@given(cohorts(), st.integers(1, 5), st.integers(0, 2), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_cut_anywhere_written_and_read_and_gone_on_beside_others(tmp_path_factory, specs, n_epochs, delay, random):
    """Each trial has companions before the cut, and others, who may be further on than it, after it."""
    keep = random.choice(["best", "best", "last"])
    specs = [replace(s, trainer=replace(s.trainer, epochs=s.trainer.epochs + 3, keep=keep)) for s in specs]
    file = tmp_path_factory.getbasetemp() / "property.safetensors"
    before = random.sample(range(len(specs)), random.randint(1, len(specs)))
    states = dict(zip(before, states_after([specs[i] for i in before], n_epochs), strict=True))
    if any(isinstance(state, Snapshot) for state in states.values()):
        write_checkpoint(file, ABOUT, list(states.values()))
        states = dict(zip(before, read_checkpoint(file)[1], strict=True))
    order = random.sample(range(len(specs)), len(specs))
    cohort, found = Cohort(specs[0], DATA), {}
    first = dict(
        zip(cohort.join([specs[i] for i in order[:1]], [states.get(i) for i in order[:1]]), order, strict=False)
    )
    for _ in range(delay if isinstance(states.get(order[0]), Snapshot | None) else 0):
        found |= cohort.epoch() if cohort.running else {}
    rest = order[1:]
    first |= dict(zip(cohort.join([specs[i] for i in rest], [states.get(i) for i in rest]), rest, strict=True))
    while cohort.running > len(cohort.ended):
        found |= cohort.epoch()
    found |= cohort.ended
    for position, i in first.items():
        whole = train_trial(specs[i], DATA)
        assert_same(found[position], whole, specs[i])


TRIAL = TrialSpec(trainer=TrainerSpec(epochs=6), model=MLP(hidden=(5,)), device=DeviceSpec(kind="cpu"))


def test_a_trial_without_momentum_goes_on_beside_one_with_it():
    plain, other = (replace(TRIAL, optimizer=OPTIMIZERS["sgd"](momentum=momentum)) for momentum in (0.0, 0.9))
    (state,) = states_after([plain], 2)
    assert "momentum_TP" not in state.tensors
    cohort, found = Cohort(plain, DATA), {}
    first, second = cohort.join([plain, other], [state, None])
    assert cohort.snapshot(first) is state  # until it has its place
    assert cohort.snapshot(second) is None
    found |= cohort.epoch()
    seen = cohort.snapshot(first)
    weights_P = seen.tensors["params_TP"].clone()
    while cohort.running:
        found |= cohort.epoch()
    assert seen.tensors["params_TP"].equal(weights_P)  # whatever has been trained since
    assert found[first].train_seconds == pytest.approx(sum(row.seconds for row in found[first].history))
    assert exactly(found[first]) == exactly(train_trial(plain, DATA))
    assert exactly(found[second]) == exactly(train_trial(other, DATA))


def test_what_had_ended_before_is_not_trained_again():
    result, cohort = train_trial(TRIAL, DATA), Cohort(TRIAL, DATA)
    (position,) = cohort.join([TRIAL], [result])
    assert cohort.epoch()[position] is result
    assert cohort.running == 0


class Stop(Callback):
    """Ends the training, as a kill would, in an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_step(self, epoch, step):
        if epoch == self.epoch:
            raise RuntimeError("killed")


def checkpointer(folder, *trials, every_epochs=1, every_minutes=None, **options):
    found = RunCheckpointer(RunPaths(folder), CheckpointSpec(every_epochs=every_epochs, every_minutes=every_minutes),
                        trials or [TRIAL], **options)  # fmt: skip
    found.begin(DATA)
    return found


def broken_off(folder, *trials, epoch=4, **options):
    """Leaves the checkpoint of a training that was ended in an epoch."""
    with pytest.raises(RuntimeError, match="killed"):
        train_cohort(trials or [TRIAL], DATA, Stop(epoch), checkpointer=checkpointer(folder, *trials, **options))
    return RunPaths(folder).checkpoint


def test_seeds_of_which_one_has_ended_go_on_and_curves_have_what_was_before(tmp_path):
    specs = [replace(TRIAL, seed=s, trainer=TrainerSpec(epochs=6, patience=1)) for s in range(4)]
    whole = train_cohort(specs, DATA)
    assert len({result.epochs for result in whole}) > 1
    cut = min(result.epochs for result in whole)
    broken_off(tmp_path, *specs, epoch=cut + 1)
    found = checkpointer(tmp_path, *specs)
    assert {type(state) for state in found.states} == {Snapshot, type(whole[0])}
    assert found.epochs_before == cut
    live = LiveMetrics(RunPaths(tmp_path), 0.0, None, Callback())
    live.goes_on(dict(enumerate(found.states)))
    again = train_cohort(specs, DATA, live, checkpointer=found)
    assert list(map(exactly, again)) == list(map(exactly, whole))
    rows = read_metrics(tmp_path / "metrics.csv")
    assert [row.epoch for row in rows] == list(range(1, max(result.epochs for result in whole) + 1))


@pytest.mark.parametrize(("every", "written"), [({"every_epochs": 2}, 4), ({"every_minutes": 1e-9}, 5), ({}, 0)])
def test_so_often_it_is_written(tmp_path, every, written):
    file = RunPaths(tmp_path).checkpoint
    broken_off(tmp_path, epoch=6, **{"every_epochs": None, **every})
    assert file.is_file() == bool(written)
    if written:
        assert len(read_checkpoint(file)[1][0].history) == written


def test_no_epoch_is_trained_twice(tmp_path):
    class Seen(Callback):
        def on_epoch(self, rows):
            epochs.extend(row.epoch for row in rows.values())
            return ()

    epochs = []
    broken_off(tmp_path, epoch=4)
    train_cohort([TRIAL], DATA, Seen(), checkpointer=checkpointer(tmp_path))
    assert epochs == [4, 5, 6]


def test_epochs_are_counted_from_the_first_and_not_from_where_it_went_on(tmp_path):
    file = broken_off(tmp_path, epoch=4)
    broken_off(tmp_path, epoch=6, every_epochs=2)
    assert len(read_checkpoint(file)[1][0].history) == 4


def test_where_none_is_asked_for_none_is_written_at_an_interrupt_either(tmp_path):
    found = checkpointer(tmp_path, every_epochs=None)
    found.epoch_ended(lambda: states_after([TRIAL], 1))
    found.write(lambda: states_after([TRIAL], 1))
    assert not list(tmp_path.iterdir())


def test_the_clock_starts_with_the_training(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("phalanx.runs.checkpoint.time.monotonic", lambda: now[0])
    found, state = checkpointer(tmp_path, every_epochs=None, every_minutes=2.0), states_after([TRIAL], 1)
    for seconds, written in ((119, False), (1, True)):
        now[0] += seconds
        found.epoch_ended(lambda: state)
        assert RunPaths(tmp_path).checkpoint.is_file() == written
    RunPaths(tmp_path).checkpoint.unlink()
    found.epoch_ended(lambda: state)
    assert not RunPaths(tmp_path).checkpoint.exists()


def test_nothing_is_written_of_what_has_ended_or_by_an_attempt_that_was_replaced(tmp_path):
    paths = RunPaths(tmp_path)
    train_cohort([TRIAL], DATA, checkpointer=checkpointer(tmp_path, every_epochs=6))
    assert not paths.checkpoint.exists()
    paths.attempt.write_text(json.dumps({"attempt": 1}))
    late = checkpointer(tmp_path, fence=FencingToken(paths))
    paths.attempt.write_text(json.dumps({"attempt": 2}))
    train_cohort([TRIAL], DATA, checkpointer=late)
    assert not paths.checkpoint.exists()


def test_a_process_that_is_killed_while_it_writes_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    file = broken_off(tmp_path, epoch=3)
    before, states = file.read_bytes(), states_after([TRIAL], 3)
    if not (child := os.fork()):
        os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        write_checkpoint(file, ABOUT, states)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    again = checkpointer(tmp_path)
    assert list(tmp_path.iterdir()) == [file]
    assert file.read_bytes() == before  # and stays until there is a newer one
    train_cohort([TRIAL], DATA, checkpointer=again)
    assert list(tmp_path.iterdir()) == [file]


def test_a_disk_that_is_full_costs_one_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("phalanx.runs.checkpoint.write_tensors", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    (result,) = train_cohort([TRIAL], DATA, checkpointer=checkpointer(tmp_path))
    assert result.status is Status.COMPLETED
    assert caplog.text.count("no checkpoint is written") == 1


def flip(file):
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)


def reformat(file):
    about, tensors = read_tensors(file)
    write_tensors(file, tensors, {**about, "format": 2})


def strip(file):
    about, tensors = read_tensors(file)
    write_tensors(file, tensors, {"format": about["format"], "lanes": about["lanes"]})


def change(**tensors):
    """Writes the file again, whole and with its check sum, with other tensors of the first seed; None removes one."""

    def damage(file):
        about, found = read_tensors(file)
        found |= {f"0/{name}": make and make(found.get(f"0/{name}")) for name, make in tensors.items()}
        write_tensors(file, {name: tensor for name, tensor in found.items() if tensor is not None}, about)

    return damage


def longer(history_EM):
    """The history with as many rows again."""
    more_EM = history_EM.clone()
    more_EM[:, 0] += len(history_EM)
    return torch.cat([history_EM, more_EM])


def tell(**entries):
    """Writes the file again, with other entries about its tensors."""

    def damage(file):
        about, found = read_tensors(file)
        write_tensors(file, found, about | entries)

    return damage


FAULTS = [
    (lambda file: file.write_bytes(file.read_bytes()[:-100]), TRIAL, "is not a checkpoint written by Phalanx"),
    (lambda file: file.write_text("nonsense"), TRIAL, "is not a checkpoint written by Phalanx"),
    (flip, TRIAL, "is damaged: its check sum is not the one that was written"),
    (reformat, TRIAL, "has format 2, this version of Phalanx reads 1"),
    (strip, TRIAL, "is damaged: 'trial'"),
    (tell(trial=[]), TRIAL, "is of another configuration"),
    (tell(versions=3), TRIAL, "is damaged"),
    (tell(lanes=[3]), TRIAL, "is damaged"),
    (tell(lanes=[]), TRIAL, "is damaged: nothing in it goes on"),
    (tell(lanes=[{"best_epoch": 9}]), TRIAL, "has the best epoch 9 of 3 trained ones"),
    (tell(lanes=[{"best_epoch": "2"}]), TRIAL, "has the best epoch '2' of 3"),
    (tell(lanes=[{"best_epoch": 1}, None]), TRIAL, "has the states of 2 seeds, and the trial has 1"),
    (change(params_TP=lambda own: own[:-1]), TRIAL, r"has params_TP as float32 \(\d+,\) instead of float32 \(\d+,\)"),
    (change(kept_TP=lambda own: own.double()), TRIAL, "has kept_TP as float64 .* instead of float32"),
    (change(params_TP=None, kept_TP=None), TRIAL, "seed 0 lacks params_TP; the state of seed 0 lacks kept_TP"),
    (change(mean_TP=None, square_TP=None), TRIAL, "lacks mean_TP; the state of seed 0 lacks square_TP"),
    (change(odd=lambda own: torch.zeros(3)), TRIAL, "has odd, which is not known"),
    (change(history_EM=lambda own: own[1:]), TRIAL, "2 rows of metrics that are not those of the epochs 1 to 2"),
    (change(history_EM=lambda own: own[:, 1:]), TRIAL, "is damaged"),
    (change(history_EM=lambda own: own / 0), TRIAL, "is damaged"),
    (change(history_EM=None), TRIAL, "is damaged"),
    (change(history_EM=longer), TRIAL, "6 trained epochs of 6, so nothing is left to train"),
    (lambda file: None, replace(TRIAL, seed=3, objective="val_loss"), "objective was 'val_accuracy', now 'val_loss'"),
    (lambda file: None, replace(TRIAL, seed=3), r"seed was \[0\], now \[3\]"),
    (lambda file: None, replace(TRIAL, trainer=TrainerSpec(epochs=3)), "trainer.epochs=3, and 3 are trained already"),
]


@pytest.mark.parametrize(("damage", "now", "said"), FAULTS, ids=[said[:40] for *_, said in FAULTS])
def test_one_that_cannot_be_used_is_refused_and_stays_and_a_sweep_sets_it_aside(tmp_path, caplog, damage, now, said):
    file = broken_off(tmp_path)
    damage(file)
    before = file.read_bytes()
    with pytest.raises(CheckpointError, match=said):
        checkpointer(tmp_path, now)
    assert file.read_bytes() == before
    assert not checkpointer(tmp_path, now, strict=False).states
    assert (tmp_path / "checkpoint.unused.safetensors").read_bytes() == before
    assert "the training begins anew" in caplog.text


def test_the_weights_of_a_seed_that_had_ended_are_checked_too(tmp_path):
    specs = [replace(TRIAL, seed=s, trainer=TrainerSpec(epochs=6, patience=1)) for s in range(4)]
    whole = train_cohort(specs, DATA)
    file = broken_off(tmp_path, *specs, epoch=min(result.epochs for result in whole) + 1)
    about, tensors = read_tensors(file)
    place = next(place for place, lane in enumerate(about["lanes"]) if "result" in lane)
    name = next(name for name in tensors if name.startswith(f"{place}/") and name.endswith("weight"))
    write_tensors(file, {**tensors, name: tensors[name].T.contiguous()}, about)
    with pytest.raises(CheckpointError, match=f"the state of seed {place} has {name.partition('/')[2]} as float32"):
        checkpointer(tmp_path, *specs)


def test_a_checkpoint_of_an_earlier_version_is_read_and_its_own_check_sum_counts(tmp_path):
    """It has a sum over its tensors, and the file has none."""
    from safetensors.torch import save

    file = broken_off(tmp_path)
    about, tensors = read_tensors(file)
    for right in (True, False):
        old = {**about, "sum": _sum(tensors) + (not right)}
        file.write_bytes(save(tensors, metadata={"phalanx": json.dumps(old)}))
        if right:
            assert len(checkpointer(tmp_path).states[0].history) == 3
        else:
            with pytest.raises(CheckpointError, match="its numbers are not those that were written"):
                checkpointer(tmp_path)


def test_other_data_is_refused(tmp_path):
    broken_off(tmp_path)
    found = RunCheckpointer(RunPaths(tmp_path), CheckpointSpec(), [TRIAL])
    with pytest.raises(CheckpointError, match="on other data"):
        found.begin(replace(DATA, digest="another digest"))


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine", "one_cycle"])
def test_more_epochs_are_those_of_a_longer_run_or_refused(tmp_path, schedule):
    short = replace(TRIAL, schedule=SCHEDULES[schedule]())
    longer = replace(short, trainer=TrainerSpec(epochs=9))
    broken_off(tmp_path, short)
    if schedule in ("cosine", "one_cycle"):
        with pytest.raises(CheckpointError, match=f"schedule={schedule} was laid out over trainer.epochs=6"):
            checkpointer(tmp_path, longer)
    else:
        (again,) = train_cohort([longer], DATA, checkpointer=checkpointer(tmp_path, longer))
        assert exactly(again) == exactly(train_trial(longer, DATA))


def test_only_schedules_that_say_so_depend_on_the_length(dataset):
    for name, schedule in SCHEDULES.items():
        specs = [replace(TRIAL, schedule=schedule(), trainer=TrainerSpec(epochs=n)) for n in (20, 40)]
        rates = [[row.lr for row in train_trial(spec, DATA).history[:20]] for spec in specs]
        assert (rates[0] != rates[1]) == schedule.needs_total_steps, name


def test_how_often_is_no_part_of_a_trial_and_its_faults_are_told():
    from hydra import compose, initialize_config_dir

    from phalanx.core.errors import SpecError
    from phalanx.runs.config import plain, register_resolvers
    from phalanx.runs.config import settings as settings_of
    from phalanx.runs.config_file import flat_values

    register_resolvers()
    with initialize_config_dir(str(ROOT / "conf")):
        one, two = (compose("config", [f"checkpoint.every_epochs={n}"]) for n in (3, 4))
        wrong = compose("config", ["checkpoint.every_epochs=0", "checkpoint.every_minutes=-1", "optimizer.lr=-1"])
    assert settings_of(one).checkpoint == CheckpointSpec(every_epochs=3)
    assert settings_of(one).trial == settings_of(two).trial
    assert not any("checkpoint" in key for key in flat_values(plain(one)))
    with pytest.raises(SpecError, match="3 faults") as caught:
        settings_of(wrong)
    assert "try checkpoint.every_epochs=10" in str(caught.value)
    assert "checkpoint.every_minutes must be a number above 0 or null, got -1" in str(caught.value)


def test_time_that_was_trained_before_counts(tmp_path):
    with pytest.raises(TrialTimeout):
        train_cohort([TRIAL], DATA, Deadline(60.0, Callback(), spent=61.0))


class Signals(Callback):
    """Sends this process signals in a step."""

    def __init__(self, *numbers, epoch=3):
        self.numbers, self.epoch = numbers, epoch

    def on_step(self, epoch, step):
        if (epoch, step) == (self.epoch, 1):
            for number in self.numbers:
                os.kill(os.getpid(), number)


@pytest.mark.parametrize(("signals", "kept"), [
    ([signal.SIGINT], 3), ([signal.SIGTERM], 3), ([signal.SIGINT, signal.SIGINT], None),
])  # fmt: skip
def test_the_epoch_in_which_a_signal_comes_is_kept_and_a_second_one_ends_at_once(
    tmp_path, interruptible, signals, kept
):
    keeping = checkpointer(tmp_path, every_epochs=None, every_minutes=10.0)
    with pytest.raises(KeyboardInterrupt) as caught:
        train_cohort([TRIAL], DATA, Signals(*signals), checkpointer=keeping)
    file = RunPaths(tmp_path).checkpoint
    assert file.is_file() == (kept is not None)
    assert caught.value.results[0].epochs == (kept or 2)
    if kept:
        (again,) = train_cohort([TRIAL], DATA, checkpointer=checkpointer(tmp_path))
        assert exactly(again) == exactly(train_trial(TRIAL, DATA))


def test_long_epochs_threads_and_handlers_of_others_do_not_wait(interruptible, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("phalanx.training.interrupts.time", SimpleNamespace(monotonic=lambda: now[0]))

    def handler_inside(end, wanted=True, seconds=1.0):
        with end.awaited(wanted):
            now[0] += seconds
            return signal.getsignal(signal.SIGTERM)

    end, own = EpochEnd(), signal.default_int_handler
    assert handler_inside(end) is own  # nothing is known of the first epoch
    assert handler_inside(end, wanted=False) is own
    assert handler_inside(end, seconds=6.0) is not own
    assert handler_inside(end) is own  # after a long one
    with pytest.raises(ZeroDivisionError), end.awaited(True):
        _ = 1 / 0
    assert signal.getsignal(signal.SIGTERM) is own
    found = []
    thread = threading.Thread(target=lambda: [found.append(handler_inside(end)) for _ in range(2)])
    thread.start()
    thread.join()
    assert found == [own, own]
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert handler_inside(end) is signal.SIG_IGN
