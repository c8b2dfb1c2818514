"""What the two cheapest baselines reach in the objective of a search, for two lines in its report."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from phalanx.core.metrics import split_name
from phalanx.data import Dataset
from phalanx.data.cache import dataset_of
from phalanx.data.table_encoder import TableFeatures
from phalanx.nn.models.logistic_regression import LogisticRegression
from phalanx.nn.models.majority import Majority
from phalanx.runs.config import trial_spec
from phalanx.runs.config_file import read_values
from phalanx.runs.layout import SweepPaths
from phalanx.runs.manifest import Sweep
from phalanx.runs.stored_run import StoredRun
from phalanx.runs.trained_on import with_places
from phalanx.training.data_check import check_baseline
from phalanx.training.estimator_cohort import measured
from phalanx.training.spec import TrialSpec

log = logging.getLogger(__name__)

LINES = (Majority(), LogisticRegression(max_iter=100))
MOST_NUMBERS = 2e7  # training rows × features × classes of all folds, which take a second or two; of more, no lines


def reference_values(paths: SweepPaths, trials: Sequence[StoredRun]) -> dict[str, float]:
    """The objective of each of these baselines on the rows and folds of a search, by the baseline's name.

    They are fitted to the training rows and measured where the objective is, never on the test split. Nothing is
    returned where the trials have different data or the data are no table, and for tables above `MOST_NUMBERS`.

    Args:
        paths: The sweep's folder.
        trials: Its trials.
    """
    completed = [trial for trial in trials if trial.value is not None and trial.data_digest is not None]
    if len({(trial.data_digest, trial.seed) for trial in completed}) != 1:
        return {}
    try:
        folder = paths.trial(completed[0].number)
        spec = trial_spec(with_places(read_values(folder.config_resolved), folder.root))
        placed = Sweep.of(folder.root, completed[0].number).specs(spec)
        datasets = [dataset_of(data) for data in dict.fromkeys(one.data for one in placed)]
        numbers = sum(len(data.train) * data.n_features * data.n_classes for data in datasets)
        if numbers > MOST_NUMBERS or not all(isinstance(data.features, TableFeatures) for data in datasets):
            return {}
        found = {model.name: _value(replace(spec, model=model), datasets) for model in LINES}
        return {name: value for name, value in found.items() if math.isfinite(value)}
    except Exception:
        log.debug("the report has no lines of baselines", exc_info=True)
        return {}


def _value(spec: TrialSpec, datasets: Sequence[Dataset]) -> float:
    """The objective, a mean over the folds as for the trials."""
    split, metric = split_name(spec.objective)
    values = []
    for dataset in datasets:
        check_baseline(spec, dataset)
        values.append(measured(spec, dataset, split).flat()[metric])
    return fmean(values)
