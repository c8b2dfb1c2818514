"""Reads runs back from a tracking store: those of an experiment, and the configuration of one run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import phalanx.tracking.connection as connection
from phalanx.core.errors import RequestError
from phalanx.core.reading import read_text
from phalanx.tracking.artifacts import local_folder
from phalanx.tracking.experiments import check_active

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

T = TypeVar("T")

PAGE = 1000  # runs in one answer
READ_S = 60.0  # how long reading may take


@dataclass(frozen=True)
class TrackedRun:
    """One run of an experiment. `metrics` has the last value of each; the points of curves are named `epoch/…`."""

    run_id: str
    name: str
    status: str  # as in MLflow: RUNNING, FINISHED, FAILED, KILLED
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    artifact_uri: str
    start_ms: int | None  # since 1970
    end_ms: int | None
    parent: str | None  # id of the parent run; None too where the parent was deleted

    @property
    def artifacts(self) -> Path | None:
        """The folder of its artifacts, if that is on this machine."""
        folder = local_folder(self.artifact_uri)
        return folder if folder is not None and folder.is_dir() else None


def read_experiment(name: str, uri: str | None = None) -> list[TrackedRun]:
    """Returns all runs of the experiment `name` that were not deleted, newest first; sweeps (parents) are among them.

    `uri` is the tracking store; None: MLFLOW_TRACKING_URI, else MLflow's default. Raises `RequestError` where there
    is no such experiment, it was deleted, or the store cannot be used, each with what to do about it.
    """

    def call(client: MlflowClient) -> list[TrackedRun]:
        found = client.get_experiment_by_name(name)
        if found is None:
            names = [experiment.name for experiment in client.search_experiments(max_results=20)]
            raise connection.Unusable(
                f"there is no experiment {name!r}; there are: {', '.join(map(repr, names)) or 'none'}"
            )
        check_active(found)
        return _tracked(list(all_runs(client, found.experiment_id)))

    return _ask(uri, call)


@dataclass(frozen=True)
class TrackedConfig:
    """What a tracked run was trained with: the text of its `config.yaml`, and values that replace some of it."""

    config: str
    changes: dict[str, int]
    folder: str = ""  # in which the run was
    data_digest: str = ""


def run_config(run_id: str, uri: str | None = None) -> TrackedConfig:
    """Returns the configuration that a tracked run was trained with.

    Of a sweep it is the best trial's. Raises `RequestError` where there is no such run, or it has no configuration.
    """

    def call(client: MlflowClient) -> TrackedConfig:
        run, changes = _run(client, run_id), {}
        tags = run.data.tags
        if tags.get("phalanx.kind") == "seed":
            changes = {"seed": int(tags["phalanx.seed"])}
            run = _run(client, tags["mlflow.parentRunId"])
        name = "best_config.yaml" if tags.get("phalanx.kind") == "sweep" else "config.yaml"
        tags = run.data.tags
        found = tags.get("phalanx.folder", ""), tags.get("phalanx.data_digest", "")
        return TrackedConfig(_text(client, run, name), changes, *found)

    return _ask(uri, call)


def all_runs(client: MlflowClient, experiment_id: str, query: str = "", *, deleted: bool = False) -> Iterator[Run]:
    """Yields every run of an experiment, page by page.

    Args:
        client: Of the store.
        experiment_id: The experiment's id.
        query: A filter of `MlflowClient.search_runs`; all runs if empty.
        deleted: Whether to yield those that were deleted too.
    """
    from mlflow.entities import ViewType

    token, view = None, ViewType.ALL if deleted else ViewType.ACTIVE_ONLY
    while True:
        page = client.search_runs([experiment_id], query, view, max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _ask(uri: str | None, call: Callable[[MlflowClient], T]) -> T:
    """What `call(client)` returns for the store at `uri`. Raises `RequestError` if the store cannot be used."""
    connection.import_mlflow()
    from mlflow import MlflowClient, get_tracking_uri

    store = uri or get_tracking_uri()

    def connected() -> T:
        file = connection.sqlite_file(store)
        if file is not None and not file.is_file():  # which MLflow would create
            raise connection.Unusable(
                f"there is no database {file.name} in {file.parent}; give tracking.uri=sqlite:///<file>"
            )
        connection.check_store(store)
        connection.check_reachable(store)
        return call(MlflowClient(store))

    try:
        return connection.within(READ_S, connected)
    except Exception as error:
        raise RequestError(f"the tracking store cannot be read: {connection.cause(error, store)}") from None


def _run(client: MlflowClient, run_id: str) -> Run:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise connection.Unusable(
                f"it has no run {run_id!r}; the id of a run is in its folder and in `mlflow ui`"
            ) from error
        raise


def _text(client: MlflowClient, run: Run, name: str) -> str:
    """The text of an artifact; of the file in the run's own folder if the artifact is gone."""
    own = Path(run.data.tags.get("phalanx.folder", "")) / name
    try:
        with tempfile.TemporaryDirectory() as scratch:
            return read_text(Path(client.download_artifacts(run.info.run_id, name, scratch)).resolve())
    except Exception as error:
        if own.is_file():
            return read_text(own)
        why = "its artifacts are gone, or Phalanx did not log it"
        raise connection.Unusable(f"the run {run.info.run_id} has no {name}: {why}") from error


def _tracked(runs: list[Run]) -> list[TrackedRun]:
    known = {run.info.run_id for run in runs}
    return [
        TrackedRun(
            run_id=run.info.run_id, name=run.info.run_name or "", status=run.info.status, params=dict(run.data.params),
            metrics=dict(run.data.metrics), tags=dict(run.data.tags), artifact_uri=run.info.artifact_uri,
            start_ms=run.info.start_time, end_ms=run.info.end_time,
            parent=parent if (parent := run.data.tags.get("mlflow.parentRunId")) in known else None,
        )
        for run in runs
    ]  # fmt: skip
