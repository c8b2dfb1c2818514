"""How a cohort is divided: by shape, by memory, over cores. None of it may show in a trial's numbers."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from support.cohorts import assert_close, mixed

from phalanx import LOSSES, MLP, Callback, Status, TrainerSpec, TrialSpec
from phalanx.core.device import DeviceSpec
from phalanx.core.errors import TrainingInterrupted
from phalanx.training import autotune, planning
from phalanx.training import cohort as cohorts
from phalanx.training.autotune import ExecutionPlan
from phalanx.training.cohort import Cohort, measured_plans
from phalanx.training.loop import train_cohort, train_trial
from phalanx.training.planning import Cost, Workers, chunk_size, share, workers

CPU = torch.device("cpu")


@pytest.fixture
def two_workers(monkeypatch):
    """Every cohort of more than one trial in two chunks, each in a thread."""
    monkeypatch.setattr(planning, "WORKER_FLOPS", 0.0)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def size_of(model):
    return model.layout(64, 10).size


def waiting(*hidden):
    return [(i, TrialSpec(model=MLP(hidden=h), seed=i)) for i, h in enumerate(hidden)]


def divided(shapes):
    return [(shape.model.hidden, [position for position, _ in shape.members]) for shape in shapes]


def test_small_networks_are_padded_to_the_larger_ones_shape():
    shapes = share(waiting((8,), (16,), (8, 8), (8,)), [], size_of, Cost(32, "cpu"))
    assert divided(shapes) == [((16, 16), [1, 2, 0, 3])]


def test_a_network_for_which_padding_costs_more_than_a_chunk_has_its_own():
    shapes = share(waiting((8,), (1000,), (1000,), (9,)), [], size_of, Cost(32, "cpu"))
    assert divided(shapes) == [((1000,), [1, 2]), ((9,), [3, 0])]
    on_gpu = share(waiting((8,), (1000,), (1000,), (9,)), [], size_of, Cost(32, "cuda"))
    assert divided(on_gpu) == [((1000,), [1, 2, 3, 0])]
    unpadded = share(waiting((8,), (9,), (8,)), [], size_of, Cost(32, "cuda", pads=False))
    assert divided(unpadded) == [((9,), [1]), ((8,), [0, 2])]


@pytest.mark.parametrize(("pad", "n_chunks"), [(None, 2), (True, 1), (False, 2)])
def test_on_a_cpu_padding_has_to_be_asked_for(dataset, pad, n_chunks):
    cohort = Cohort(TrialSpec(device=DeviceSpec(pad=pad)), dataset)
    cohort.join([TrialSpec(model=MLP(hidden=(width,)), device=DeviceSpec(pad=pad)) for width in (4, 5)])
    cohort.epoch()
    assert len(cohort.chunks) == n_chunks


def test_a_stack_that_trains_already_takes_in_what_fits_and_is_not_widened():
    running = [MLP(hidden=(16, 16), dropout=0.5)]
    assert divided(share(waiting((8,), (16, 17)), running, size_of, Cost(32, "cpu"))) == [
        ((16, 16), [0]),
        ((16, 17), [1]),
    ]


def test_networks_that_cannot_be_padded_have_a_chunk_for_each_shape():
    trials = [(i, TrialSpec(model=MLP(hidden=(8 + i,), activation="sigmoid"))) for i in range(2)]
    assert divided(share(trials, [], size_of, Cost(32, "cuda"))) == [((9,), [1]), ((8,), [0])]


@pytest.mark.parametrize(
    ("n_trials", "flops", "threads", "expected"),
    [
        (1, 1e6, 2, Workers(1, 1)),
        (1, 1e9, 2, Workers(1, 2)),
        (64, 1e7, 2, Workers(1, 1)),
        (64, 4e7, 2, Workers(2, 1)),
        (64, 4e7, 1, Workers(1, 1)),
        (64, 4e7, 4, Workers(1, 4)),
    ],
)
def test_cores_are_workers_where_there_is_work_for_all(n_trials, flops, threads, expected):
    assert workers(CPU, DeviceSpec(threads=threads), n_trials, flops) == expected


def test_a_chunk_fits_into_the_cache():
    assert chunk_size(CPU, 64, 30_000, 5e5, 2) == 32
    assert chunk_size(CPU, 64, 2 << 20, 5e7, 2) == 4
    assert chunk_size(CPU, 8, 100 << 20, 1e9, 2) == 1
    assert chunk_size(torch.device("cuda"), 500, 100 << 20, 1e9, 1) == 500


def test_chunks_in_threads_give_what_each_trial_gives_alone(dataset, two_workers):
    specs = [replace(spec, device=DeviceSpec(pad=True)) for spec in mixed(7)]
    cohort = Cohort(specs[0], dataset)
    cohort.join(specs)
    cohort.epoch()
    assert len(cohort.chunks) == 2
    with ThreadPoolExecutor(1) as pool:  # a thread that starts later finds torch as it was
        assert pool.submit(torch.get_num_threads).result() == 2
    for spec, result in zip(specs, train_cohort(specs, dataset), strict=True):
        assert_close(result, train_trial(spec, dataset))


@pytest.mark.parametrize(
    ("found", "said"), [((1, 2), "cpu (2 threads)"), ((1, 1), "cpu (1 thread)"), ((2, 1), "cpu (1 thread)")]
)
def test_a_result_says_how_many_threads_have_trained_it(found, said, dataset, monkeypatch):
    monkeypatch.setattr(cohorts, "workers", lambda *_: Workers(*found))
    monkeypatch.setattr(cohorts, "chunk_size", lambda *_: 1)
    specs = [TrialSpec(seed=seed, trainer=TrainerSpec(epochs=1)) for seed in range(2)]
    assert [result.device for result in train_cohort(specs, dataset)] == [said, said]


def test_what_does_not_fit_into_memory_waits_for_its_turn(dataset, monkeypatch):
    specs = [TrialSpec(seed=i, trainer=TrainerSpec(epochs=2 + i % 2)) for i in range(7)]
    one = 4 * cohorts.BUFFERS * specs[0].model.layout(dataset.n_features, dataset.n_classes).size
    most = []
    monkeypatch.setattr(cohorts, "free_bytes", lambda device: 3 * one if not most else one)

    class Watcher(Callback):
        def on_epoch(self, rows):
            most.append(len(rows))
            return ()

    results = train_cohort(specs, dataset, Watcher())
    assert max(most) < 7
    for spec, result in zip(specs, results, strict=True):
        assert_close(result, train_trial(spec, dataset))


def test_the_fastest_plan_is_taken_if_it_is_clearly_faster(dataset, monkeypatch):
    specs = mixed(6)
    rule = ExecutionPlan(3, Workers(2, 1))
    candidates = autotune.execution_plans(rule, 6, 2)
    assert candidates == [
        rule,
        ExecutionPlan(1, Workers(2, 1)),
        ExecutionPlan(3, Workers(1, 2)),
        ExecutionPlan(1, Workers(1, 2)),
    ]
    times = dict.fromkeys(candidates, 1.0) | {ExecutionPlan(1, Workers(2, 1)): 0.9}
    monkeypatch.setattr(autotune, "_seconds", lambda plan, *others: times[plan])
    assert autotune.fastest(candidates, None, specs[0], None) == ExecutionPlan(1, Workers(2, 1))
    times[ExecutionPlan(1, Workers(2, 1))] = 0.97  # not clearly faster
    assert autotune.fastest(candidates, None, specs[0], None) == rule


@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_a_cohort_that_trains_long_is_measured_once_and_its_results_stay(dataset, monkeypatch, caplog, weights):
    loss = LOSSES["cross_entropy"](class_weights=weights)
    specs = [TrialSpec(seed=i, loss=loss, trainer=TrainerSpec(epochs=2)) for i in range(4)]
    monkeypatch.setattr(cohorts, "AUTOTUNE_FROM_S", 0.0)
    measured_plans.cache_clear()
    with caplog.at_level("INFO", logger="phalanx.training.autotune"):
        results = train_cohort(specs, dataset)
        train_cohort(specs, dataset)
    assert caplog.text.count("autotune, ms per trial and step: ") == 1
    for spec, result in zip(specs, results, strict=True):
        assert_close(result, train_trial(spec, dataset))


def test_an_interrupt_ends_every_thread_and_keeps_what_was_reached(dataset, two_workers):
    specs = [TrialSpec(seed=i, trainer=TrainerSpec(epochs=50)) for i in range(4)]

    class Impatient(Callback):
        def on_epoch(self, rows):
            if next(iter(rows.values())).epoch == 3:
                raise KeyboardInterrupt
            return ()

    with pytest.raises(TrainingInterrupted) as caught:
        train_cohort(specs, dataset, Impatient())
    assert [(r.status, r.epochs) for r in caught.value.results] == [(Status.FAILED, 3)] * 4


def test_an_error_in_one_thread_ends_the_epoch_of_all_and_is_passed_on(dataset, two_workers):
    specs = [TrialSpec(seed=i, trainer=TrainerSpec(epochs=50, batch_size=2)) for i in range(4)]
    seen, start, broken = [], threading.Barrier(2, timeout=30), threading.Event()

    class Broken(Callback):
        def on_step(self, epoch, step):
            if step == 1:
                start.wait()
            seen.append((threading.get_ident(), step))
            if step == 5 and threading.get_ident() == seen[0][0]:
                broken.set()
                raise RuntimeError("a bug")
            if step > 5:  # the other thread is not through before the first one gets to its error
                broken.wait(30)
                time.sleep(0.01)

    with pytest.raises(RuntimeError, match="a bug"):
        train_cohort(specs, dataset, Broken())
    last = dict(seen)
    assert len(last) == 2
    assert max(last.values()) < dataset.train.y_N.shape[0] // 2


def test_trials_that_never_began_are_interrupted_too(dataset):
    cohort = Cohort(TrialSpec(), dataset)
    cohort.join([TrialSpec(), replace(TrialSpec(), seed=1)])
    assert [r.epochs for r in cohort.abandon().values()] == [0, 0]
    assert cohort.running == 0
