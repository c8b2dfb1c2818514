"""The runs of one folder in an MLflow store: created, filled, continued and ended, nothing logged twice.

Methods raise what MLflow raises; `phalanx.tracking.sync` decides what that means.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import phalanx.tracking.connection as connection
import phalanx.tracking.content as content
from phalanx.core.redaction import redact
from phalanx.runs.layout import RunPaths
from phalanx.runs.options import TrackingSpec
from phalanx.runs.stored_run import DataSummary
from phalanx.tracking.artifacts import upload
from phalanx.tracking.content import RunRecord
from phalanx.tracking.reading import all_runs
from phalanx.tracking.sqlite import tune

MONITOR_S = 5.0  # between two samples of the host's load
OPEN_S = 60.0  # how long another process may take to create an SQLite store
EXPERIMENT_TAGS = {
    "mlflow.note.content": "Runs and sweeps of Phalanx: choose **Model training** at the top left to see them. A sweep "
    "is a parent run with its trials as children. `val_accuracy` and the like are taken at the saved weights; their "
    "curves are under `epoch/`."
}
SWEEP_STATES = {"completed": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
IDENTITY, KEY, RESULT = "phalanx.id", "phalanx.key", "phalanx.result"


@dataclass
class Logged:
    """What the store has of one record."""

    run_id: str
    artifact_uri: str
    start_ms: int
    parent: str | None = None
    result: str | None = None  # digest of the `result.json` that was logged whole; None while it was not
    params: set[str] = field(default_factory=set)
    points: set[tuple[str, int]] = field(default_factory=set)  # (curve, step)
    inputs: bool = False
    late: bool = False  # whether the weights were uploaded
    ended: bool = False


class MlflowStore:
    """Logs through MLflow's client with explicit ids. `identity` names the folder, `source` the program that ran."""

    def __init__(self, spec: TrackingSpec, identity: str, source: str) -> None:
        self.spec, self.identity, self.source = spec, identity, source
        self.uri, self.experiment = spec.uri or "", ""
        self.client: Any = None
        self.monitor: Any = None
        self.logged: dict[str, Logged] = {}

    def open(self, seen: bool) -> None:
        """Connects, creates store and experiment if need be; `seen`: runs of this folder may be there already."""
        connection.set_defaults()
        from mlflow import MlflowClient, get_tracking_uri

        tune()
        self.uri = self.spec.uri or get_tracking_uri()
        connection.refuse_dead(self.uri, connection.users_timeout() or connection.PROBE_S)
        with connection.one_at_a_time(self.uri, OPEN_S):
            client = MlflowClient(self.uri)
            self.experiment = _experiment_id(client, self.spec.experiment)
        self.client = client
        if seen:
            self.find()

    def refuses(self, error: Exception) -> bool:
        """Whether what it was given is at fault, rather than the store being away."""
        from mlflow.exceptions import MlflowException

        if not isinstance(error, MlflowException):
            return isinstance(error, (ValueError, TypeError, KeyError))
        try:
            connection.refuse_dead(self.uri, connection.PROBE_S)
            self.client.get_experiment(self.experiment)
        except Exception:
            return False
        return True

    def start_monitor(self) -> None:
        """From now on the topmost run has the host's load as metrics under `system/`, if that was asked for."""
        if self.spec.system_metrics and self.monitor is None:
            from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

            run_id = self.logged[""].run_id
            self.monitor = SystemMetricsMonitor(run_id, MONITOR_S, resume_logging=True, tracking_uri=self.uri)
            self.monitor.start()

    def stop_monitor(self) -> None:
        """Ends the monitor, which logs what it has."""
        monitor, self.monitor = self.monitor, None
        if monitor is not None:
            monitor.finish()

    def has(self, record: RunRecord) -> bool:
        """Whether the record is there, whole."""
        known = self.logged.get(record.key)
        return known is not None and known.result is not None and known.result == record.tags.get(RESULT)

    def start_sweep(self, name: str, tags: Mapping[str, str], goes_on: bool) -> str:
        """The id of the topmost run; one that is there is set to running if the sweep `goes_on`."""
        known = self.logged.get("")
        if known is None:
            known = self.logged[""] = self._create("", name, tags, int(time.time() * 1000), None)
        elif goes_on:
            self.client.update_run(known.run_id, status="RUNNING")
        return known.run_id

    def adopt(self, record: RunRecord) -> None:
        """Puts a run that is there below its parent, if the one that it had was deleted."""
        if record.parent_key is None:
            return
        known, parent = self.logged[record.key], self.logged[record.parent_key].run_id
        if known.parent != parent:
            self.client.set_tag(known.run_id, "mlflow.parentRunId", parent)
            known.parent = parent

    def log(self, record: RunRecord) -> str:
        """Logs what is not there yet of the record, and ends its run if it has ended. Returns the run's id."""
        parent = None if record.parent_key is None else self.logged[record.parent_key].run_id
        tags = {**record.tags, "mlflow.note.content": content.run_note(record)}
        known, fresh = self.logged.get(record.key), False
        if known is None:
            known, fresh = self._create(record.key, record.name, tags, record.start_ms, parent), True
            self.logged[record.key] = known
        else:
            self.adopt(record)
            if known.ended:
                self._reopen(known)
        self._fill(known, record, {} if fresh else tags)
        if record.status is not None:
            if record.result is not None:
                files = content.run_files(RunPaths(record.folder), log=record.key != "")
                upload(self.client, known, files, record.result)
            self.client.set_terminated(known.run_id, record.state, record.end_ms)
            known.result, known.points, known.ended = record.tags.get(RESULT), set(), True
        return known.run_id

    def _reopen(self, known: Logged) -> None:
        """A run that had ended goes on, or was trained again."""
        known.points = self._points(self.client.get_run(known.run_id))
        self.client.update_run(known.run_id, status="RUNNING")
        known.result, known.ended = None, False

    def add_late_files(self, record: RunRecord, more: Sequence[Path] = ()) -> None:
        """Log, weights and plots of a run whose other files are there already, and `more`."""
        known = self.logged[record.key]
        files = content.late_files(RunPaths(record.folder)) + [(file, None) for file in more]
        if known.late or not files:
            return
        kept = RunPaths(record.folder).model.is_file()
        if kept and self._has_weights(known):
            known.late = True
            return
        upload(self.client, known, files)
        if kept:
            self.client.set_tag(known.run_id, "mlflow.note.content", self._note(record, known))
        known.late = kept

    def end_sweep(self, status: str, summary: Mapping[str, Any], folder: Path, files: Sequence[Path] = ()) -> None:
        """Ends the topmost run; `summary` holds the best trial's metrics and params."""
        metrics, params = summary.get("metrics") or {}, summary.get("params") or {}
        now, known = int(time.time() * 1000), self.logged[""]
        digest = content.digest([status, metrics, params])
        if known.result != digest:
            # Tags, because MLflow's params are written once, and a sweep that goes on may find a better trial.
            tags = {f"best.{key}": value for key, value in params.items()}
            note = content.sweep_note(status, metrics, params, folder)
            tags |= {"phalanx.status": status, "mlflow.note.content": note, RESULT: digest}
            self._batch(known, [(key, value, now, 0) for key, value in content.finite(metrics).items()], {}, tags)
            upload(self.client, known, [*content.sweep_files(folder), *((file, None) for file in files)])
        if known.result != digest or self.client.get_run(known.run_id).info.status == "RUNNING":
            self.client.set_terminated(known.run_id, SWEEP_STATES.get(status, "FAILED"), now)
        known.result = digest

    def kill(self, keys: Iterable[str]) -> None:
        """Ends runs that were training when their process ended."""
        for key in keys:
            self.client.set_tag(self.logged[key].run_id, "phalanx.status", "killed")
            self.client.set_terminated(self.logged[key].run_id, "KILLED")

    def find(self) -> None:
        """Looks up what an earlier delivery of this folder has logged, or one whose answer was lost."""
        found: dict[str, Logged] = {}
        for run in self._own():
            key = run.data.tags.get(KEY, "")
            if key not in found:
                found[key] = self._known(run)
            elif run.info.status == "RUNNING" and not run.data.metrics:
                self.client.delete_run(run.info.run_id)  # created twice, since the store did not answer in time
        self.logged = found

    def _own(self) -> list[Any]:
        """Every run of this folder, those with numbers first."""
        found = list(all_runs(self.client, self.experiment, f"tags.`{IDENTITY}` = '{self.identity}'"))
        return sorted(found, key=lambda run: not run.data.metrics)

    def _known(self, run: Any) -> Logged:
        tags = run.data.tags
        parent = tags.get("mlflow.parentRunId")
        known = Logged(run.info.run_id, run.info.artifact_uri, run.info.start_time, parent)
        known.params, known.inputs = set(run.data.params), bool(run.inputs and run.inputs.dataset_inputs)
        known.ended = run.info.status != "RUNNING"
        known.result = tags.get(RESULT) if known.ended else None
        known.points = set() if known.ended else self._points(run)
        return known

    def _points(self, run: Any) -> set[tuple[str, int]]:
        """What the store has of a run's curves."""
        curves = [name for name in run.data.metrics if name.startswith("epoch/")]
        history = (point for name in curves for point in self.client.get_metric_history(run.info.run_id, name))
        return {(point.key, point.step) for point in history}

    def _create(
        self, key: str, name: str, tags: Mapping[str, str], start_ms: int | None, parent: str | None
    ) -> Logged:  # fmt: skip
        own = {**content.origin(self.source), **tags, IDENTITY: self.identity, KEY: key}
        if parent is not None:
            own["mlflow.parentRunId"] = parent
        title = content.cut(redact(name), content.KEY)
        run = self.client.create_run(self.experiment, start_ms, content.legal(own, content.TAG), title)
        return Logged(run.info.run_id, run.info.artifact_uri, run.info.start_time, parent)

    def _fill(self, known: Logged, record: RunRecord, tags: Mapping[str, str]) -> None:
        end_ms = record.end_ms or int(time.time() * 1000)
        # MLflow's table shows the value logged last, which for a curve is the last epoch's and not the one of the
        # saved weights. So the plain names hold the latter, once, and curves have names of their own; the charts
        # then show bars for the former and lines, in a section of their own, for the latter.
        points = [(key, value, end_ms, 0) for key, value in content.finite(record.metrics).items()]
        curves = content.curves(record.history, known.start_ms)
        new = [point for point in curves if (point[0], point[3]) not in known.points]
        params = content.legal(record.params, content.PARAM)
        self._batch(known, points + new, {k: v for k, v in params.items() if k not in known.params}, tags)
        known.params |= set(params)
        known.points |= {(point[0], point[3]) for point in new}
        if record.data is not None and not known.inputs:
            self._log_inputs(known, record.data, record.tags.get("phalanx.data_digest", ""))

    def _batch(
        self, known: Logged, points: Iterable[content.Point], params: Mapping[str, str], tags: Mapping[str, Any]
    ) -> None:  # fmt: skip
        from mlflow.entities import Metric, Param, RunTag

        metrics = [Metric(*point) for point in points]
        plain = [Param(*entry) for entry in params.items()]
        marks = [RunTag(*entry) for entry in content.legal(tags, content.TAG).items()]
        for batch in content.batches(metrics, plain, marks):
            self.client.log_batch(known.run_id, **batch, synchronous=True)

    def _log_inputs(self, known: Logged, data: DataSummary, digest: str) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        inputs = []
        for context, name, source, profile in content.splits(data, digest):
            dataset = Dataset(data.name, name, "phalanx", content.source_json(source), profile=profile)
            inputs.append(DatasetInput(dataset, [InputTag("mlflow.data.context", context)]))
        self.client.log_inputs(known.run_id, inputs)
        known.inputs = True

    def _has_weights(self, known: Logged) -> bool:
        return any(file.path == "model.safetensors" for file in self.client.list_artifacts(known.run_id))

    def _note(self, record: RunRecord, known: Logged) -> str:
        note = content.run_note(record, known.run_id)
        return content.cut(note, content.TAG)


def _experiment_id(client: Any, name: str) -> str:
    """The id of the experiment, which is created if need be. Raises `Unusable` if it was deleted."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, tags=EXPERIMENT_TAGS))
        except MlflowException as error:
            found = client.get_experiment_by_name(name)
            if error.error_code != "RESOURCE_ALREADY_EXISTS" or found is None:
                raise
    if found.lifecycle_stage != "active":
        raise connection.Unusable(connection.deleted(name, found.experiment_id))
    return str(found.experiment_id)
