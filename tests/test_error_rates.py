"""`benchmarks/error_rates.py`: it runs, and shows that each mistake is common and what is done instead is not."""

from __future__ import annotations

import importlib
import math
import sys

import numpy as np
import pytest
from support.places import ROOT

pytestmark = pytest.mark.slow

N = 300


@pytest.fixture(scope="module")
def rates():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        importlib.import_module("fold_tests")
        return importlib.import_module("error_rates")


@pytest.fixture
def stream():
    return np.random.default_rng(0)


def at_most(rate, wanted=0.05):
    return rate < wanted + 3.5 * math.sqrt(wanted * (1 - wanted) / N)


def test_the_best_seeds_of_a_diverging_setting_do_not_win(rates, stream):
    found = rates.survivors_win(3, N, stream)
    assert found["counted by the seeds left"] > 0.1
    assert found["now"] == 0


def test_a_final_errs_as_often_as_it_may_and_not_on_the_split_that_chose(rates, stream):
    found = rates.finals(N, stream)
    chose, taken, itself, fresh = (found[way] for way in rates.FINALS)
    assert min(chose[0], taken[0]) > 0.2
    assert at_most(itself[0])
    assert at_most(fresh[0])
    assert max(chose[1], taken[1]) < 0.85
    assert at_most(1 - itself[1])
    assert at_most(1 - fresh[1])


def test_only_splits_as_repeats_speak_of_splits(rates, stream):
    found = rates.one_split_or_several(N, stream)
    pooled = found.pop("six splits as repeats")
    assert at_most(pooled[0])
    assert at_most(1 - pooled[1])
    assert all(shown > 0.1 and held < 0.9 for shown, held in found.values())


def test_equality_of_many_pairs_is_corrected(rates, stream):
    found = rates.false_equalities(10, N, stream)
    assert found["each pair for itself"] > 0.2
    assert at_most(found["corrected for all pairs"], 0.025)


@pytest.mark.parametrize(("n_groups", "n_seeds"), [(3, 3), (6, 5)])
def test_all_intervals_of_a_comparison_hold_together(rates, stream, n_groups, n_seeds):
    together, alone, contradict = rates.covered_together(n_groups, n_seeds, N, stream)
    assert at_most(1 - together)
    assert 1 - alone > 0.07  # so the correction is needed
    assert contradict == 0


def test_folds_are_corrected_for_what_they_share(rates, stream):
    module = sys.modules["overlapping"]
    folds = module.k_fold(5, 3, stream)
    own, test = (module.accuracies("stable", folds, on_test, N, stream) for on_test in (False, True))
    assert module.shown(own, 0) > 0.12
    assert at_most(module.shown(own, 1 / 5))
    assert module.shown(test, 1 / 5) > 0.12  # what corrects the folds' own rows does not correct one test split
    assert at_most(module.shown(test, 4 / 5))


def test_draws_share_the_rows_that_they_evaluate_too(rates, stream):
    module, ways = sys.modules["overlapping"], sys.modules["fold_tests"]
    own = module.accuracies("unstable", module.draws(30, 0.2, stream, 30), False, 2 * N, stream)
    usual, *_, now = ways.rates(own, 1 / 5, 1)
    assert usual == module.shown(own, 1 / 5) > 0.08  # corrected for the training rows in common alone
    assert now < 0.06


def test_groups_over_data_sets_keep_their_error_rate(rates, stream):
    module = sys.modules["overlapping"]
    assert all(map(at_most, (*module.over_data(2, 8, N, stream), *module.one_differs(3, 8, N // 2, stream))))


def test_the_whole_table_runs(rates, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["error_rates.py", "--quick"])
    rates.main()
    printed = capsys.readouterr().out
    assert "40 comparisons each" in printed
    assert sum(line.startswith("| ---") for line in printed.splitlines()) == 11
