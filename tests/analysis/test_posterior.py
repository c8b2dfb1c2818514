"""The probability that one group is better by more than a size: against numerical integration and simulation."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate
from support.comparisons import A, B, compared
from support.run_folders import write_grid

from phalanx.analysis.compare.tables import differences_csv
from phalanx.analysis.posterior import with_probabilities
from phalanx.analysis.statistics import compare, paired
from phalanx.analysis.wording import Lost, format_share, sentence

GAINS = [0.8, 0.1, 1.4, -0.3, 0.9, 0.4]


def judged(values, relevant, correlation=0.0, direction="maximize"):
    zero = dict.fromkeys(range(len(values)), 0.0)
    found = paired(dict(enumerate(values)), zero, ("new", "old"), direction, correlation=correlation)
    return with_probabilities([found], relevant)[0]


@pytest.mark.parametrize("correlation", [0.0, 0.2])
@pytest.mark.parametrize("relevant", [0.1, 0.5, 3.0])
def test_the_probabilities_are_integrals_of_students_t(relevant, correlation):
    """The density of Corani and Benavoli's correlated t-test, integrated numerically."""
    n, mean = len(GAINS), np.mean(GAINS)
    scale = math.sqrt((1 / n + correlation / (1 - correlation)) * np.var(GAINS, ddof=1))

    def density(x):
        t = (x - mean) / scale
        norm = math.gamma(n / 2) / (math.sqrt((n - 1) * math.pi) * math.gamma((n - 1) / 2))
        return norm * (1 + t * t / (n - 1)) ** (-n / 2) / scale

    expected = [integrate.quad(density, *ends)[0]
                for ends in ((relevant, math.inf), (-relevant, relevant), (-math.inf, -relevant))]  # fmt: skip
    assert judged(GAINS, relevant, correlation).probabilities == pytest.approx(expected, abs=1e-7)


def test_the_probabilities_are_those_of_draws_from_the_posterior():
    """σ² from its scaled inverse χ² and then the mean given σ², of correlated values: without any t distribution."""
    stream, n, correlation = np.random.default_rng(0), len(GAINS), 0.2
    variance = (n - 1) * np.var(GAINS, ddof=1) / stream.chisquare(n - 1, 200_000)
    draws = stream.normal(np.mean(GAINS), np.sqrt(variance * (1 / n + correlation / (1 - correlation))))
    shares = np.mean([draws > 0.5, abs(draws) <= 0.5, draws < -0.5], 1)
    assert judged(GAINS, 0.5, correlation).probabilities == pytest.approx(shares, abs=0.005)


@given(st.lists(st.integers(-40, 40).map(lambda k: k / 7), min_size=2, max_size=8), st.floats(1e-3, 20),
       st.sampled_from([0.0, 0.2, 0.9]), st.sampled_from(["maximize", "minimize"]))  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_they_sum_to_one_and_turn_with_the_direction(values, relevant, correlation, direction):
    found = judged(values, relevant, correlation, direction).probabilities
    assert math.fsum(found) == pytest.approx(1, abs=1e-12)
    assert min(found) >= 0
    assert judged([-v for v in values], relevant, correlation, direction).probabilities[::-1] == pytest.approx(found)
    other = "minimize" if direction == "maximize" else "maximize"
    assert judged(values, relevant, correlation, other).probabilities[::-1] == pytest.approx(found)


def test_values_without_a_spread_are_certain_and_single_ones_unknown():
    assert judged([0.5] * 4, 0.2).probabilities == (1, 0, 0)
    assert judged([0.5] * 4, 0.5).probabilities == (0, 1, 0)
    assert judged([-0.5] * 4, 0.2).probabilities == (0, 0, 1)
    assert judged([0.5], 0.2).probabilities is None
    with pytest.raises(ValueError, match="a number above zero"):
        judged(GAINS, -0.5)


def test_the_sentence_has_them_and_a_group_that_lost_runs_has_none(tmp_path):
    found = judged(GAINS, 0.5)
    text = "; probability of more than 0.5 points: new better 58 %, old better < 1 %, neither 42 %"
    assert found.probabilities == pytest.approx((0.576, 0.420, 0.004), abs=0.001)
    assert sentence(found, "points").endswith(text)
    assert sentence(replace(found, probabilities=None), "points") == sentence(found, "points").removesuffix(text)
    assert "probability" not in sentence(found, "points", lost={"old": Lost({"diverged": 1}, 7)})
    compared_now = compared(write_grid(tmp_path, {"mse": B, "nll": A}), "loss", relevant=0.5)
    (row,) = csv.DictReader(io.StringIO(differences_csv(compared_now)))
    numbers = [float(row[name]) for name in ("p_a_better", "p_neither", "p_b_better")]
    assert numbers == pytest.approx(compared_now.parts[0].differences[0].probabilities)
    assert numbers[0] > 0.99


def test_a_share_is_never_rounded_to_certainty():
    assert [format_share(p) for p in (0.0, 0.009, 0.01, 0.4, 0.99, 0.995, 1.0)] == [
        "< 1 %", "< 1 %", "1 %", "40 %", "99 %", "> 99 %", "> 99 %",
    ]  # fmt: skip


@pytest.mark.slow
def test_at_the_edge_of_the_region_being_better_is_probable_as_rarely_as_it_says():
    stream, n, wrong = np.random.default_rng(0), 2000, 0
    for a, b in stream.normal(size=(n, 2, 10)):
        (found,) = with_probabilities(
            compare({"a": dict(enumerate(a + 0.5)), "b": dict(enumerate(b))}, "maximize"), 0.5
        )
        wrong += found.probabilities.a > 0.95
    assert abs(wrong / n - 0.05) < 3 * math.sqrt(0.05 * 0.95 / n)
