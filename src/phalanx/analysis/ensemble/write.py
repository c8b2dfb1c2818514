"""Writes an ensemble as the folder of one run: model, result, configuration, and `ensemble.json` with its members.

Axes: N rows, C classes.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phalanx.analysis.bootstrap import Interval
from phalanx.analysis.ensemble.candidates import Candidate
from phalanx.analysis.ensemble.measured import measured, test_intervals
from phalanx.analysis.ensemble.networks import Library
from phalanx.analysis.out_of_fold import predictions_csv
from phalanx.core.files import write_json, write_text
from phalanx.core.metrics import direction_of
from phalanx.core.result import ClassCounts, Metrics, Objective, Status, Timing
from phalanx.runs.config_file import read_values, to_yaml
from phalanx.runs.ensemble_file import save_ensemble, weighted_mean
from phalanx.runs.layout import ENSEMBLE, RunPaths
from phalanx.runs.metrics_csv import metrics_csv
from phalanx.runs.run_folder import described, versions_of, write_example
from phalanx.runs.stored_run import StoredRun, write_stored_run
from phalanx.runs.whole_folder import whole_folder
from phalanx.training.spec import config_digest

LOSS_NOTE = "loss is the mean of -log p of the true class, whatever the losses of the members"


@dataclass(frozen=True)
class Member:
    """A candidate that is in the ensemble.

    Attributes:
        candidate: The candidate.
        weight: Of its probabilities; the weights of all members are 1 in sum.
        value: The measure of it alone.
        adds: What the ensemble's measure is above that of the other members without it.
    """

    candidate: Candidate
    weight: float
    value: float
    adds: float

    def to_json(self) -> dict[str, Any]:
        """An entry of `members` in `ensemble.json`."""
        first = self.candidate.first
        return {
            "trials": list(self.candidate.numbers), "seed": self.candidate.seed,
            "folds": [network.spec.data.fold for network in self.candidate.networks] if first.spec.data.n_folds > 1
            else [], "weight": self.weight, "value": self.value, "adds": self.adds,
            "config_digest": config_digest(first.spec), "overrides": dict(first.trial.overrides),
        }  # fmt: skip


@dataclass(frozen=True)
class Written:
    """The record of an ensemble, with its metrics and the intervals of the test metrics."""

    stored: StoredRun
    intervals: Mapping[str, Interval]


def write_ensemble(
    folder: Path, how: str, members: Sequence[Member], library: Library, p_NC: np.ndarray, y_N: np.ndarray,
    about: Mapping[str, Any], *, replace: bool,
) -> Written:  # fmt: skip
    """Writes the folder whole; reads the test split.

    Args:
        folder: The folder.
        how: In which way the members were chosen.
        members: The members.
        library: Has their networks.
        p_NC: Class probabilities of the validation rows, float64.
        y_N: Their classes.
        about: What else `ensemble.json` says.
        replace: Whether a folder that is there is replaced.
    """
    started, first = time.time(), members[0].candidate.first
    own = tuple(first.spec.own_metrics())
    validated = measured("val", p_NC, y_N, own)
    test_p_NC = weighted_mean([library.tested(m.candidate) for m in members], [m.weight for m in members])
    test_y_N = first.dataset.test.y_N.numpy()
    tested = measured("test", test_p_NC, test_y_N, own)
    metrics = {**Metrics().flat(), **validated.metrics, **tested.metrics}
    intervals = test_intervals(test_p_NC, test_y_N, tested.metrics)
    with whole_folder(folder, replace=replace) as temporary:
        paths = RunPaths(temporary)
        networks = [
            (network, m.weight / len(m.candidate.networks)) for m in members for network in m.candidate.networks
        ]
        save_ensemble(paths.model, [library.stored[network] for network, _ in networks], [w for _, w in networks], how)
        write_json(paths.ensemble, {"how": how, **about, "members": [member.to_json() for member in members]})
        write_text(paths.metrics, metrics_csv(()))
        write_text(paths.config_resolved, _config(how, members))
        write_example(paths, first.spec.data)
        if len(members[0].candidate.networks) > 1:
            folds = [(network.spec.data.fold, network.dataset) for network in members[0].candidate.networks]
            write_text(paths.out_of_fold, predictions_csv(folds, p_NC))
        stored = _record(how, members, metrics, tested.classes, intervals, started, about["notes"])
        write_stored_run(paths, stored)
    return Written(stored, intervals)


def _config(how: str, members: Sequence[Member]) -> str:
    """The configuration of the first member, with what the ensemble is beside it."""
    first = members[0].candidate.first
    file = RunPaths(first.trial.folder).config_resolved
    return to_yaml({**read_values(file), "seed": first.spec.seed, ENSEMBLE: how})


def _record(
    how: str, members: Sequence[Member], metrics: Mapping[str, float | None], classes: ClassCounts | None,
    intervals: Mapping[str, Interval], started: float, notes: Sequence[str],
) -> StoredRun:  # fmt: skip
    """What `result.json` holds."""
    first = members[0].candidate.first
    networks = [network for member in members for network in member.candidate.networks]
    trials = {network.trial.number: network.trial for network in networks}
    spec = first.spec
    parts = [[config_digest(n.spec), n.spec.seed, m.weight] for m in members for n in m.candidate.networks]
    digest = hashlib.sha256(json.dumps([ENSEMBLE, parts]).encode()).hexdigest()[:16]
    objective = Objective(spec.objective, metrics.get(spec.objective), direction_of(spec.objective))
    n_parameters = sum(network.trial.n_parameters or 0 for network in networks)
    return StoredRun(
        status=Status.COMPLETED, objective=objective, objectives=(objective,), metrics=dict(metrics),
        train_seconds=sum(trial.train_seconds for trial in trials.values()), device=first.trial.device,
        seed=spec.seed, config_digest=digest, data_digest=first.dataset.digest, n_parameters=n_parameters,
        timing=Timing(started, time.time(), ""), data=described(spec.data, first.dataset), notes=(LOSS_NOTE, *notes),
        classes=classes, intervals=dict(intervals) or None,
        job_overrides=(*(first.trial.job_overrides or ()), f"{ENSEMBLE}={how}"), **versions_of(),
    )  # fmt: skip
