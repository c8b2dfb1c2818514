"""Writes the result, metrics, model and input example of a run to its folder, and reads a whole run back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from phalanx.core.errors import Failure, RunFolderError
from phalanx.core.files import write_json, write_text
from phalanx.core.reading import parse_json
from phalanx.core.result import Metrics, Objective, Status, TrialResult
from phalanx.data import Dataset
from phalanx.data.base import DataSpec
from phalanx.data.cache import dataset_of
from phalanx.runs.config import trial_spec
from phalanx.runs.config_file import read_values
from phalanx.runs.layout import RunPaths
from phalanx.runs.metrics_csv import metrics_csv, read_metrics
from phalanx.runs.model_file import save_model
from phalanx.runs.provenance import git_state, machine, versions
from phalanx.runs.stored_run import DataSummary, SeedResult, StoredRun, read_stored_run, write_stored_run
from phalanx.runs.tensor_file import read_tensors
from phalanx.runs.trained_on import with_places
from phalanx.training.metric_check import MOST_CLASSES
from phalanx.training.spec import TrialSpec

EXAMPLE_ROWS = 3


def write_run(
    paths: RunPaths, spec: TrialSpec, dataset: Dataset, result: TrialResult, *, objectives: Sequence[Objective] = (),
    failure: Failure | None = None, aggregate: str | None = None, repeats: Sequence[SeedResult] = (),
    job_overrides: tuple[str, ...] = (), intervals: Mapping[str, tuple[float, float]] | None = None,
) -> StoredRun:  # fmt: skip
    """Writes metrics, model and result of a run, `result.json` last.

    Args:
        paths: The run's folder.
        spec: The trial that was trained.
        dataset: The data that it was trained on.
        result: What the training returned; with several seeds their results as one.
        objectives: Every objective of the trial; empty for the one in `result`.
        failure: Why the run failed or diverged; None if it did not.
        aggregate: How the values of several seeds became one; None for one seed.
        repeats: The result of each seed, where there are several.
        job_overrides: The overrides of its job, as Hydra had them.
        intervals: 95 % intervals of the test metrics over the test samples; None or empty where there are none.

    Returns:
        The record that was written.
    """
    write_text(paths.metrics, metrics_csv(result.history))
    save_model(paths.model, spec, dataset, result)
    own: dict[str, Any] = {f.name: getattr(result, f.name) for f in fields(result)}
    del own["history"], own["weights"]
    own |= {"metrics": result.metrics.flat(), "data": described(spec.data, dataset), **versions_of()}
    several = tuple(objectives) or (result.objective,)
    stored = StoredRun(
        **own, failure=failure, objectives=several, aggregate=aggregate, repeats=tuple(repeats),
        job_overrides=job_overrides, intervals=dict(intervals) if intervals else None,
    )  # fmt: skip
    write_stored_run(paths, stored)
    return stored


def versions_of() -> dict[str, Any]:
    """The fields of `StoredRun` that tell with what, and where, a run is made."""
    return {"versions": versions(), "machine": machine(), "git": git_state()}


def described(spec: DataSpec, dataset: Dataset) -> DataSummary:
    """The data that a run is trained on, as a tracking store lists its inputs."""
    source = str(getattr(spec, "path", None) or getattr(spec, "root", None) or dataset.name)
    sizes = len(dataset.train), len(dataset.val), len(dataset.test)
    own = {key: getattr(dataset, key) for key in ("n_features", "n_classes", "official_test", "inputs", "notes")}
    title = "" if (label := spec.label()) == dataset.name else label
    classes = dataset.classes if dataset.n_classes <= MOST_CLASSES else ()
    return DataSummary(dataset.name, source, *sizes, **own, title=title, classes=classes)


def write_failure(paths: RunPaths, error: str, failure: Failure | None = None, **known: Any) -> None:
    """Writes `result.json` of a run without a result: status `failed`, null for all that is not known.

    Args:
        paths: The run's folder.
        error: What happened, for the user.
        failure: The kind of failure.
        **known: Fields of `StoredRun`.
    """
    known |= {"error": error, "failure": failure, **versions_of()}
    nothing = Objective("", None, "")
    write_stored_run(paths, StoredRun(status=Status.FAILED, objective=nothing, metrics=Metrics().flat(), **known))


def read_run(paths: RunPaths) -> tuple[TrialSpec, Dataset, TrialResult]:
    """The spec, data and result of a finished run. Raises `RunFolderError` if it is damaged."""
    spec = trial_spec(with_places(read_values(paths.config_resolved), paths.root))
    stored = read_stored_run(paths.check().root)
    try:
        weights = read_tensors(paths.model)[1] if paths.model.is_file() else None
        result = TrialResult.from_json(stored.to_json(), read_metrics(paths.metrics, stored.n_rows), weights)
    except (KeyError, TypeError, ValueError) as error:
        raise RunFolderError(f"{paths.root} is not a run of this version of Phalanx: {error}") from error
    return spec, dataset_of(spec.data), result


def write_example(paths: RunPaths, spec: DataSpec) -> None:
    """Writes the first rows of the data source: the input example of the registered model."""
    rows = spec.read().x[:EXAMPLE_ROWS]
    if isinstance(rows, np.ndarray):
        content = rows.reshape(len(rows), -1).tolist()
        write_json(paths.example, {"data": content})
    else:  # a pandas table
        write_json(paths.example, parse_json(rows.to_json(orient="split", index=False), "the table"))
