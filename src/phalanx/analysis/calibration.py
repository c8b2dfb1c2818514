"""Calibration: how well the probabilities of a network match how often it is right, and a temperature that mends it.

The temperature T is the one that minimises the negative log-likelihood of softmax(scores / T) on the validation split.
It changes no predicted class. Axes: N samples, C classes, M bins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from phalanx.analysis.bootstrap import Interval, counted, resampled
from phalanx.analysis.reliability import Reliability, confidences, reliability
from phalanx.core.errors import RequestError, RunFolderError
from phalanx.data import Dataset
from phalanx.data.base import Split
from phalanx.data.cache import dataset_of
from phalanx.nn.losses.functional import SCORES
from phalanx.nn.metrics.from_probabilities import N_BINS, calibration_error, sample_brier
from phalanx.runs.config import trial_spec
from phalanx.runs.config_file import read_values
from phalanx.runs.layout import RunPaths
from phalanx.runs.model_file import SavedModel, load_network, set_temperature
from phalanx.runs.stored_run import read_stored_run
from phalanx.runs.trained_on import with_places
from phalanx.runs.used_run import used_run

LIMITS = (0.02, 50.0)  # of the temperature: beyond them the validation split does not determine it


@dataclass(frozen=True)
class Measure:
    """A measure of one split before and after calibration, with bootstrap intervals over its samples."""

    name: str
    before: float
    after: float
    before_interval: Interval
    after_interval: Interval
    change_interval: Interval  # of after - before, on the same resamples


@dataclass(frozen=True)
class Calibration:
    """What calibrating a run has found."""

    temperature: float
    earlier: float  # the temperature that the model had; 1 for none
    split: str  # what the measures are of: "test", or "validation" where the run has not read the test split
    n_validation: int
    n_samples: int
    measures: tuple[Measure, ...]
    before: Reliability
    after: Reliability
    notes: tuple[str, ...]


def sample_nll(p_NC: np.ndarray, y_N: np.ndarray) -> np.ndarray:
    """The negative log-probability of the true class of each sample, (N,)."""
    nll_N: np.ndarray = -np.log(np.maximum(p_NC[np.arange(len(y_N)), y_N], np.finfo(np.float64).tiny))
    return nll_N


def probabilities(scores_NC: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """softmax(scores / temperature) in float64, (N, C)."""
    scaled_NC = scores_NC.astype(np.float64) / temperature
    exp_NC = np.exp(scaled_NC - scaled_NC.max(1, keepdims=True))
    p_NC: np.ndarray = exp_NC / exp_NC.sum(1, keepdims=True)
    return p_NC


def fit_temperature(scores_NC: np.ndarray, y_N: np.ndarray) -> float:
    """The temperature within `LIMITS` with the least mean negative log-likelihood, which has one minimum in it."""
    from scipy.optimize import minimize_scalar

    def loss(log_t: float) -> float:
        scaled_NC = scores_NC.astype(np.float64) / np.exp(log_t)
        scaled_NC -= scaled_NC.max(1, keepdims=True)
        log_p_N = scaled_NC[np.arange(len(y_N)), y_N] - np.log(np.exp(scaled_NC).sum(1))
        return float(-log_p_N.mean())

    found = minimize_scalar(loss, bounds=tuple(np.log(LIMITS)), method="bounded", options={"xatol": 1e-7})
    return float(np.exp(found.x))


def calibrate(run: Path) -> Calibration:
    """Fits the temperature of a run and writes it into its model file.

    Args:
        run: The run's folder, or that of a sweep, for its best trial.

    Raises:
        RequestError: The run has no model or no usable logits, its data cannot be read, or they have changed.
    """
    run, notes = used_run(run)
    model = load_network(RunPaths(run).check().root)
    stored = read_stored_run(run)
    if stored.data is not None and not stored.data.n_val:
        raise RequestError(f"{run} trained on its validation samples too, so none are left to fit a temperature; "
                           "calibrate the run that it was trained again from")  # fmt: skip
    dataset = dataset_of(trial_spec(with_places(read_values(RunPaths(run).config_resolved, inside=run), run)).data)
    if stored.data_digest not in (None, dataset.digest):
        raise RequestError(
            f"the data of {run} have changed since it was trained: their digest was {stored.data_digest} and is "
            f"{dataset.digest} now; put the data back, or train again"
        )
    if not len(dataset.val):
        raise RequestError(f"{run} has no validation samples, so no temperature can be fitted")
    scores_NC, y_N = _scores(run, model, dataset.val)
    temperature = fit_temperature(scores_NC, y_N)
    found = _measured(run, model, dataset, temperature, reads_test=stored.metrics.get("test_loss") is not None)
    set_temperature(RunPaths(run).model, temperature)
    return replace(found, notes=(*notes, *found.notes))


def _scores(run: Path, model: SavedModel, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """The scores (N, C) whose softmax gives the probabilities, and the classes. Raises `RunFolderError` for NaN."""
    scores_NC = SCORES[model.probabilities](model.logits(split.x_ND)).double().numpy()
    broken = int((~np.isfinite(scores_NC).all(1)).sum())
    if broken:
        raise RunFolderError(
            f"{run}: the network gives no finite number for {broken} of {len(scores_NC)} samples, so it has no "
            "probabilities to calibrate; train again with a lower optimizer.lr or trainer.clip_norm=1"
        )
    return scores_NC, split.y_N.numpy()


def _measured(run: Path, model: SavedModel, dataset: Dataset, temperature: float, *, reads_test: bool) -> Calibration:
    split = "test" if reads_test else "validation"
    scores_NC, y_N = _scores(run, model, dataset.test if reads_test else dataset.val)
    before_NC, after_NC = probabilities(scores_NC), probabilities(scores_NC, temperature)
    notes = []
    if not reads_test:
        notes.append("the run has not read the test split; before and after are of the validation split, which chose "
                     "the temperature, so after is too good")  # fmt: skip
    if min(abs(np.log(temperature / limit)) for limit in LIMITS) < 0.01:
        notes.append(f"the temperature is at its limit: the {len(dataset.val)} validation samples do not determine it, "
                     "as where all of them are right")  # fmt: skip
    return Calibration(
        temperature, model.temperature, split, len(dataset.val), len(y_N), _measures(before_NC, after_NC, y_N),
        reliability(before_NC, y_N), reliability(after_NC, y_N), tuple(notes),
    )  # fmt: skip


def _measures(before_NC: np.ndarray, after_NC: np.ndarray, y_N: np.ndarray) -> tuple[Measure, ...]:
    pairs = [confidences(p_NC, y_N) for p_NC in (before_NC, after_NC)]
    draws_R2 = np.array([[calibration_error(*pair, weights_N) for pair in pairs] for weights_N in counted(len(y_N))])
    before, after = (calibration_error(*pair) for pair in pairs)
    return (
        _sample_measure("NLL", sample_nll(before_NC, y_N), sample_nll(after_NC, y_N)),
        _measure(f"ECE, {N_BINS} bins", before, after, draws_R2),
        _sample_measure("Brier score", sample_brier(before_NC, y_N), sample_brier(after_NC, y_N)),
    )


def _sample_measure(name: str, before_N: np.ndarray, after_N: np.ndarray) -> Measure:
    return _measure(name, float(before_N.mean()), float(after_N.mean()), resampled(np.stack([before_N, after_N], 1)))


def _measure(name: str, before: float, after: float, draws_R2: np.ndarray) -> Measure:
    a_R, b_R = draws_R2.T
    return Measure(name, before, after, Interval.of(a_R), Interval.of(b_R), Interval.of(b_R - a_R))
