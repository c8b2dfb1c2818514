"""Out-of-fold predictions: of each row by the network of the fold that held it out, in one file, and their metrics.

Each trial of a cross-validation writes the predictions of its own fold; the end of the sweep puts them together.
Axes: N rows, C classes.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from phalanx.core.csv_text import cell_value, csv_text, override_columns
from phalanx.core.device import threads
from phalanx.core.files import write_text
from phalanx.core.metrics import FURTHER
from phalanx.core.quantities import counted, number
from phalanx.core.result import Status, TrialResult
from phalanx.data import Dataset
from phalanx.nn.losses.stacked import StackedLoss
from phalanx.nn.metrics.compute import Wanted
from phalanx.nn.metrics.from_counts import count_classes
from phalanx.nn.models.base import InputShape
from phalanx.runs.layout import RunPaths, SweepPaths
from phalanx.runs.model_file import saved_logits
from phalanx.runs.stored_run import StoredRun
from phalanx.training.spec import TrialSpec

FOLD = "data.fold"
SHOWN = 5  # cross-validations whose accuracy is printed
COLUMNS = ("row", "fold", "class")  # then one for the probability of each class


def write_fold(paths: RunPaths, spec: TrialSpec, dataset: Dataset, results: Sequence[TrialResult]) -> None:
    """Writes the class probabilities of a fold's validation rows, the mean over the seeds of a trial with several.

    Args:
        paths: The trial's folder.
        spec: The trial.
        dataset: Its data.
        results: Of its seeds; those without weights are left out.
    """
    paths.out_of_fold.unlink(missing_ok=True)  # of an earlier training
    weights = [result.weights for result in results if result.weights is not None]
    if not weights:
        return
    model, cpu, n_classes = spec.model.bound(InputShape(*dataset.sizes)), torch.device("cpu"), dataset.n_classes
    loss, x_ND = StackedLoss([spec.loss], cpu), dataset.val.x_ND.to(cpu)
    with threads(1):
        found = [loss.log_probabilities(saved_logits(model, own, x_ND, n_classes)[None])[0] for own in weights]
    p_NC = torch.stack([log_p_NC.double().exp() for log_p_NC in found]).mean(0).numpy()
    write_text(paths.out_of_fold, predictions_csv([(spec.data.fold, dataset)], p_NC))


def predictions_csv(folds: Sequence[tuple[int, Dataset]], p_NC: np.ndarray) -> str:
    """The text of `oof.csv`, each fold's rows in the order of the source.

    Args:
        folds: Number and data of each fold.
        p_NC: Class probabilities of their validation rows, one fold after another.
    """
    classes, lines, start = folds[0][1].classes, list[list[Any]](), 0
    for fold, dataset in folds:
        numbers, labels = dataset.row_numbers["val"].tolist(), dataset.val.y_N.tolist()
        for place in sorted(range(len(numbers)), key=numbers.__getitem__):
            shown = (f"{p:.9g}" for p in p_NC[start + place])
            lines.append([numbers[place] + 1, fold, classes[labels[place]], *shown])
        start += len(numbers)
    return csv_text([[*COLUMNS, *(f"p_{name}" for name in classes)], *lines])


@dataclass(frozen=True)
class CrossValidation:
    """Trials that differ in their fold alone.

    Attributes:
        overrides: What they have in common.
        trials: Their numbers.
        metrics: Of all their out-of-fold predictions, by name.
        n_rows: How many predictions these are.
    """

    overrides: Mapping[str, str]
    trials: tuple[int, ...]
    metrics: Mapping[str, float]
    n_rows: int


def write_out_of_fold(paths: SweepPaths, trials: Sequence[StoredRun]) -> list[str]:
    """Writes `oof.csv` and `oof_metrics.csv` of a sweep over folds; another sweep has none.

    Args:
        paths: The sweep's folder.
        trials: Its trials, of which those count that were completed.

    Returns:
        What to print of it.
    """
    groups: dict[tuple[tuple[str, str], ...], list[StoredRun]] = {}
    for trial in trials:
        ended = trial.status is Status.COMPLETED  # one that diverged may have weights of an epoch before
        if ended and FOLD in trial.overrides and paths.trial(trial.number).out_of_fold.is_file():
            own = tuple((key, value) for key, value in trial.overrides.items() if key != FOLD)
            groups.setdefault(own, []).append(trial)
    groups = {own: members for own, members in groups.items() if len(members) > 1}
    if not groups:
        for file in (paths.out_of_fold, paths.out_of_fold_metrics):  # of an earlier grid in this folder
            file.unlink(missing_ok=True)
        return []
    header, lines, found = list[str](), list[list[str]](), list[CrossValidation]()
    for own, members in groups.items():
        numbers, rows = tuple(trial.number for trial in members), list[list[str]]()
        for trial_number in numbers:
            header, *fold = _read(paths.trial(trial_number))
            rows += fold
            lines += [[str(trial_number), *row] for row in fold]
        found.append(CrossValidation(dict(own), numbers, _metrics(header, rows), len(rows)))
    write_text(paths.out_of_fold, csv_text([["trial", *header], *lines]))
    write_text(paths.out_of_fold_metrics, _table(found))
    return _sentences(found)


def _read(paths: RunPaths) -> list[list[str]]:
    with paths.out_of_fold.open(newline="", encoding="utf-8") as file:
        return [[cell_value(cell) for cell in row] for row in csv.reader(file)]


def _metrics(header: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, float]:
    """Accuracy, likelihood and the further metrics of predictions."""
    first = len(COLUMNS)
    places = {name.removeprefix("p_"): place for place, name in enumerate(header[first:])}
    y_N = np.array([places[row[first - 1]] for row in rows])
    with np.errstate(divide="ignore"):
        log_p_NC = np.log(np.array([row[first:] for row in rows], np.float64))
    right_N = log_p_NC.argmax(1) == y_N
    counts_3C = count_classes(
        torch.from_numpy(log_p_NC.argmax(1))[None], torch.from_numpy(y_N)[None], len(places)
    )[0].numpy()  # fmt: skip
    further = Wanted(tuple(info.name for info in FURTHER)).compute(counts_3C, log_p_NC.astype(np.float32), y_N)
    likelihood = math.exp(log_p_NC[np.arange(len(y_N)), y_N].mean())
    return {"accuracy": float(right_N.mean()), "likelihood": likelihood, **further}


def _table(found: Sequence[CrossValidation]) -> str:
    keys = list(dict.fromkeys(key for one in found for key in one.overrides))
    names = ["trials", "rows", *found[0].metrics]
    rows = [
        [
            " ".join(map(str, one.trials)),
            one.n_rows,
            *one.metrics.values(),
            *(one.overrides.get(key, "") for key in keys),
        ]
        for one in found
    ]
    return csv_text([[*names, *override_columns(keys, names)], *rows])


def _sentences(found: Sequence[CrossValidation]) -> list[str]:
    shared = set.intersection(*(set(one.overrides.items()) for one in found)) if len(found) > 1 else set()
    lines = []
    for one in sorted(found, key=lambda one: (-len(one.trials), -one.metrics["accuracy"]))[:SHOWN]:  # whole ones first
        own = " ".join(f"{key}={value}" for key, value in one.overrides.items() if (key, value) not in shared)
        accuracy, rows = number(one.metrics["accuracy"]), counted(one.n_rows, "row")
        about = f"out of fold  accuracy {accuracy} over {rows} of {counted(len(one.trials), 'fold')}"
        lines.append(f"{about}  {own}" if own and len(found) > 1 else about)
    return lines
