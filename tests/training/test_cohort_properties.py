"""What vectorising can break, tried at random: a trial's numbers must not depend on who trains beside it."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.cohorts import assert_same, cohorts, seeds, small_datasets

from phalanx import OPTIMIZERS, TrainerSpec, TrialSpec, partition
from phalanx.core.callbacks import Callback
from phalanx.core.result import Status
from phalanx.training.cohort import Cohort
from phalanx.training.loop import train_cohort, train_trial


@given(cohorts(), small_datasets(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_membership_order_and_size_do_not_matter(specs, dataset, random):
    alone = [train_trial(spec, dataset) for spec in specs]
    order = list(range(len(specs)))
    random.shuffle(order)
    chosen = order[: random.randint(1, len(order))]
    for position, result in zip(chosen, train_cohort([specs[i] for i in chosen], dataset), strict=True):
        assert_same(result, alone[position], specs[position])


@given(
    cohorts(),
    small_datasets(),
    st.lists(st.integers(0, 3), min_size=5, max_size=5),
    st.integers(0, 4),
    st.integers(1, 2),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_when_a_trial_joins_and_who_is_pruned_beside_it_do_not_matter(specs, dataset, delays, unlucky, fatal_epoch):
    """Each trial joins after so many epochs of the cohort; one of them is pruned on the way."""

    class Pruner(Callback):
        def on_epoch(self, rows):
            return [p for p, row in rows.items() if order[p] == unlucky and row.epoch == fatal_epoch]

    cohort, order, found, waiting = Cohort(specs[0], dataset, Pruner()), [], {}, dict(enumerate(delays[: len(specs)]))
    for epoch in range(50):
        due = [i for i, delay in waiting.items() if delay == epoch]
        if due:
            order += due
            cohort.join([specs[i] for i in due])
            waiting = {i: delay for i, delay in waiting.items() if i not in due}
        if cohort.running:
            found |= {order[position]: result for position, result in cohort.epoch().items()}
    assert sorted(found) == list(range(len(specs)))
    for i, result in found.items():
        if result.status is Status.PRUNED:
            assert (i, result.epochs) == (unlucky, fatal_epoch)
        else:
            assert_same(result, train_trial(specs[i], dataset), specs[i])


@given(st.lists(st.tuples(seeds, st.sampled_from([3, 4]), st.sampled_from(["sgd", "adam"])), max_size=12))
def test_a_partition_has_everyone_once_and_nobody_in_the_wrong_cohort(choices):
    specs = [TrialSpec(seed=s, trainer=TrainerSpec(batch_size=b), optimizer=OPTIMIZERS[o]()) for s, b, o in choices]
    parts = partition(specs)
    assert sorted(i for part in parts for i in part) == list(range(len(specs)))
    kinds = [{(specs[i].trainer.batch_size, specs[i].optimizer.name) for i in part} for part in parts]
    assert all(len(kind) == 1 for kind in kinds)
    assert len({next(iter(kind)) for kind in kinds}) == len(parts)
