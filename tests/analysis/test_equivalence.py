""" "Any difference is smaller than SIZE": against SciPy's one-sided tests, and by simulation over many pairs."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from support.comparisons import A, compared
from support.run_folders import write_grid

from phalanx.analysis.equivalence import equivalence
from phalanx.analysis.statistics import bonferroni, compare, paired
from phalanx.analysis.wording import sentence


def by_seed(table):
    return {str(i): dict(enumerate(row)) for i, row in enumerate(np.asarray(table).tolist())}


def one_sided(away, relevant):
    """The larger p-value of the two one-sided t-tests, by SciPy."""
    below = stats.ttest_1samp(away, relevant, alternative="less").pvalue
    return max(below, stats.ttest_1samp(away, -relevant, alternative="greater").pvalue)


@pytest.mark.parametrize("relevant", [0.5, 1.0, 3.0])
def test_p_values_agree_with_scipys_one_sided_tests_and_bonferroni(relevant):
    table = np.random.default_rng(3).normal(size=(4, 8))
    found = equivalence(compare(by_seed(table), "maximize"), relevant)
    expected = bonferroni([one_sided(table[i] - table[j], relevant) for i, j in combinations(range(4), 2)])
    assert [d.p_equivalent for d in found] == pytest.approx(expected)
    assert {d.relevant for d in found} == {relevant}


@given(st.lists(st.integers(-40, 40).map(lambda k: k / 7), min_size=3, max_size=9), st.floats(0.01, 20))
@settings(max_examples=150, deadline=None)
def test_a_pair_is_equivalent_where_its_interval_lies_inside(values, relevant):
    table = {
        "a": dict(enumerate(values)),
        "b": dict.fromkeys(range(len(values)), 0.0),
        "c": dict(enumerate(values[::-1])),
    }
    for groups in (table, {name: table[name] for name in "ab"}):
        for judged in equivalence(compare(groups, "maximize"), relevant):
            _check_interval_and_verdict(judged, relevant)


def _check_interval_and_verdict(judged, relevant):
    found = judged
    edge = min(abs(abs(found.low) - relevant), abs(abs(found.high) - relevant))
    if edge > 1e-9 * relevant:
        assert judged.equivalent == (-relevant < found.low and found.high < relevant)


def test_no_spread_no_repeats_and_sizes_out_of_reach():
    same = dict.fromkeys(range(4), 0.5)
    assert equivalence([paired(same, same)], 0.1)[0].equivalent
    assert not equivalence([paired(same, dict.fromkeys(same, 0.4))], 0.05)[0].equivalent
    assert equivalence([paired({0: 1.0}, {0: 1.0})], 0.1)[0].p_equivalent is None
    assert not equivalence([paired({0: 1.0, 1: 1.0}, {0: 1.0, 1: 1.0})], 0.1)[0].equivalent
    wide = paired({0: 0.0, 1: 1.0, 2: 0.2}, {0: 1.0, 1: 0.0, 2: 0.4}, limits=(0.0, 1.0))
    assert equivalence([wide], 1.5)[0].equivalent


def test_the_sentences_of_many_pairs_use_the_corrected_verdict_and_number_of_seeds():
    table = np.random.default_rng(0).normal(size=(10, 6))
    pairs = compare(by_seed(table), "maximize")
    alone = replace(pairs[0], pairs=1).at(0.95)
    size = 1.05 * max(-alone.low, alone.high)  # one pair alone would be called equivalent
    (alone,) = equivalence([replace(alone, p_adjusted=alone.p)], size)
    assert sentence(alone).endswith(f"; any is smaller than {size:g}")
    judged = equivalence(pairs, size)[0]
    text = sentence(judged)
    assert text.startswith("not enough seeds to tell 0 from 1: 6 shared, a difference of")
    n = int(text.split()[-1])
    half = {k: stats.t.ppf(1 - 0.025 / 45, k - 1) * judged.std / math.sqrt(k) for k in (n - 1, n)}
    assert 2 * half[n] <= size < 2 * half[n - 1]
    assert n > 6


def test_compare_corrects_what_it_says_of_a_relevant_size(tmp_path):
    stream = np.random.default_rng(5)
    values = {0.1 * k: {s: v + 0.002 * float(stream.normal()) for s, v in A.items()} for k in range(1, 5)}
    (part,) = compared(write_grid(tmp_path, values, "optimizer.lr"), relevant=1.0).parts
    again = equivalence(part.differences, 1.0)
    assert [d.p_equivalent for d in part.differences] == [d.p_equivalent for d in again]
    said = [text for text in part.sentences if "any is smaller than 1 points" in text]
    assert len(said) == sum(d.equivalent and not d.shown for d in part.differences) > 0


# By simulation


def false_equalities(n_groups, relevant, n, *, corrected):
    """The share of comparisons with one false "any is smaller": half of the groups differ by just `relevant`."""
    stream, false = np.random.default_rng(2), 0
    truth = np.where(np.arange(n_groups) % 2, relevant, 0.0)
    for _ in range(n):
        found = compare(by_seed(stream.normal(size=(n_groups, 10)) + truth[:, None]), "maximize")
        apart = [int(d.a) % 2 != int(d.b) % 2 for d in found]
        judged = equivalence(found, relevant) if corrected else [equivalence([d], relevant)[0] for d in found]
        false += any(d.equivalent for d, different in zip(judged, apart, strict=True) if different)
    return false / n


@pytest.mark.slow
def test_one_false_equality_among_ten_groups_is_rarer_than_its_level():
    n = 400
    assert false_equalities(10, 3.0, n, corrected=True) < 0.025 + 3 * math.sqrt(0.025 * 0.975 / n)
    assert false_equalities(10, 3.0, 200, corrected=False) > 0.2  # so the correction is needed
