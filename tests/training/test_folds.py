"""Trials of different folds and split seeds in one cohort: each gives the bits that it gives alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.cohorts import assert_close, assert_same, cohorts
from support.given_rows import Rows, folds, table, with_data
from support.modules import BatchNormed, Perceptron

from phalanx import LOSSES, MLP, TrainerSpec, TrialSpec, load_dataset, partition, train_cohort, train_trial
from phalanx.core.callbacks import Callback
from phalanx.core.errors import RequestError
from phalanx.core.result import Status
from phalanx.data.digits import Digits
from phalanx.nn.losses.function_loss import function_loss
from phalanx.nn.models.module_spec import module_spec
from phalanx.training.cohort import BUFFERS, Cohort
from phalanx.training.training_rows import n_filled, shared_form


@st.composite
def splits(draw: st.DrawFn) -> list[Rows]:
    """Five different splits of a table: folds whose sizes differ, folds of several seeds, or held-out rows."""
    n, n_features = draw(st.sampled_from([66, 67, 128, 131])), draw(st.sampled_from([1, 2, 6]))
    kind = draw(st.sampled_from(["kfold", "kfold", "repeated_kfold", "shuffle_split", "holdout"]))
    n_folds = draw(st.sampled_from([2, 3, 5]))
    options: dict[str, Any] = {"resampling": kind, "folds": n_folds, "stratify": draw(st.booleans()), "repeats": 5}
    most = {"kfold": n_folds, "repeated_kfold": 5 * n_folds, "shuffle_split": 5, "holdout": 1}[kind]
    choices = st.tuples(st.integers(0, most - 1), st.integers(0, 2))
    return [
        table(n, n_features, fold=fold, split_seed=seed, **options) for fold, seed in (draw(choices) for _ in range(5))
    ]


@given(cohorts(), splits(), st.booleans(), st.randoms(use_true_random=False))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_which_folds_train_beside_it_does_not_matter(specs, data, drop_last, random):
    drop_last |= specs[0].model.norm == "batch"  # which cannot train on a last batch of one sample
    specs, datasets = with_data(specs, data, drop_last=drop_last, metrics=("f1_macro", "brier"))
    order = list(range(len(specs)))
    random.shuffle(order)
    chosen = order[: random.randint(1, len(order))]
    for group in partition([specs[i] for i in chosen], [datasets[i] for i in chosen]):
        places = [chosen[i] for i in group]
        together = train_cohort([specs[i] for i in places], [datasets[i] for i in places])
        for i, result in zip(places, together, strict=True):
            assert_same(result, train_trial(specs[i], datasets[i]), specs[i])
            assert result.data_digest == datasets[i].digest


@given(cohorts(), splits())
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_folds_that_share_one_table_give_the_numbers_of_prepared_rows(specs, data):
    specs, prepared = with_data(specs, data, metrics=("f1_macro",), drop_last=specs[0].model.norm == "batch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("phalanx.data.shared_rows.LARGEST_BYTES", 0)
        patch.setattr("phalanx.training.training_rows.LARGEST_BYTES", 0)
        shared = [load_dataset(spec.data) for spec in specs]
        assert {d.train.table is None for d in shared} == {specs[0].data.resampling == "holdout"}
        together = train_cohort(specs, shared)
    for spec, dataset, result in zip(specs, prepared, together, strict=True):
        assert_same(result, train_trial(spec, dataset), spec)


@pytest.mark.parametrize("data", [folds(67), [table(67)] * 3], ids=["folds", "one split"])
def test_batches_that_are_gathered_one_by_one_are_those_of_an_epoch(data, monkeypatch):
    specs = [TrialSpec(seed=seed, trainer=TrainerSpec(epochs=2, batch_size=8)) for seed in (0, 0, 1)]
    specs, datasets = with_data(specs, data)
    datasets = datasets if data[0] is not data[1] else datasets[:1] * 3
    at_once = train_cohort(specs, datasets)
    monkeypatch.setattr("phalanx.training.training_rows.EPOCH_BYTES", 0)
    for one, other, spec in zip(at_once, train_cohort(specs, datasets), specs, strict=True):
        assert_same(one, other, spec)


def test_folds_whose_encoders_find_other_columns_are_stacks_of_their_own():
    data = [table(66, 2), table(66, 3), table(67, 2)]
    specs, datasets = with_data([TrialSpec(seed=seed, trainer=TrainerSpec(epochs=2)) for seed in range(3)], data)
    cohort = Cohort(specs[0], datasets[0])
    cohort.join(specs, datasets=datasets)
    cohort.epoch()
    assert [sorted(chunk.progress) for chunk in cohort.chunks] == [[0], [1], [2]]
    for spec, dataset, result in zip(specs, datasets, train_cohort(specs, datasets), strict=True):
        assert_same(result, train_trial(spec, dataset), spec)


def test_large_folds_are_one_stack_with_one_table(monkeypatch):
    monkeypatch.setattr("phalanx.data.shared_rows.LARGEST_BYTES", 0)
    monkeypatch.setattr("phalanx.training.training_rows.LARGEST_BYTES", 0)
    specs, datasets = with_data([TrialSpec(seed=seed, trainer=TrainerSpec(epochs=2)) for seed in range(5)], folds(67))
    assert {id(one.train.table) for one in datasets} == {id(datasets[0].val.table)}
    cohort = Cohort(specs[0], datasets[0])
    cohort.join(specs, datasets=datasets)
    cohort.epoch()
    (chunk,) = cohort.chunks
    assert chunk.running == 5
    assert chunk.rows.split.table is datasets[0].train.table


def test_a_largest_fold_is_itself_beside_a_smaller_one():
    """Its weights are 1 exactly: 83 times the reciprocal of 83, in float32, is not."""
    data = [table(128, 2, fold=fold, resampling="kfold", folds=5) for fold in (3, 0)]
    specs, datasets = with_data(
        [TrialSpec(model=MLP(hidden=(6, 5))), TrialSpec(seed=1, model=MLP(hidden=(6, 5)))], data
    )
    specs = [replace(spec, trainer=replace(spec.trainer, batch_size=None, epochs=3)) for spec in specs]
    assert [len(dataset.train) for dataset in datasets] == [83, 82]
    together = train_cohort(specs, datasets)
    for spec, dataset, result in zip(specs, datasets, together, strict=True):
        assert_same(result, train_trial(spec, dataset), spec)


@given(cohorts(), st.integers(0, 4), st.lists(st.integers(0, 3), min_size=5, max_size=5))
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_folds_join_and_are_pruned_at_any_epoch(specs, unlucky, delays):
    """Those that train beside it and the rows of the stack then change in mid-training."""

    class Pruner(Callback):
        def on_epoch(self, rows):
            return [p for p, row in rows.items() if order[p] == unlucky and row.epoch == 1]

    specs, datasets = with_data(specs, folds(67))
    cohort, order, found = Cohort(specs[0], datasets[0], Pruner()), list[int](), {}
    for epoch in range(50):
        if due := [i for i in range(len(specs)) if delays[i] == epoch]:
            order += due
            cohort.join([specs[i] for i in due], datasets=[datasets[i] for i in due])
        if cohort.running:
            found |= {order[position]: result for position, result in cohort.epoch().items()}
    assert sorted(found) == list(range(len(specs)))
    for i, result in found.items():
        if result.status is not Status.PRUNED:
            assert_same(result, train_trial(specs[i], datasets[i]), specs[i])


@pytest.mark.parametrize("batch_size", [None, 7, 42, 500])
@pytest.mark.parametrize("loss", ["cross_entropy", "one_vs_all", "sampled_softmax"])
def test_what_fills_up_a_batch_counts_nothing(batch_size, loss):
    """A trial that is filled up trains as one of the same rows that is not, which torch's own loop is the twin of."""
    metrics = ("f1_macro", "balanced_accuracy", "auroc", "brier")
    data = [load_dataset(one) for one in folds(67)]
    assert sorted(len(one.train) for one in data) == [43, 43, 43, 43, 44]
    smaller = next(one for one in data if len(one.train) == 43)
    extra = {"n_sampled": 2} if loss == "sampled_softmax" else {}
    spec = TrialSpec(
        loss=LOSSES[loss](**extra), model=MLP(hidden=(6,)),
        trainer=TrainerSpec(epochs=4, batch_size=batch_size, metrics=metrics),
    )  # fmt: skip
    assert n_filled(spec, smaller) == 44
    filled, plain = train_trial(spec, smaller), train_trial(spec, replace(smaller, largest_train=None))
    if loss != "sampled_softmax":
        assert_close(filled, plain)
        for one, other in zip(filled.history, plain.history, strict=True):
            assert one.further == pytest.approx(other.further, rel=1e-5)
    assert filled.metrics.flat() == pytest.approx(plain.metrics.flat(), rel=1e-4)


def test_trials_fill_up_to_the_largest_fold_of_as_many_steps():
    """40 rows in one fold and 39 in the others: five full batches of 8, or four and one of 7."""
    data = [load_dataset(one) for one in folds(61, n_folds=5)]
    sizes = [len(one.train) for one in data]
    assert sorted(sizes) == [39, 39, 39, 39, 40]
    for batch_size, expected in {8: [40] * 5, 13: sizes, None: [40] * 5, 39: sizes}.items():
        spec = TrialSpec(trainer=TrainerSpec(batch_size=batch_size))
        assert [n_filled(spec, one) for one in data] == expected
    dropping = TrialSpec(trainer=TrainerSpec(batch_size=7, drop_last=True))
    assert [n_filled(dropping, one) for one in data] == [35] * 5
    assert len({shared_form(TrialSpec(trainer=TrainerSpec(batch_size=13)), one) for one in data}) == 2


def no_mean(logits, y):
    return torch.nn.functional.cross_entropy(logits, y, reduction="none")


def test_what_may_compute_a_sample_from_its_whole_batch_is_not_filled_up(monkeypatch):
    data = [load_dataset(one) for one in folds(67)]
    normed, own_loss = module_spec(BatchNormed)(units=4), function_loss(no_mean)()
    for spec in (TrialSpec(model=module_spec(Perceptron)()), TrialSpec(model=normed), TrialSpec(loss=own_loss)):
        assert [n_filled(spec, one) for one in data] == [len(one.train) for one in data]
    specs = [
        TrialSpec(data=one, model=normed, seed=seed, trainer=TrainerSpec(epochs=1, batch_size=11))
        for one in folds(67)[:2]
        for seed in (0, 1)
    ]  # fmt: skip
    datasets = [load_dataset(spec.data) for spec in specs]
    assert partition(specs, datasets) == [[0, 1, 2, 3]]
    for spec, dataset, result in zip(specs, datasets, train_cohort(specs, datasets), strict=True):
        assert_same(result, train_trial(spec, dataset), spec)
    assert len({shared_form(spec, one) for spec, one in zip(specs, datasets, strict=True)}) == 2
    layout = MLP.layout
    monkeypatch.setattr(MLP, "layout", lambda *of: replace(layout(*of), n_buffers=1, dtypes=(torch.float32,) * 6))
    assert [n_filled(TrialSpec(), one) for one in data] == [len(one.train) for one in data]


def test_held_out_rows_are_never_filled_up():
    for resampling in ("holdout", "shuffle_split"):
        dataset = load_dataset(table(67, resampling=resampling))
        assert dataset.largest_train is None
        assert n_filled(TrialSpec(), dataset) == len(dataset.train)


def test_folds_that_do_not_fit_into_memory_wait(monkeypatch):
    specs, datasets = with_data([TrialSpec(model=MLP(hidden=(2,)), trainer=TrainerSpec(epochs=1))] * 5, folds(67))
    one = 4 * BUFFERS * specs[0].model.layout(3, 3).size
    tables = sum(dataset.train.x_ND.nbytes for dataset in datasets)
    monkeypatch.setattr("phalanx.training.cohort.free_bytes", lambda device: tables + 2 * one)
    together = list[int]()

    class Watcher(Callback):
        def on_epoch(self, rows):
            together.append(len(rows))
            return ()

    results = train_cohort(specs, datasets, Watcher())
    assert together[0] == 2
    for spec, dataset, result in zip(specs, datasets, results, strict=True):
        assert_same(result, train_trial(spec, dataset), spec)


def test_the_public_functions_keep_splits_apart_without_their_data():
    specs = [TrialSpec(data=Digits(split_seed=seed), trainer=TrainerSpec(epochs=1)) for seed in (0, 1, 0)]
    datasets = [load_dataset(spec.data) for spec in specs]
    assert partition(specs) == [[0, 2], [1]]
    assert partition(specs, datasets) == [[0, 1, 2]]
    with pytest.raises(RequestError, match=r"they differ in static fields: data.split_seed: 0 and 1"):
        train_cohort(specs, datasets[0])
    specs[1] = replace(specs[1], data=Digits(n_val=200))
    with pytest.raises(RequestError, match=r"data.n_val"):
        train_cohort(specs, [load_dataset(spec.data) for spec in specs])
