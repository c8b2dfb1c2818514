"""The runs of one folder in an MLflow store: created, filled, continued and ended, nothing logged twice.

Methods raise what MLflow raises; `phalanx.tracking.sync` decides what that means.
"""

from __future__ import annotations

import getpass
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import phalanx.tracking.connection as connection
import phalanx.tracking.limits as limits
from phalanx.core.errors import RunFolderError
from phalanx.core.redaction import redact
from phalanx.runs.layout import RunPaths
from phalanx.runs.options import TrackingSpec
from phalanx.runs.stored_run import DataSummary
from phalanx.tracking.artifacts import File, late_files, local_folder, place, run_files
from phalanx.tracking.experiments import Delivered, asked_name, open_experiment
from phalanx.tracking.inputs import dataset_inputs, start_monitor
from phalanx.tracking.links import Place, run_path, shown_store, sweep_path
from phalanx.tracking.notes import run_note
from phalanx.tracking.reading import all_runs
from phalanx.tracking.records import RESULT, TRAINING, RunRecord, is_digest

if TYPE_CHECKING:
    from mlflow.entities import Run

OPEN_S = 60.0  # how long another process may take to create an SQLite store
IDENTITY, KEY = "phalanx.id", "phalanx.key"  # tags by which a folder's runs are found
KIND, SWEEP = "phalanx.kind", "sweep"  # the tag that says what a run is, and its value for a sweep's own run
BEST = "best/"  # begins the metric with the best value so far, by trial number


@dataclass
class LoggedRun:
    """What the store has of one record."""

    run_id: str
    artifact_uri: str
    start_ms: int
    parent: str | None = None
    result: str | None = None  # digest of the result that was logged whole; None while it was not
    params: set[str] = field(default_factory=set)
    points: set[tuple[str, int]] = field(default_factory=set)  # (curve, step)
    has_inputs: bool = False
    has_weights: bool = False
    ended: bool = False


class MlflowStore:
    """Logs through MLflow's client with explicit ids.

    Args:
        spec: Which store and experiment; they are created where they do not exist.
        identity: The id of the folder, by which its runs are found again.
        source: The name of the program that trained.
        known: Whether runs of this folder may be in the store already.
        delivered: Where the folder was delivered to before.
    """

    def __init__(
        self, spec: TrackingSpec, identity: str, source: str, *, known: bool = False, delivered: Delivered | None = None
    ) -> None:
        connection.import_mlflow()
        from mlflow import MlflowClient, get_tracking_uri

        connection.write_sqlite_ahead()
        self.spec, self.identity, self.source, self.uri = spec, identity, source, spec.uri or get_tracking_uri()
        self.monitor: Any = None  # MLflow's, which has no types
        self.logged: dict[str, LoggedRun] = {}  # by the records' keys
        self.deleted: set[str] = set()  # keys of runs that somebody deleted in MLflow
        connection.check_store(self.uri)
        connection.check_reachable(self.uri)
        with connection.one_at_a_time(self.uri, OPEN_S):
            self.client = MlflowClient(self.uri)
            before = delivered if delivered is not None and delivered.store == shown_store(self.uri) else None
            found = open_experiment(self.client, spec.experiment, self.uri, before)
        self.experiment, self.experiment_name = str(found.experiment_id), found.name
        if known:
            self.find()

    def close(self) -> None:
        """Has all that was logged in the file of an SQLite store itself."""
        connection.fold_in_sqlite(self.uri)

    def place(self, name: str, *, is_sweep: bool) -> Place:
        """Returns where the folder's topmost run, of this name, is; the page of a sweep lists its trials."""
        run_id = self.logged[""].run_id
        path = sweep_path(self.experiment, self.identity) if is_sweep else run_path(self.experiment, run_id)
        return Place(shown_store(self.uri), self.experiment_name, name, path)

    def delivered(self) -> Delivered:
        """Returns where the folder is delivered to."""
        return Delivered(self.experiment, asked_name(self.spec.experiment), shown_store(self.uri))

    def refuses(self, error: Exception) -> bool:
        """Whether the error is about what was to be logged: the store itself still answers."""
        from mlflow.exceptions import MlflowException

        if not isinstance(error, MlflowException):
            return isinstance(error, (ValueError, TypeError, KeyError, RunFolderError))
        try:
            connection.check_reachable(self.uri)
            self.client.get_experiment(self.experiment)
        except Exception:
            return False
        return True

    def start_monitor(self) -> None:
        """Logs the host's load to the topmost run as metrics under `system/`, if that was asked for."""
        if self.spec.system_metrics and self.monitor is None:
            self.monitor = start_monitor(self.logged[""].run_id, self.uri)

    def stop_monitor(self) -> None:
        """Ends the monitor, which logs what it has."""
        monitor, self.monitor = self.monitor, None
        if monitor is not None:
            monitor.finish()

    def update(self, records: Sequence[RunRecord]) -> bool:
        """Logs what is not in the store yet of a run and its seeds; False if all of it is."""
        if all(self._has(record) for record in records):
            for record in records:
                self._adopt(record)
            return False
        for record in records:
            self.log(record)
        return True

    def _has(self, record: RunRecord) -> bool:
        known = self.logged.get(record.key)
        return known is not None and is_digest(known.result, record)

    def _adopt(self, record: RunRecord) -> None:
        """Moves a run that is in the store below its present parent, if the one that it had was deleted."""
        if record.parent_key is None:
            return
        known, parent = self.logged[record.key], self.logged[record.parent_key].run_id
        if known.parent != parent:
            self.client.set_tag(known.run_id, "mlflow.parentRunId", parent)
            known.parent = parent

    def log(self, record: RunRecord) -> None:
        """Logs what is not in the store yet of the record, and ends its run if it has ended."""
        parent = None if record.parent_key is None else self.logged[record.parent_key].run_id
        tags = {**record.tags, "mlflow.note.content": run_note(record)}
        known = self.logged.get(record.key)
        if known is None:
            known = self.logged[record.key] = self.create(record.key, record.name, tags, record.start_ms, parent)
            tags = {}
        else:
            self._adopt(record)
            if known.ended:  # it is continued, or was trained again
                known.points = self._points(self.client.get_run(known.run_id))
                self.client.update_run(known.run_id, status="RUNNING")
                known.result, known.ended = None, False
        self._fill(known, record, tags)
        if record.ending == TRAINING:
            if record.parent_key is None:
                self.start_monitor()
        else:
            if record.has_files:
                self.upload(known, run_files(RunPaths(record.folder), with_log=record.key != ""))
            self.client.set_terminated(known.run_id, record.state, record.end_ms)
            known.result, known.points, known.ended = record.tags.get(RESULT), set(), True

    def add_late_files(self, record: RunRecord) -> None:
        """Uploads the log, weights and plots of a run that is logged."""
        known, paths = self.logged[record.key], RunPaths(record.folder)
        if known.has_weights:
            return
        is_kept = paths.model.is_file()
        if is_kept and any(file.path == paths.model.name for file in self.client.list_artifacts(known.run_id)):
            known.has_weights = True
            return
        self.upload(known, late_files(paths))
        if is_kept:
            note = limits.cut(run_note(record, known.run_id), limits.TAG)
            self.client.set_tag(known.run_id, "mlflow.note.content", note)
        known.has_weights = is_kept

    def kill(self, keys: Iterable[str]) -> None:
        """Ends runs that were training when their process ended."""
        for key in keys:
            self.client.set_tag(self.logged[key].run_id, "phalanx.status", "killed")
            self.client.set_terminated(self.logged[key].run_id, "KILLED")

    def find(self) -> None:
        """Looks up what the store has of this folder: earlier calls, also those whose answer was lost."""
        found: dict[str, LoggedRun] = {}
        deleted = set[str]()
        runs = all_runs(self.client, self.experiment, f"tags.`{IDENTITY}` = '{self.identity}'", deleted=True)
        for run in sorted(runs, key=lambda run: not run.data.metrics):  # those with numbers first
            key = run.data.tags.get(KEY, "")
            if run.info.lifecycle_stage != "active":
                deleted.add(key)
            elif key not in found:
                found[key] = self._known(run)
            elif run.info.status == "RUNNING" and not run.data.metrics:
                self.client.delete_run(run.info.run_id)  # created twice, since the store did not answer in time
        self.logged, self.deleted = found, deleted - found.keys()

    def _known(self, run: Run) -> LoggedRun:
        tags, ended = run.data.tags, run.info.status != "RUNNING" and run.data.tags.get(KIND) != SWEEP
        return LoggedRun(
            run.info.run_id,
            run.info.artifact_uri,
            run.info.start_time,
            parent=tags.get("mlflow.parentRunId"),
            result=tags.get(RESULT) if run.info.status != "RUNNING" else None,
            params=set(run.data.params),
            points=set() if ended else self._points(run),
            has_inputs=bool(run.inputs and run.inputs.dataset_inputs),
            ended=ended,
        )

    def _points(self, run: Run) -> set[tuple[str, int]]:
        """What the store has of a run's curves."""
        curves = [name for name in run.data.metrics if name.startswith(("epoch/", BEST))]
        history = (point for name in curves for point in self.client.get_metric_history(run.info.run_id, name))
        return {(point.key, point.step) for point in history}

    def create(
        self, key: str, name: str, tags: Mapping[str, str], start_ms: int | None, parent: str | None
    ) -> LoggedRun:  # fmt: skip
        """Creates a run.

        Args:
            key: Its place in the folder, as in `RunRecord`.
            name: What it is called.
            tags: Its tags, beside those by which it is found again.
            start_ms: When it began, in ms since 1970; None for now.
            parent: The id of the run above it.
        """
        own = {**self._origin(), **tags, IDENTITY: self.identity, KEY: key}
        if parent is not None:
            own["mlflow.parentRunId"] = parent
        title = limits.cut(redact(name), limits.NAME)
        run = self.client.create_run(self.experiment, start_ms, limits.legal(own, limits.TAG), title)
        return LoggedRun(run.info.run_id, run.info.artifact_uri, run.info.start_time, parent)

    def _origin(self) -> dict[str, str]:
        """The tags from which MLflow's page fills its columns User and Source."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):
            user = "unknown"  # a container without an account for its user id
        return {"mlflow.user": user, "mlflow.source.name": self.source, "mlflow.source.type": "LOCAL"}

    def _fill(self, known: LoggedRun, record: RunRecord, tags: Mapping[str, str]) -> None:
        end_ms = record.end_ms or int(time.time() * 1000)
        # MLflow's table shows the value logged last, which for a curve is the last epoch's and not the one of the
        # saved weights. So the plain names hold the latter, once, and curves have names of their own; the charts
        # then show bars for the former and lines, in a section of their own, for the latter.
        points = [(key, value, end_ms, 0) for key, value in limits.finite(record.metrics).items()]
        best, ended = record.metrics.get("best_epoch"), record.ending != TRAINING
        curves = limits.curves(record.history, known.start_ms, None if best is None else int(best), ended)
        new = [point for point in curves if (point[0], point[3]) not in known.points]
        params = limits.legal(record.params, limits.PARAM)
        self.batch(known, points + new, {k: v for k, v in params.items() if k not in known.params}, tags)
        known.params |= set(params)
        known.points |= {(point[0], point[3]) for point in new}
        if record.data is not None and not known.has_inputs:
            self.log_inputs(known, record.data, record.tags.get("phalanx.data_digest", ""))

    def batch(
        self, known: LoggedRun, points: Iterable[limits.Point], params: Mapping[str, str], tags: Mapping[str, Any]
    ) -> None:  # fmt: skip
        """Logs points of metrics, params and tags of a run in as few requests as MLflow's limits allow."""
        from mlflow.entities import Metric, Param, RunTag

        entities: dict[str, list[Any]] = {
            "params": [Param(*entry) for entry in params.items()],
            "tags": [RunTag(*entry) for entry in limits.legal(tags, limits.TAG).items()],
            "metrics": [Metric(*point) for point in points],
        }
        for batch in limits.batches(entities):
            self.client.log_batch(known.run_id, **batch, synchronous=True)

    def upload(self, known: LoggedRun, files: Iterable[File]) -> None:
        """Uploads files as artifacts of a run."""
        folder = local_folder(known.artifact_uri)
        if folder is not None:
            place(files, folder)
            return
        with tempfile.TemporaryDirectory() as scratch:
            place(files, Path(scratch))
            self.client.log_artifacts(known.run_id, scratch)

    def log_inputs(self, known: LoggedRun, data: DataSummary, digest: str) -> None:
        """Lists the splits of the data as the run's inputs."""
        self.client.log_inputs(known.run_id, datasets=dataset_inputs(data, digest))
        known.has_inputs = True
