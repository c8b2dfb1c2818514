"""Intervals, paired tests and Bonferroni's correction: against scipy, published figures, definitions and simulation."""

from __future__ import annotations

import math
import warnings
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from phalanx.analysis.equivalence import equivalence, seeds_needed
from phalanx.analysis.statistics import (
    Difference,
    Summary,
    bonferroni,
    compare,
    lower_bound,
    paired,
    summarise,
)
from phalanx.analysis.student import resolution
from phalanx.analysis.wording import format_p, sentence
from phalanx.core.metrics import limits_of

# Student 1908: hours of sleep gained by ten patients with each of two drugs. R prints t = -4.0621, df = 9,
# p = 0.002833, 95 % interval -2.4598858 to -0.7001142.
DRUG_1 = dict(enumerate([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]))
DRUG_2 = dict(enumerate([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]))

p_lists = st.lists(st.none() | st.floats(0, 1) | st.sampled_from([0.0, 0.01, 0.02, 0.5, 1.0]), max_size=7)
sevenths = st.integers(-700, 700).map(lambda k: k / 7)
pairs_of_runs = st.lists(st.tuples(sevenths, sevenths), min_size=2, max_size=12).map(
    lambda rows: tuple(dict(enumerate(column)) for column in zip(*rows, strict=True))
)
shares = st.lists(st.integers(0, 36).map(lambda k: k / 36) | st.just(1.0), min_size=2, max_size=10)

MANY = settings(max_examples=120, deadline=None)  # a busy machine is no fault


def within(rate, wanted, n, sigmas=3.5):
    return abs(rate - wanted) < sigmas * math.sqrt(wanted * (1 - wanted) / n)


def near(x, y, rel=1e-9):
    return x is y if x is None or y is None else x == pytest.approx(y, rel=rel)


def rows(seed, *shape, loc=0.0):
    return np.random.default_rng(seed).normal(loc, 1.0, shape).tolist()


def with_moments(mean, std, n):
    """Two groups whose differences have exactly this mean and standard deviation."""
    pattern = np.arange(n) - (n - 1) / 2
    differences = mean + std * pattern / pattern.std(ddof=1)
    return dict(enumerate(differences.tolist())), dict.fromkeys(range(n), 0.0)


# --- one group


@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_a_summary_agrees_with_scipy(level):
    values = list(DRUG_2.values())
    found = summarise(DRUG_2, level)
    low, high = stats.t.interval(level, 9, np.mean(values), stats.sem(values))
    assert asdict(found) == pytest.approx(
        {"n": 10, "mean": 2.33, "std": np.std(values, ddof=1), "low": low, "high": high}
    )
    assert found == summarise(values, level)


def test_one_value_has_no_interval_and_equal_values_one_of_no_width():
    assert summarise({7: 0.25}) == Summary(1, 0.25, None, None, None)
    assert summarise([0.1] * 3) == Summary(3, 0.1, 0.0, 0.1, 0.1)
    assert summarise([0.1 + 0.2, 0.3]).std == 0  # the two differ by rounding only


@given(shares, shares, st.sampled_from([1.0, 100.0]))
@MANY
def test_an_interval_is_cut_at_what_the_metric_cannot_leave(a, b, top):
    a, b = ([top * share for share in group] for group in (a, b))
    whole, found = summarise(a), summarise(a, limits=(0.0, top))
    assert 0 <= found.low <= found.mean <= found.high <= top
    assert found.low == max(whole.low, 0)
    assert found.high == min(whole.high, top)
    assert (found.n, found.mean, found.std) == (whole.n, whole.mean, whole.std)
    groups = dict(enumerate(a)), dict(enumerate(b))
    whole, found = paired(*groups), paired(*groups, limits=(0.0, top))
    assert -top <= found.low <= found.mean <= found.high <= top
    assert (found.low, found.high) == (max(whole.low, -top), min(whole.high, top))
    assert (found.p, found.effect, found.std) == (whole.p, whole.effect, whole.std)
    whole, found = whole.at(0.999), found.at(0.999)
    assert (found.low, found.high) == (max(whole.low, -top), min(whole.high, top))


def test_a_cut_interval_holds_its_mean_also_where_rounding_left_the_range():
    loss = summarise([-1e-7, -2e-7, 3e-7, -2e-7], limits=(0.0, math.inf))  # NLL by hand: -log(1e-7 + 1) is below 0
    assert loss.low == loss.mean < 0 < loss.high


@pytest.mark.parametrize(
    ("metric", "limits"),
    [
        ("test_accuracy", (0, 1)),
        ("val_likelihood", (0, 1)),
        ("val_loss", (0, math.inf)),
        ("n_parameters", (0, math.inf)),
        ("train_seconds", (0, math.inf)),
        ("val_of_somebody_else", (-math.inf, math.inf)),
    ],
)
def test_each_metric_has_its_limits(metric, limits):
    assert limits_of(metric) == limits


def test_no_value_is_refused():
    with pytest.raises(ValueError, match="mse has no value"):
        summarise({}, name="mse")
    with pytest.raises(ValueError, match="mse needs two values or more for a bound, got 1"):
        lower_bound([1.0], "maximize", name="mse")


def test_the_bound_is_on_the_bad_side():
    mean, margin = np.mean(list(DRUG_1.values())), stats.t.ppf(0.9, 9) * stats.sem(list(DRUG_1.values()))
    assert lower_bound(DRUG_1, "maximize", 0.9) == pytest.approx(mean - margin)
    assert lower_bound(DRUG_1, "minimize", 0.9) == pytest.approx(mean + margin)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e301, None, "0.5"])
def test_a_value_that_is_no_finite_number_is_named(bad):
    for call in (
        lambda: summarise({3: 0.5, 11: bad}, name="mse"),
        lambda: lower_bound({3: 0.5, 11: bad}, "maximize", name="mse"),
        lambda: paired({3: 0.5}, {3: 0.4, 11: bad}, ("nll", "mse")),
        lambda: compare({"nll": {3: 0.5}, "mse": {3: 0.4, 11: bad}}, "maximize"),
    ):
        with pytest.raises(ValueError, match="mse, seed 11: a finite number is needed"):
            call()
    with pytest.raises(ValueError, match="values, value 1"):
        summarise([0.5, bad])


@pytest.mark.parametrize("level", [0, 1, 95, math.nan])
def test_an_impossible_level_is_refused(level):
    two = {0: 1.0, 1: 2.0}
    for call in (
        lambda: summarise(two, level),
        lambda: lower_bound(two, "maximize", level),
        lambda: paired(two, two, level=level),
        lambda: paired({}, {}, level=level),
        lambda: seeds_needed(1.0, 1.0, level),
        lambda: sentence(paired(DRUG_1, DRUG_2), level=level),
    ):
        with pytest.raises(ValueError, match="level lies between 0 and 1"):
            call()


# --- two groups


def test_the_paired_test_gives_the_published_figures_of_students_sleep_data():
    found = paired(DRUG_1, DRUG_2, ("one", "two"))
    assert (found.a, found.b, found.n) == ("one", "two", 10)
    assert found.mean == pytest.approx(-1.58, abs=1e-12)
    assert found.p == found.p_adjusted == pytest.approx(0.002833, abs=5e-7)
    assert (found.low, found.high) == pytest.approx((-2.4598858, -0.7001142), abs=5e-8)


@pytest.mark.parametrize("seed", range(5))
def test_the_paired_test_agrees_with_scipy(seed):
    n = (2, 3, 5, 10, 60)[seed]
    a, b = rows(seed, n), rows(seed + 100, n, loc=0.5)
    theirs = stats.ttest_rel(a, b)
    found = paired(dict(enumerate(a)), dict(enumerate(b)), level=0.9)
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval(0.9)), rel=1e-9)


def test_only_shared_seeds_count_and_their_order_does_not():
    a = DRUG_1 | {99: 1e6}
    b = dict(reversed(DRUG_2.items())) | {98: -1e6}
    assert paired(a, b) == paired(DRUG_1, DRUG_2)


@pytest.mark.parametrize("shared", [0, 1])
def test_fewer_than_two_shared_seeds_give_no_p_value(shared):
    found = paired({0: 1.0, 1: 2.0}, dict.fromkeys(range(2 - shared, 4), 0.5))
    assert (found.n, found.mean) == (shared, 1.5 if shared else None)
    assert {found.low, found.high, found.p, found.p_adjusted, found.effect, found.std} == {None}


def test_two_shared_seeds_give_a_p_value_but_no_effect_size():
    found = paired({0: 1.0, 1: 2.0}, {0: 0.5, 1: 1.25})
    assert found.p == pytest.approx(stats.ttest_rel([1.0, 2.0], [0.5, 1.25]).pvalue)
    assert found.effect is None


@pytest.mark.parametrize(
    ("a", "b", "mean", "p", "effect"),
    [
        ([0.9, 0.8, 0.7], [0.9, 0.8, 0.7], 0.0, 1.0, 0.0),
        ([0.1 + 0.2, 0.6, 1.0], [0.3, 0.1 + 0.2 + 0.3, 1.0], 0.0, 1.0, 0.0),  # apart by rounding only
        ([0.9, 0.8, 0.7], [0.8, 0.7, 0.6], 0.1, 0.0, None),  # 0.9 - 0.8 and 0.7 - 0.6 differ by rounding
        ([1.5, 2.5, 3.5], [2.0, 3.0, 4.0], -0.5, 0.0, None),
        ([1e300, 1e300, 1e300], [-1e300, -1e300, -1e300], 2e300, 0.0, None),
    ],
)
def test_differences_without_spread_have_a_p_value_and_raise_no_warning(a, b, mean, p, effect):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = paired(dict(enumerate(a)), dict(enumerate(b)))
    assert (found.mean, found.low, found.high) == pytest.approx((mean,) * 3, rel=1e-12)
    assert (found.p, found.effect, found.std) == (p, effect, 0.0)


@pytest.mark.parametrize(("n", "correction"), [(3, 0.5642), (4, 0.7236), (5, 0.7979), (20, 0.9599)])
def test_the_effect_is_cohens_d_times_hedges_correction(n, correction):
    found = paired(*with_moments(1.7, 1.0, n))
    assert found.effect == pytest.approx(1.7 * correction, abs=2e-4)


def test_the_effect_is_right_on_average():
    found = [paired(dict(enumerate(a)), dict.fromkeys(range(5), 0.0)).effect for a in rows(4, 6000, 5, loc=0.8)]
    assert np.mean(found) == pytest.approx(0.8, abs=3.5 * np.std(found) / math.sqrt(len(found)))


@given(pairs_of_runs)
@MANY
def test_swapping_the_groups_turns_every_sign(groups):
    a, b = groups
    one, two = paired(a, b, ("a", "b")), paired(b, a, ("b", "a"))
    assert (one.mean, one.low, one.high) == pytest.approx((-two.mean, -two.high, -two.low), rel=1e-9, abs=1e-9)
    assert one.p == pytest.approx(two.p, rel=1e-9)
    assert near(one.effect, None if two.effect is None else -two.effect)
    assert one.better == two.better
    assert one.shown == two.shown
    if one.shown:
        assert sentence(one) == sentence(two)


@given(pairs_of_runs, st.floats(0.01, 100), st.floats(-100, 100))
@MANY
def test_shift_leaves_all_and_scale_leaves_p_and_effect(groups, scale, shift):
    plain = paired(*groups)
    moved = paired(*({seed: scale * value + shift for seed, value in group.items()} for group in groups))
    expected = [scale * x for x in (plain.mean, plain.low, plain.high, plain.std)]
    assert [moved.mean, moved.low, moved.high, moved.std] == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert moved.p == pytest.approx(plain.p, rel=1e-6)
    assert near(moved.effect, plain.effect, rel=1e-6)


# --- several comparisons


def test_bonferroni_gives_published_figures():
    # the example in the documentation of Pingouin
    found = bonferroni([0.5, 0.003, 0.32, 0.054, 0.0003])
    assert found == pytest.approx([1.0, 0.015, 1.0, 0.27, 0.0015])


@given(p_lists)
@MANY
def test_bonferroni_counts_what_was_tested(p_values):
    n = sum(p is not None for p in p_values)
    assert bonferroni(p_values) == [None if p is None else min(1.0, n * p) for p in p_values]


@pytest.mark.parametrize("bad", [-0.1, 1.1, math.nan])
def test_bonferroni_refuses_what_is_no_p_value(bad):
    with pytest.raises(ValueError, match="between 0 and 1"):
        bonferroni([0.5, bad])


@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(3, 8), st.sampled_from([0.8, 0.95, 0.99]))
@MANY
def test_interval_and_test_of_a_pair_never_contradict_each_other(seed, n_groups, n_seeds, level):
    shifts = np.random.default_rng(seed + 1).normal(0, 1.5, n_groups)
    table = np.asarray(rows(seed, n_groups, n_seeds)) + shifts[:, None]
    for d in compare({str(i): dict(enumerate(row)) for i, row in enumerate(table.tolist())}, "maximize", level=level):
        assert d.shown == (not d.low <= 0 <= d.high)


def test_compare_adjusts_over_all_pairs_or_all_against_the_baseline():
    groups = {name: dict(enumerate(row)) for name, row in zip("abcd", rows(1, 4, 6), strict=True)}
    for baseline, names in ((None, ["ab", "ac", "ad", "bc", "bd", "cd"]), ("c", ["ac", "bc", "dc"])):
        found = compare(groups, "minimize", baseline, level=0.9)
        assert [d.a + d.b for d in found] == names
        assert [d.p_adjusted for d in found] == bonferroni([d.p for d in found])
        level = 1 - (1 - 0.9) / len(names)
        alone = [paired(groups[a], groups[b], (a, b), "minimize", level) for a, b in names]
        assert [replace(d, p_adjusted=d.p, pairs=1, level=level) for d in found] == alone
        assert {d.pairs for d in found} == {len(names)}


def test_a_pair_without_shared_seeds_is_not_counted():
    groups = {"a": DRUG_1, "b": DRUG_2, "c": {77: 1.0}}
    ab, ac, bc = compare(groups, "maximize")
    assert (ac.p_adjusted, bc.p_adjusted) == (None, None)
    assert ab.p_adjusted == ab.p == pytest.approx(0.002833, abs=5e-7)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="baseline 'x' is not one of a, b"):
        compare({"a": DRUG_1, "b": DRUG_2}, "maximize", baseline="x")
    for call in (lambda: lower_bound(DRUG_1, "max"), lambda: compare({"a": {}, "b": {}}, "max")):
        with pytest.raises(ValueError, match="maximize or minimize, got 'max'"):
            call()


# --- by simulation


def test_intervals_hold_the_true_mean_as_often_as_they_say():
    found = [summarise(row) for row in rows(2, 6000, 4, loc=3.0)]
    assert within(np.mean([s.low <= 3 <= s.high for s in found]), 0.95, 6000)
    differences = [
        paired(dict(enumerate(a)), dict(enumerate(b)), level=0.8)
        for a, b in zip(rows(5, 6000, 4, loc=1.0), rows(6, 6000, 4), strict=True)
    ]
    assert within(np.mean([d.low <= 1 <= d.high for d in differences]), 0.8, 6000)


def test_bounds_hold_as_often_as_they_say():
    table = rows(3, 6000, 4)
    assert within(np.mean([lower_bound(row, "maximize") <= 0 for row in table]), 0.95, 6000)
    assert within(np.mean([lower_bound(row, "minimize", 0.8) >= 0 for row in table]), 0.8, 6000)


def alarms(shifts, baseline, *, adjusted, n=1500, n_seeds=5):
    """The share of `n` comparisons that show a difference between two groups with the same shift.

    A seed moves all groups alike, as one draw of the data order does.
    """
    generator = np.random.default_rng(0)
    values = generator.normal(size=(n, len(shifts), n_seeds)) + generator.normal(size=(n, 1, n_seeds))
    values += np.asarray(shifts)[:, None]
    false = 0
    for table in values.tolist():
        found = compare({i: dict(enumerate(row)) for i, row in enumerate(table)}, "maximize", baseline)
        found = found if adjusted else [replace(d, p_adjusted=d.p) for d in found]
        false += any(d.shown for d in found if shifts[d.a] == shifts[d.b])
    return false / n


@pytest.mark.parametrize("shifts", [(0,) * 6, (0, 0, 0, 50, 100, 150)], ids=["all equal", "some differ"])
@pytest.mark.parametrize("baseline", [None, 0], ids=["all pairs", "baseline"])
def test_a_false_alarm_among_six_groups_is_rarer_than_five_percent(shifts, baseline):
    limit = 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1500)
    assert 0.002 < alarms(shifts, baseline, adjusted=True) < limit


def test_without_adjustment_false_alarms_are_common():
    """What the test above would see without the correction, so that its limit means something."""
    assert alarms((0,) * 6, None, adjusted=False, n=300) > 0.2


def coarse_alarms(*, step, samples=40, n=600, n_groups=5, n_seeds=3):
    """The share of comparisons of equally good classifiers, each judged on few samples, that show a difference."""
    counts = np.random.default_rng(1).binomial(samples, 0.965, (n, n_groups, n_seeds)) / samples
    false = 0
    for table in counts.tolist():
        groups = {i: dict(enumerate(row)) for i, row in enumerate(table)}
        false += any(d.shown for d in compare(groups, "maximize", step=resolution(groups.values()) if step else 0.0))
    return false / n


def test_a_coarse_metric_raises_no_more_false_alarms_than_it_may():
    assert coarse_alarms(step=True) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 600)
    assert coarse_alarms(step=False) > 0.12  # so the step is needed


def alarms_against_the_best(*, all_pairs, n=1500, n_groups=5, n_seeds=5):
    """The share of comparisons of equal groups in which the one that happens to be the best beats another one."""
    false = 0
    for table in rows(4, n, n_groups, n_seeds):
        groups = {i: dict(enumerate(row)) for i, row in enumerate(table)}
        best = max(groups, key=lambda i: sum(groups[i].values()))
        found = compare(groups, "maximize", None if all_pairs else best)
        false += any(d.shown for d in found if best in (d.a, d.b))
    return false / n


def test_against_the_best_all_pairs_have_to_be_counted():
    assert alarms_against_the_best(all_pairs=True) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1500)
    assert alarms_against_the_best(all_pairs=False) > 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1500)


def test_the_step_adds_what_rounding_makes_of_a_spread():
    coarse, smooth = ({0: 0.5, 1: 0.75, 2: 0.5}, {0: 0.25, 1: 0.5, 2: 0.25})
    assert paired(coarse, smooth).p == 0.0  # three equal differences
    found = paired(coarse, smooth, step=0.25)
    spread = 0.25 / math.sqrt(12)
    assert found.p == pytest.approx(2 * stats.t.sf(0.25 / spread * math.sqrt(3), 2))
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 2, 0.25, spread / math.sqrt(3)))
    assert found.std == 0.0
    assert resolution([coarse, smooth]) == 0.25
    assert resolution([{0: 1.0}, {0: 1.0}]) == 0.0
    assert resolution([{0: 0.3}, {0: 0.1 + 0.2}, {0: 0.5}]) == pytest.approx(0.2)  # rounding is no step


# --- sentences

LOSSES = ("cross_entropy", "mse")


def difference(mean, low, high, p, p_adjusted=None, *, n=10, names=LOSSES, direction="maximize", pairs=1):
    half, t = (high - low) / 2, stats.t.ppf(0.975, n - 1)
    spread = half * math.sqrt(n) / t
    return Difference(*names, n, mean, low, high, p, p_adjusted or p, 1.0, spread, direction, pairs=pairs)


@pytest.mark.parametrize(
    ("found", "options", "text"),
    [
        (
            difference(0.0, 0.0, 0.0, 1.0, pairs=3),
            {},
            "no difference shown between cross_entropy and mse: 0 [0, 0] on this split (10 seeds, adjusted p = 1)",
        ),
        (
            difference(0.012, 0.008, 0.016, 0.002),
            {},
            "cross_entropy beats mse by 0.012 [0.008, 0.016] on this split (10 seeds, p = 0.002)",
        ),
        (
            difference(-0.012, -0.016, -0.008, 0.002),
            {},
            "mse beats cross_entropy by 0.012 [0.008, 0.016] on this split (10 seeds, p = 0.002)",
        ),
        (
            difference(-0.012, -0.016, -0.008, 0.0002, 0.0021, direction="minimize", pairs=3),
            {},
            "cross_entropy beats mse by 0.012 [0.008, 0.016] on this split (10 seeds, adjusted p = 0.0021)",
        ),
        (
            difference(1.25, 0.9, 1.6, 1e-7, direction="minimize"),
            {"unit": "points"},
            "mse beats cross_entropy by 1.2 points [0.9, 1.6] on this split (10 seeds, p < 0.001)",
        ),
        (
            difference(0.0052, 0.0004, 0.01, 0.03),
            {},
            "cross_entropy beats mse by 0.0052 [0.0004, 0.0100] on this split (10 seeds, p = 0.03)",
        ),
        (
            difference(0.001, -0.004, 0.006, 0.6),
            {},
            "no difference shown between cross_entropy and mse: 0.001 [-0.004, 0.006] on this split (10 seeds, p = 0.6)",
        ),
        (
            difference(-0.0001, -0.004, 0.0038, 0.612),
            {"unit": "%"},
            "no difference shown between cross_entropy and mse: 0.000 % [-0.004, 0.004] on this split (10 seeds, p = 0.61)",
        ),
        (
            difference(0.012, -0.002, 0.026, 0.02, 0.08, pairs=3),
            {},
            "no difference shown between cross_entropy and mse: 0.012 [-0.002, 0.026] on this split (10 seeds, adjusted p = 0.08)",
        ),
        (
            difference(0.001, -0.004, 0.006, 0.6),
            {"relevant": 0.01, "unit": "nats"},
            "no difference shown between cross_entropy and mse: 0.001 nats [-0.004, 0.006] on this split (10 seeds, p = 0.6); any is smaller than 0.01 nats",
        ),
        (
            difference(0.001, -0.004, 0.006, 0.6),
            {"relevant": 0.005},
            "not enough seeds to tell cross_entropy from mse: 10 shared, a difference of 0.005 on this split would need about 33",
        ),
        (
            difference(-0.001, -0.006, 0.004, 0.6),
            {"relevant": 0.005, "unit": "nats"},
            "not enough seeds to tell cross_entropy from mse: 10 shared, a difference of 0.005 nats on this split would need about 33",
        ),
        (
            difference(0.012, -0.002, 0.026, 0.02, 0.08),
            {"relevant": 0.01},
            "not enough seeds to tell cross_entropy from mse: 10 shared, a difference of 0.01 on this split would need about 62",
        ),
        (
            difference(0.012, 0.008, 0.016, 0.002),
            {"relevant": 0.001},
            "cross_entropy beats mse by 0.012 [0.008, 0.016] on this split (10 seeds, p = 0.002)",
        ),
        (
            difference(0.012, 0.008, 0.016, 0.002),
            {"level": 0.999},
            "no difference shown between cross_entropy and mse: 0.012 [0.004, 0.020] on this split (10 seeds, p = 0.002)",
        ),
        (
            difference(0.001, -0.004, 0.006, 0.6),
            {"relevant": 0.005, "level": 0.9},
            "not enough seeds to tell cross_entropy from mse: 10 shared, a difference of 0.005 on this split would need about 24",
        ),
        (
            difference(0.0051, 0.0039, 0.0063, 0.004),
            {},
            "cross_entropy beats mse by 0.0051 [0.0039, 0.0063] on this split (10 seeds, p = 0.004)",
        ),
        (
            difference(5e-11, -1e-11, 11e-11, 0.2),
            {},
            "no difference shown between cross_entropy and mse: 5e-11 [-1e-11, 1.1e-10] on this split (10 seeds, p = 0.2)",
        ),
    ],
)
def test_sentences(found, options, text):
    relevant, options = options.get("relevant"), {k: v for k, v in options.items() if k != "relevant"}
    found = found if relevant is None else equivalence([found], relevant)[0]
    assert sentence(found, **options) == text


def test_fewer_than_three_shared_seeds_give_no_verdict():
    equal = {0: 1.0, 1: 2.0}, {0: 0.5, 1: 1.5}
    assert sentence(paired(*equal)) == "not enough seeds to tell a from b: 2 shared, at least 3 are needed"
    assert sentence(paired({0: 1.0}, {1: 1.0}), level=0.9).endswith("0 shared, at least 3 are needed")
    assert paired(*equal).p == 0
    assert not paired(*equal).shown


def test_sentences_for_differences_without_spread():
    equal = {seed: value + 0.1 for seed, value in DRUG_1.items()}
    assert sentence(paired(equal, DRUG_1)) == "a beats b by 0.100 [0.100, 0.100] on this split (10 seeds, p < 0.001)"
    assert (
        sentence(paired(DRUG_1, DRUG_1))
        == "no difference shown between a and b: 0 [0, 0] on this split (10 seeds, p = 1)"
    )
    assert sentence(*equivalence([paired(DRUG_1, DRUG_1)], 0.1)).endswith("; any is smaller than 0.1")


@given(pairs_of_runs, st.sampled_from(["maximize", "minimize"]), st.floats(0.1, 500))
@MANY
def test_a_sentence_says_only_what_the_interval_bears_out(groups, direction, relevant):
    found = paired(*groups, direction=direction)
    assume(found.n >= 3)
    text = sentence(*equivalence([found], relevant))
    better_by = found.mean if direction == "maximize" else -found.mean
    if "beats" in text:
        assert found.low * found.high > 0
        assert text.startswith("a beats b" if better_by > 0 else "b beats a")
        assert "-" not in text
    elif "smaller" in text:
        assert max(-found.low, found.high) < relevant
    else:
        assert text.startswith("not enough seeds")
        assert found.low <= 0 <= found.high
        assert max(-found.low, found.high) >= relevant
        assert int(text.split()[-1]) >= found.n


@pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
@pytest.mark.parametrize("std", [0.01, 0.3, 1.0, 12.0])
def test_seeds_needed_is_the_least_that_narrows_the_interval_enough(std, level):
    n = seeds_needed(std, 1.0, level)
    width = {k: 2 * stats.t.ppf((1 + level) / 2, k - 1) * std / math.sqrt(k) for k in (n - 1, n)}
    assert width[n] <= 1
    assert n == 3 or width[n - 1] > 1


def test_seeds_needed_ends_for_absurd_numbers_and_refuses_impossible_ones():
    assert seeds_needed(1e30, 1.0) == pytest.approx(1.537e61, rel=1e-3)
    for relevant in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="a number above zero"):
            equivalence([paired(DRUG_1, DRUG_2)], relevant)


def test_another_level_is_as_if_asked_for_at_first():
    found, wanted = paired(DRUG_1, DRUG_2).at(0.8), paired(DRUG_1, DRUG_2, level=0.8)
    assert (found.low, found.high, found.level) == (wanted.low, wanted.high, 0.8)


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0, "p < 0.001"),
        (0.00099, "p < 0.001"),
        (0.001, "p = 0.001"),
        (0.0468, "p = 0.047"),
        (0.6, "p = 0.6"),
        (1.0, "p = 1"),
    ],
)
def test_p_values_as_people_write_them(p, text):
    assert format_p(p) == text
