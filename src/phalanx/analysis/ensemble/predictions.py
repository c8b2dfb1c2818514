"""Class probabilities of validation rows that a search keeps of its trials, so that it need not keep their weights.

Each trial writes its own; the end of the search puts them into one file. Axes: N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from phalanx.core.device import threads
from phalanx.core.result import Status, TrialResult
from phalanx.data import Dataset
from phalanx.runs.layout import RunPaths, SweepPaths
from phalanx.runs.model_file import model_entries, rebuild
from phalanx.runs.sweep_folder import trial_numbers
from phalanx.runs.tensor_file import read_arrays, write_tensors
from phalanx.training.spec import TrialSpec

WHAT = "validation predictions"
Place = tuple[int, int]  # the number of a trial, and the place of a training among its seeds and folds


def write_predictions(
    paths: RunPaths, specs: Sequence[TrialSpec], datasets: Sequence[Dataset], results: Sequence[TrialResult]
) -> None:
    """Writes the class probabilities, float32 (N, C), of the validation rows of each training of a completed trial.

    Args:
        paths: The trial's folder.
        specs: Its trainings.
        datasets: The data of each.
        results: Of each.
    """
    paths.validation.unlink(missing_ok=True)  # of an earlier training
    if not all(result.status is Status.COMPLETED and result.weights is not None for result in results):
        return
    found: dict[str, torch.Tensor] = {}
    with threads(1):
        for place, (spec, dataset, result) in enumerate(zip(specs, datasets, results, strict=True)):
            model = rebuild(model_entries(spec, dataset, result), result.weights or {}, paths.model)
            found[str(place)] = model.probabilities_of(model.logits(dataset.val.x_ND.to("cpu")))
    write_tensors(paths.validation, found, {"of": [result.config_digest for result in results]})


def read_predictions(paths: SweepPaths) -> dict[Place, np.ndarray]:
    """The probabilities that a search has kept, those in the one file and those of single trials.

    Raises `UnreadableFile` if a file is damaged.
    """
    found: dict[Place, np.ndarray] = {}
    if paths.validation.is_file():
        for name, p_NC in read_arrays(paths.validation, WHAT)[1].items():
            trial, _, place = name.partition(".")
            found[int(trial), int(place)] = p_NC
    for number in trial_numbers(paths):
        file = paths.trial(number).validation
        if file.is_file():
            found |= {(number, int(own)): p_NC for own, p_NC in read_arrays(file, WHAT)[1].items()}
    return found


def gather_predictions(paths: SweepPaths) -> None:
    """Puts the files of the trials into one, and then deletes them. Raises `UnreadableFile` as `read_predictions`."""
    files = [paths.trial(number).validation for number in trial_numbers(paths)]
    files = [file for file in files if file.is_file()]
    if not files:
        return
    found = {f"{number}.{place}": torch.from_numpy(p_NC) for (number, place), p_NC in read_predictions(paths).items()}
    write_tensors(paths.validation, found, {"n_trainings": len(found)})
    for file in files:
        file.unlink()
