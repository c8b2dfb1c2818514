"""What a tracking store holds, read back: the runs of an experiment, and what one run was started with."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import phalanx.tracking.connection as connection
import phalanx.tracking.content as content
from phalanx.core.errors import RequestError
from phalanx.tracking.artifacts import local

T = TypeVar("T")

PAGE = 1000  # runs asked for at once
READ_S = 60.0  # how long a store may take for one answer


@dataclass(frozen=True)
class TrackedRun:
    """One run of an experiment. `metrics` holds the last value of each; curves are under `epoch/`."""

    run_id: str
    name: str
    status: str  # MLflow's word: RUNNING, FINISHED, FAILED, KILLED
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    artifact_uri: str
    start_ms: int | None
    end_ms: int | None
    parent: str | None  # id of the parent run; None too where the parent was deleted

    @property
    def artifacts(self) -> Path | None:
        """The folder of its artifacts, where that is on this machine."""
        folder = local(self.artifact_uri)
        return folder if folder is not None and folder.is_dir() else None


def read_experiment(name: str, uri: str | None = None) -> list[TrackedRun]:
    """All runs of the experiment `name` that were not deleted, newest first; sweeps (parents) are among them.

    `uri` is the tracking store; None: MLFLOW_TRACKING_URI, else MLflow's default. Raises `RequestError` where there
    is no such experiment, it was deleted, or the store cannot be used, each with what to do about it.
    """

    def call(client: Any) -> list[TrackedRun]:
        found = client.get_experiment_by_name(name)
        if found is None:
            raise connection.Unusable(f"there is no experiment {name!r}; there are: {_names(client)}")
        if found.lifecycle_stage != "active":
            raise connection.Unusable(connection.deleted(name, found.experiment_id))
        return _linked(list(all_runs(client, found.experiment_id)))

    return asked(uri, call)


def run_config(run_id: str, uri: str | None = None) -> tuple[str, dict[str, Any]]:
    """The text of the `config.yaml` that a tracked run was trained with, and values that replace some of it.

    Of a sweep it is the best trial's. Raises `RequestError` where there is no such run, or it has no configuration.
    """

    def call(client: Any) -> tuple[str, dict[str, Any]]:
        run, changes = _run(client, run_id), {}
        tags = run.data.tags
        if tags.get("phalanx.kind") == "seed":
            changes = {"seed": int(tags["phalanx.seed"])}
            run = _run(client, tags["mlflow.parentRunId"])
        name = "best_config.yaml" if tags.get("phalanx.kind") == "sweep" else "config.yaml"
        return _text(client, run, name), changes

    return asked(uri, call)


def _run(client: Any, run_id: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise connection.Unusable(
                f"it has no run {run_id!r}; ids of runs are in result.json and in `mlflow ui`"
            ) from error
        raise


def _text(client: Any, run: Any, name: str) -> str:
    """The text of an artifact; the file in the run's own folder where that one is gone."""
    own = Path(run.data.tags.get("phalanx.folder", "")) / name
    try:
        with tempfile.TemporaryDirectory() as scratch:
            return Path(client.download_artifacts(run.info.run_id, name, scratch)).read_text(encoding="utf-8")
    except Exception as error:
        if own.is_file():
            return own.read_text(encoding="utf-8")
        why = "its artifacts are gone, or Phalanx did not log it"
        raise connection.Unusable(f"the run {run.info.run_id} has no {name}: {why}") from error


def asked(uri: str | None, call: Callable[[Any], T]) -> T:
    """What `call(client)` returns for the store at `uri`. Raises `RequestError` if the store cannot be used."""
    connection.set_defaults()
    from mlflow import MlflowClient, get_tracking_uri

    place = uri or get_tracking_uri()

    def opened() -> T:
        _refuse_absent(place)
        connection.refuse_dead(place, connection.users_timeout() or connection.PROBE_S)
        return call(MlflowClient(place))

    try:
        return connection.within(READ_S, opened)
    except Exception as error:
        raise RequestError(f"the tracking store cannot be read: {content.cause(error, place)}") from None


def _refuse_absent(uri: str) -> None:
    """MLflow creates an SQLite file that is not there, which is not what a reader wants."""
    file = connection.sqlite_file(uri)
    if file is not None and not file.is_file():
        raise connection.Unusable(
            f"there is no database {file.name} in {file.parent}; give tracking.uri=sqlite:///<file>"
        )


def _names(client: Any) -> str:
    names = [experiment.name for experiment in client.search_experiments(max_results=20)]
    return ", ".join(map(repr, names)) or "none"


def all_runs(client: Any, experiment_id: str, query: str = "") -> Iterator[Any]:
    """Every run of an experiment that answers the query and was not deleted, page by page."""
    token = None
    while True:
        page = client.search_runs([experiment_id], query, max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _linked(runs: list[Any]) -> list[TrackedRun]:
    known = {run.info.run_id for run in runs}
    found = []
    for run in runs:
        info, tags = run.info, dict(run.data.tags)
        parent = tags.get("mlflow.parentRunId")
        record = TrackedRun(
            run_id=info.run_id, name=info.run_name or "", status=info.status, params=dict(run.data.params),
            metrics=dict(run.data.metrics), tags=tags, artifact_uri=info.artifact_uri, start_ms=info.start_time,
            end_ms=info.end_time, parent=parent if parent in known else None,
        )  # fmt: skip
        found.append(record)
    return found
