"""The members of an ensemble, against a search written out here, and that it is never worse than a candidate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, log_loss

from phalanx.analysis.ensemble.selection import Measure, choose, cross_fitted, gains, mean_of, metrics_of

ACCURACY = Measure("accuracy")


def drawn(seed: int, n_candidates: int = 5, n_rows: int = 40, n_classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of candidates that are right more often than not, and the classes."""
    random = np.random.default_rng(seed)
    y_N = random.integers(n_classes, size=n_rows)
    scores_KNC = random.normal(size=(n_candidates, n_rows, n_classes)) + 1.2 * np.eye(n_classes)[y_N]
    p_KNC = np.exp(scores_KNC)
    return p_KNC / p_KNC.sum(-1, keepdims=True), y_N


def brute_force_greedy(p_KNC: np.ndarray, y_N: np.ndarray, n_draws: int) -> list[int]:
    """Caruana's selection as the paper has it, by scikit-learn's metrics: first by accuracy, then by log loss."""
    bag: list[int] = []
    best: tuple[tuple[float, float], list[int]] = ((-np.inf, -np.inf), [])
    for _ in range(n_draws):
        found = []
        for k in range(len(p_KNC)):
            mean_NC = np.mean([p_KNC[j] for j in [*bag, k]], axis=0)
            found.append((accuracy_score(y_N, mean_NC.argmax(1)), -log_loss(y_N, mean_NC, labels=[0, 1, 2])))
        bag = [*bag, found.index(max(found))]
        if max(found) > best[0]:
            best = max(found), bag
    return best[1]


@pytest.mark.parametrize("seed", range(4))
def test_greedy_draws_what_a_search_by_hand_draws(seed: int) -> None:
    p_KNC, y_N = drawn(seed)
    bag = brute_force_greedy(p_KNC, y_N, 8)
    found = choose("greedy", p_KNC, y_N, ACCURACY, 8)
    assert list(found.path) == bag
    np.testing.assert_allclose(found.weights_K, [bag.count(k) / len(bag) for k in range(len(p_KNC))])


def test_best_takes_the_number_of_best_ones_with_the_best_mean() -> None:
    numbers = set()
    for seed in (6, 7):
        p_KNC, y_N = drawn(seed, n_candidates=6)
        alone = [(accuracy_score(y_N, p.argmax(1)), -log_loss(y_N, p)) for p in p_KNC]
        order = sorted(range(6), key=lambda k: alone[k], reverse=True)[:4]
        means = [np.mean(p_KNC[order[:n]], axis=0) for n in range(1, 5)]
        scores = [(accuracy_score(y_N, p.argmax(1)), -log_loss(y_N, p)) for p in means]
        n_best = scores.index(max(scores)) + 1
        found = choose("best", p_KNC, y_N, ACCURACY, 4)
        assert sorted(found.members) == sorted(order[:n_best])
        assert set(found.weights_K[found.members]) == {1 / n_best}
        numbers.add(n_best)
    assert numbers & {2, 3}  # else taking all, or the best alone, would do


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 6))
def test_all_seeds_are_averaged_and_not_worse_than_a_seed_in_the_mean(seed: int, n: int) -> None:
    p_KNC, y_N = drawn(seed, n_candidates=n)
    found = choose("seeds", p_KNC, y_N, ACCURACY, 1)
    np.testing.assert_allclose(mean_of(p_KNC, found.weights_K), np.mean(p_KNC, axis=0))
    alone = np.mean([log_loss(y_N, p_NC, labels=[0, 1, 2]) for p_NC in p_KNC])
    assert log_loss(y_N, mean_of(p_KNC, found.weights_K), labels=[0, 1, 2]) <= alone + 1e-12


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6), how=st.sampled_from(["greedy", "best"]), n=st.integers(1, 6), n_rows=st.integers(1, 12),
    measure=st.sampled_from(["accuracy", "likelihood", "f1_macro", "brier", "balanced_accuracy"]),
)  # fmt: skip
def test_an_ensemble_is_never_worse_than_a_candidate(seed: int, how: str, n: int, n_rows: int, measure: str) -> None:
    p_KNC, y_N = drawn(seed, n_candidates=n, n_rows=n_rows)
    p_KNC[: n // 2] = np.round(p_KNC[: n // 2])  # ties, and probabilities of 0
    p_KNC[: n // 2] += p_KNC[: n // 2].sum(-1, keepdims=True) == 0
    p_KNC /= p_KNC.sum(-1, keepdims=True)
    chosen = Measure(measure)
    with np.errstate(divide="ignore"):
        found = choose(how, p_KNC, y_N, chosen, 4)
        mine = chosen.sign * chosen.value(mean_of(p_KNC, found.weights_K), y_N)
        best = max(chosen.sign * chosen.value(p_NC, y_N) for p_NC in p_KNC[:])
    assert mine >= best
    assert found.weights_K.sum() == pytest.approx(1)


def test_metrics_are_those_of_scikit_learn() -> None:
    (p_NC, *_), y_N = drawn(5)
    found = metrics_of(p_NC, y_N, ["loss", "accuracy", "likelihood", "f1_macro"])
    assert found == pytest.approx({
        "loss": log_loss(y_N, p_NC), "accuracy": accuracy_score(y_N, p_NC.argmax(1)),
        "likelihood": np.exp(-log_loss(y_N, p_NC)), "f1_macro": f1_score(y_N, p_NC.argmax(1), average="macro"),
    })  # fmt: skip


def test_a_loss_is_measured_by_the_likelihood_and_less_of_a_brier_score_is_better() -> None:
    assert Measure.of("val_loss") == Measure("likelihood")
    assert (Measure.of("val_brier").sign, Measure.of("val_f1_macro").sign) == (-1, 1)


def test_what_a_member_adds_is_what_is_lost_without_it() -> None:
    p_KNC, y_N = drawn(1)
    found = choose("greedy", p_KNC, y_N, ACCURACY, 8)
    assert len(found.members) > 1
    whole = accuracy_score(y_N, mean_of(p_KNC, found.weights_K).argmax(1))
    for k, added in gains(p_KNC, y_N, ACCURACY, found).items():
        left = np.mean([p_KNC[j] for j in found.path if j != k], axis=0)
        assert added == pytest.approx(whole - accuracy_score(y_N, left.argmax(1)))


def test_the_estimate_sees_through_a_choice_among_noise() -> None:
    """Twenty candidates that know nothing: the best of them looks better than chance, on the rows that chose it."""
    random = np.random.default_rng(0)
    y_N = random.integers(2, size=100)
    p_KNC = random.dirichlet([1, 1], size=(20, 100))
    found = choose("greedy", p_KNC, y_N, ACCURACY, 10)
    assert ACCURACY.value(mean_of(p_KNC, found.weights_K), y_N) > 0.65
    fair = cross_fitted(p_KNC, y_N, ACCURACY, lambda p, y: choose("greedy", p, y, ACCURACY, 10))
    assert fair is not None
    assert fair < 0.6
    assert cross_fitted(p_KNC[:, :9], y_N[:9], ACCURACY, lambda p, y: choose("best", p, y, ACCURACY, 2)) is None
