"""Groups over data sets by ranks: against SciPy, Demšar's published example and tables, and by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from phalanx.analysis.ranks import FRIEDMAN, WILCOXON, cliques, compare_ranks, critical_difference, holm

# Demšar 2006, tables 2 and 6: AUC of C4.5 and of C4.5 with m, with cf and with both tuned, on 14 data sets.
C45 = {
    "C4.5": [0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.000, 0.940, 0.619, 0.972, 0.957],
    "C4.5+m": [0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.000, 0.962, 0.666, 0.981, 0.978],
    "C4.5+cf": [0.771, 0.590, 0.968, 0.654, 0.886, 0.916, 0.609, 0.563, 0.866, 1.000, 0.965, 0.614, 0.9751, 0.946],
    "C4.5+m+cf": [0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685, 0.625, 0.875, 1.000, 0.962, 0.669, 0.975, 0.970],
}


def test_the_published_example():
    found = compare_ranks(C45, "maximize")
    assert found.test == FRIEDMAN
    assert list(found.mean_ranks.values()) == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)
    assert found.p == stats.friedmanchisquare(*(np.array(row) for row in C45.values())).pvalue
    assert not any(d.shown for d in found.differences)  # Demšar: "the post-hoc test is not powerful enough"
    squares = sum(rank**2 for rank in found.mean_ranks.values())
    uncorrected = 12 * 14 / (4 * 5) * (squares - 4 * 5**2 / 4)
    assert uncorrected == pytest.approx(9.28, abs=0.005)  # as published; SciPy also corrects for ties
    assert found.p < stats.chi2.sf(uncorrected, 3) < 0.03


def test_two_groups_are_tested_by_wilcoxon_as_published():
    """Demšar's table 2: C4.5 with m is better than C4.5, with p below 0.05."""
    pair = {name: C45[name] for name in ("C4.5", "C4.5+m")}
    found = compare_ranks(pair, "maximize")
    (d,) = found.differences
    away = np.round(np.subtract(*pair.values()), 6)
    assert found.test == WILCOXON
    assert d.p == d.p_adjusted == stats.wilcoxon(away).pvalue < 0.05
    assert (d.better, d.shown, d.wins) == ("C4.5+m", True, (2, 10))
    assert d.median == pytest.approx(np.median(away))


@pytest.mark.parametrize(("k", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (10, 3.164)])
def test_critical_differences_are_those_of_demsars_table(k, q):
    assert critical_difference(k, 12) == pytest.approx(q * np.sqrt(k * (k + 1) / (6 * 12)), abs=5e-4 * k)


def test_nemenyis_interval_agrees_with_its_p_values():
    stream = np.random.default_rng(0)
    for _ in range(20):
        table = {str(g): list(stream.normal(g / 2, 1, 8)) for g in range(4)}
        found = compare_ranks(table, "minimize")
        for d in found.differences:
            apart = abs(d.ranks[0] - d.ranks[1]) > found.critical_difference
            assert apart == (d.p_adjusted < 0.05)
            assert d.shown == (apart and found.p < 0.05)


def test_a_direction_turns_the_ranks():
    up, down = (compare_ranks(C45, direction).mean_ranks for direction in ("maximize", "minimize"))
    assert [rank + down[name] for name, rank in up.items()] == pytest.approx([5.0] * 4)


def test_a_baseline_is_tested_by_wilcoxon_with_holms_correction():
    found = compare_ranks(C45, "maximize", baseline="C4.5")
    assert [(d.a, d.b) for d in found.differences] == [(name, "C4.5") for name in list(C45)[1:]]
    p = [stats.wilcoxon(np.round(np.subtract(C45[d.a], C45[d.b]), 6)).pvalue for d in found.differences]
    assert [d.p for d in found.differences] == pytest.approx(p)
    assert [d.p_adjusted for d in found.differences] == holm(p)


def test_holm_by_hand():
    assert holm([0.01, 0.04, None, 0.03, 0.005]) == pytest.approx([0.03, 0.06, None, 0.06, 0.02])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


def test_equal_values_and_few_data_sets_show_nothing():
    equal = compare_ranks({name: [0.5] * 7 for name in "abc"}, "maximize")
    assert (equal.p, equal.differences[0].better, equal.differences[0].shown) == (1.0, None, False)
    assert compare_ranks({name: [0.5] * 7 for name in "ab"}, "maximize").differences[0].p == 1.0
    few = compare_ranks({"a": [1.0, 2, 3, 4, 5], "b": [0.0] * 5}, "maximize")
    assert (few.too_few, few.differences[0].p, few.differences[0].shown) == (6, None, False)
    assert compare_ranks({name: [1.0, 2.0] for name in "abc"}, "maximize").too_few == 3


def test_what_differs_by_rounding_only_is_a_tie():
    found = compare_ranks({"a": [0.1 + 0.2] * 6, "b": [0.3] * 6}, "maximize")
    assert found.mean_ranks == {"a": 1.5, "b": 1.5}
    assert found.differences[0].wins == (0, 0)


def test_few_equal_differences_are_tested_exactly():
    """The normal approximation would say p = 0.014 to 0.027 here."""
    found = compare_ranks({"a": [1.0] * 6, "b": [0.0] * 6}, "maximize")
    assert found.differences[0].p == pytest.approx(2 / 2**6)


def test_bars_join_all_groups_that_do_not_differ_and_no_others():
    stream = np.random.default_rng(1)
    n_bars = set()
    for spread in (0.0, 0.3, 0.6, 1.0):
        found = compare_ranks({str(g): list(stream.normal(g * spread, 1, 12)) for g in range(5)}, "maximize")
        bars = list(cliques(found))
        n_bars.add(len(bars))
        shown = {frozenset((d.a, d.b)): d.shown for d in found.differences}
        for a, b in combinations(found.mean_ranks, 2):
            ends = sorted((found.mean_ranks[a], found.mean_ranks[b]))
            joined = any(low <= ends[0] and ends[1] <= high for low, high in bars)
            assert joined != shown[frozenset((a, b))]
    assert len(n_bars) > 1


def test_bars_of_a_baseline_join_tested_pairs():
    found = compare_ranks(C45, "maximize", baseline="C4.5")
    expected = [tuple(sorted(d.ranks)) for d in found.differences if not d.shown]
    assert list(cliques(found)) == expected
