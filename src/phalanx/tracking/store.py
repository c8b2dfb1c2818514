"""The runs of one folder in an MLflow store: created, filled, continued and ended, nothing logged twice.

Methods raise what MLflow raises; `phalanx.tracking.sync` decides what that means.
"""

from __future__ import annotations

import getpass
import hashlib
import json
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
from phalanx.runs.layout import RunPaths, relative
from phalanx.runs.options import TrackingSpec
from phalanx.runs.stored_run import DataSummary
from phalanx.runs.sweep_folder import sweep_summary
from phalanx.tracking.artifacts import File, late_files, local_folder, place, run_files, sweep_files
from phalanx.tracking.notes import run_note, sweep_note
from phalanx.tracking.reading import all_runs
from phalanx.tracking.records import RESULT, STATES, TRAINING, RunRecord, is_digest

if TYPE_CHECKING:
    from mlflow.entities import Run

MONITOR_S = 5.0  # between two samples of the host's load
OPEN_S = 60.0  # how long another process may take to create an SQLite store
IDENTITY, KEY = "phalanx.id", "phalanx.key"  # tags by which a folder's runs are found


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
    """

    def __init__(self, spec: TrackingSpec, identity: str, source: str, *, known: bool = False) -> None:
        connection.import_mlflow()
        from mlflow import MlflowClient, get_tracking_uri

        connection.write_sqlite_ahead()
        self.spec, self.identity, self.source, self.uri = spec, identity, source, spec.uri or get_tracking_uri()
        self.monitor: Any = None  # MLflow's, which has no types
        self.logged: dict[str, LoggedRun] = {}  # by the records' keys
        connection.check_reachable(self.uri)
        with connection.one_at_a_time(self.uri, OPEN_S):
            self.client = MlflowClient(self.uri)
            self.experiment = connection.experiment_id(self.client, spec.experiment)
        if known:
            self.find()

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

    def _start_monitor(self) -> None:
        """Logs the host's load to the topmost run as metrics under `system/`, if that was asked for."""
        if self.spec.system_metrics and self.monitor is None:
            from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

            run_id = self.logged[""].run_id
            self.monitor = SystemMetricsMonitor(run_id, MONITOR_S, resume_logging=True, tracking_uri=self.uri)  # type: ignore[no-untyped-call]
            self.monitor.start()

    def stop_monitor(self) -> None:
        """Ends the monitor, which logs what it has."""
        monitor, self.monitor = self.monitor, None
        if monitor is not None:
            monitor.finish()

    def start_sweep(self, root: Path, *, running: bool) -> str:
        """Returns the id of the run of a sweep, created or, if the sweep is `running` again, set to running."""
        known, name = self.logged.get(""), root.absolute().name
        if known is None:
            tags = {"phalanx.kind": "sweep", "phalanx.study": name, "phalanx.folder": relative(root)}
            known = self.logged[""] = self._create("", name, tags, int(time.time() * 1000), None)
        elif running:
            self.client.update_run(known.run_id, status="RUNNING")
        self._start_monitor()
        return known.run_id

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
            known = self.logged[record.key] = self._create(record.key, record.name, tags, record.start_ms, parent)
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
                self._start_monitor()
        else:
            if record.has_files:
                self._upload(known, run_files(RunPaths(record.folder), with_log=record.key != ""))
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
        self._upload(known, late_files(paths))
        if is_kept:
            note = limits.cut(run_note(record, known.run_id), limits.TAG)
            self.client.set_tag(known.run_id, "mlflow.note.content", note)
        known.has_weights = is_kept

    def end_sweep(self, root: Path, status: str | None) -> None:
        """Ends the run of a sweep with the numbers of its best trial; `status` is None if its process was killed."""
        summary, known, now = sweep_summary(root), self.logged[""], int(time.time() * 1000)
        status = status or summary.get("status") or "interrupted"
        metrics, params = summary.get("metrics") or {}, summary.get("params") or {}
        digest = hashlib.sha256(json.dumps([status, metrics, params], sort_keys=True).encode()).hexdigest()[:16]
        if known.result != digest:
            # Tags, because MLflow's params are written once, and a sweep that is continued may find a better trial.
            tags = {f"best.{key}": value for key, value in params.items()}
            tags |= {"phalanx.status": status, "mlflow.note.content": sweep_note(root, summary, status), RESULT: digest}
            self._batch(known, [(key, value, now, 0) for key, value in limits.finite(metrics).items()], {}, tags)
            self._upload(known, sweep_files(root))
        if known.result != digest or self.client.get_run(known.run_id).info.status == "RUNNING":
            self.client.set_terminated(known.run_id, STATES.get(status, "FAILED"), now)
        known.result = digest

    def kill(self, keys: Iterable[str]) -> None:
        """Ends runs that were training when their process ended."""
        for key in keys:
            self.client.set_tag(self.logged[key].run_id, "phalanx.status", "killed")
            self.client.set_terminated(self.logged[key].run_id, "KILLED")

    def find(self) -> None:
        """Looks up what the store has of this folder: earlier calls, also those whose answer was lost."""
        found: dict[str, LoggedRun] = {}
        runs = all_runs(self.client, self.experiment, f"tags.`{IDENTITY}` = '{self.identity}'")
        for run in sorted(runs, key=lambda run: not run.data.metrics):  # those with numbers first
            key = run.data.tags.get(KEY, "")
            if key not in found:
                found[key] = self._known(run)
            elif run.info.status == "RUNNING" and not run.data.metrics:
                self.client.delete_run(run.info.run_id)  # created twice, since the store did not answer in time
        self.logged = found

    def _known(self, run: Run) -> LoggedRun:
        tags, ended = run.data.tags, run.info.status != "RUNNING"
        return LoggedRun(
            run.info.run_id,
            run.info.artifact_uri,
            run.info.start_time,
            parent=tags.get("mlflow.parentRunId"),
            result=tags.get(RESULT) if ended else None,
            params=set(run.data.params),
            points=set() if ended else self._points(run),
            has_inputs=bool(run.inputs and run.inputs.dataset_inputs),
            ended=ended,
        )

    def _points(self, run: Run) -> set[tuple[str, int]]:
        """What the store has of a run's curves."""
        curves = [name for name in run.data.metrics if name.startswith("epoch/")]
        history = (point for name in curves for point in self.client.get_metric_history(run.info.run_id, name))
        return {(point.key, point.step) for point in history}

    def _create(
        self, key: str, name: str, tags: Mapping[str, str], start_ms: int | None, parent: str | None
    ) -> LoggedRun:  # fmt: skip
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
        curves = limits.curves(record.history, known.start_ms)
        new = [point for point in curves if (point[0], point[3]) not in known.points]
        params = limits.legal(record.params, limits.PARAM)
        self._batch(known, points + new, {k: v for k, v in params.items() if k not in known.params}, tags)
        known.params |= set(params)
        known.points |= {(point[0], point[3]) for point in new}
        if record.data is not None and not known.has_inputs:
            self._log_inputs(known, record.data, record.tags.get("phalanx.data_digest", ""))

    def _batch(
        self, known: LoggedRun, points: Iterable[limits.Point], params: Mapping[str, str], tags: Mapping[str, Any]
    ) -> None:  # fmt: skip
        from mlflow.entities import Metric, Param, RunTag

        entities: dict[str, list[Any]] = {
            "params": [Param(*entry) for entry in params.items()],
            "tags": [RunTag(*entry) for entry in limits.legal(tags, limits.TAG).items()],
            "metrics": [Metric(*point) for point in points],
        }
        for batch in limits.batches(entities):
            self.client.log_batch(known.run_id, **batch, synchronous=True)

    def _upload(self, known: LoggedRun, files: Iterable[File]) -> None:
        folder = local_folder(known.artifact_uri)
        if folder is not None:
            place(files, folder)
            return
        with tempfile.TemporaryDirectory() as scratch:
            place(files, Path(scratch))
            self.client.log_artifacts(known.run_id, scratch)

    def _log_inputs(self, known: LoggedRun, data: DataSummary, digest: str) -> None:
        """Lists the splits of the data as the run's inputs."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        inputs, source = [], json.dumps({"uri": redact(data.source)})
        for split, context in (("train", "training"), ("val", "validation"), ("test", "testing")):
            n_rows = getattr(data, f"n_{split}")
            profile = {"num_rows": n_rows, "n_features": data.n_features, "n_classes": data.n_classes}
            # MLflow takes two inputs of one name and digest for one, so each split has a digest of its own.
            dataset = Dataset(data.name, f"{digest}-{split}", "phalanx", source, profile=json.dumps(profile))
            inputs.append(DatasetInput(dataset, [InputTag("mlflow.data.context", context)]))
        self.client.log_inputs(known.run_id, datasets=inputs)
        known.has_inputs = True
