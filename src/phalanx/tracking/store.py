"""Trackers: where finished runs are logged for comparison. The only module that imports MLflow, and only when used.

A tracker that fails, hangs or is unreachable costs one warning and a few seconds, never a run: everything is in the
run folder before a tracker hears of it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from phalanx.paths import RunPaths, SweepPaths, relative
from phalanx.tracking import content, guard
from phalanx.tracking.content import RunRecord
from phalanx.tracking.spec import TrackingSpec

log = logging.getLogger(__name__)
T = TypeVar("T")

CALL_S = 60.0  # how long one call may take, uploads included
EXPERIMENT_TAGS = {
    "mlflow.note.content": "Runs and sweeps of Phalanx: choose **Model training** at the top left to see them. A sweep "
    "is a parent run with its trials as children. `val_accuracy` and the like are taken at the saved weights; their "
    "curves are under `epoch/`."
}
SWEEP_STATES = {"completed": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}


def _ignore(run_id: str) -> None:
    pass


class Tracker:
    """Logs nothing. No method of a tracker raises because of the store; where there is no run, the id is None."""

    def prepare(self) -> None:
        """Creates the store and the experiment. Safe when several processes do it at once."""

    def start_sweep(self, name: str, tags: Mapping[str, str], resume: str | None = None) -> str | None:
        """The id of the parent run of a sweep. `resume` is the id of an earlier one, which goes on if it is there,
        is of the sweep `name` and has the same tag `phalanx.folder`."""
        return None

    def log_run(self, record: RunRecord, on_started: Callable[[str], None] = _ignore) -> str | None:
        """Logs a finished trial. `on_started(run id)` is called once the run exists, before files are uploaded. The
        weights of a sweep's trial (one with a parent) wait for `attach`, as only the best are kept."""
        return None

    def attach(self, run_id: str | None, folder: Path) -> None:
        """Uploads the files of one of a sweep's best trials again, now with its plots and weights."""

    def end_sweep(
        self, run_id: str | None, status: str, metrics: Mapping[str, float | None], folder: Path,
        params: Mapping[str, Any] | None = None, tags: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Ends the parent run: `status` is completed, failed or interrupted; `metrics` and `params` are the best
        trial's; `folder` is the sweep's."""


class MlflowTracker(Tracker):
    """Logs to MLflow through its client with explicit ids, so that a person's own active run is not touched."""

    def __init__(self, spec: TrackingSpec) -> None:
        self._spec = spec
        self._uri = spec.uri or ""
        self._client: Any = None
        self._experiment = ""
        self._opening = threading.Lock()
        self._off = False

    def prepare(self) -> None:
        self._guarded(lambda client: None)

    def start_sweep(self, name: str, tags: Mapping[str, str], resume: str | None = None) -> str | None:
        own = {**content.origin(), **tags, "phalanx.sweep": name}

        def call(client: Any) -> str:
            if resume is not None and self._is_same(client, resume, own):
                self._reopen(client, resume)
                return resume
            return self._create(client, name, own, int(time.time() * 1000))

        return self._guarded(call)

    def log_run(self, record: RunRecord, on_started: Callable[[str], None] = _ignore) -> str | None:
        tags = {**content.origin(), **record.tags, "phalanx.status": record.ending}
        tags["phalanx.folder"] = relative(record.folder)
        if record.parent is not None:
            tags["mlflow.parentRunId"] = record.parent
        run_id = self._guarded(lambda client: self._create(client, record.name, tags, record.start_ms))
        if run_id is not None:
            try:
                on_started(run_id)
            finally:
                self._guarded(lambda client: self._fill(client, run_id, record))
        return run_id

    def attach(self, run_id: str | None, folder: Path) -> None:
        if run_id is None:
            return
        paths = RunPaths(folder)

        def call(client: Any) -> None:
            _upload(client, run_id, content.run_files(paths))
            note = client.get_run(run_id).data.tags.get("mlflow.note.content", "")
            _log(client, run_id, [], {}, {"mlflow.note.content": content.note_with_weights(note, paths, run_id)})

        self._guarded(call)

    def end_sweep(
        self, run_id: str | None, status: str, metrics: Mapping[str, float | None], folder: Path,
        params: Mapping[str, Any] | None = None, tags: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        if run_id is None:
            return
        # Tags, because MLflow's params are written once, and a sweep that goes on may find a better trial.
        best = {f"best.{key}": value for key, value in (params or {}).items()}
        note = content.sweep_note(status, metrics, params or {}, folder)
        own = {**(tags or {}), **best, "phalanx.status": status, "mlflow.note.content": note}

        def call(client: Any) -> None:
            now = int(time.time() * 1000)
            with _ending(client, run_id, SWEEP_STATES.get(status, "FAILED"), now):
                _log(client, run_id, [(key, value, now, 0) for key, value in content.finite(metrics).items()], {}, own)
                _upload(client, run_id, content.sweep_files(SweepPaths(folder)))

        self._guarded(call)

    def _guarded(self, call: Callable[[Any], T]) -> T | None:
        """What `call(client)` returns; None, and one warning ever, if the store fails or takes too long."""
        if self._off:
            return None
        try:
            return guard.within(max(CALL_S, 2 * (guard.users_timeout() or 0)), lambda: call(self._opened()))
        except Exception as error:
            self._give_up(error)
            return None

    def _give_up(self, error: Exception) -> None:
        if self._off:
            return
        self._off = True
        why = content.cause(error, self._uri)
        log.warning("MLflow is not used any more: %s. Results are in the run folders, not in MLflow.", why)
        log.debug("%s", content.redact("".join(traceback.format_exception(error)), self._uri))

    def _opened(self) -> Any:
        with self._opening:
            if self._client is None:
                self._client = self._open()
            return self._client

    def _open(self) -> Any:
        """A client for the store, which is created first if it is a new SQLite file."""
        guard.set_defaults()
        from mlflow import MlflowClient, get_tracking_uri

        guard.hush()
        self._uri = self._spec.uri or get_tracking_uri()
        guard.refuse_dead(self._uri, guard.users_timeout() or guard.PROBE_S)
        with guard.one_at_a_time(self._uri, CALL_S):
            client = MlflowClient(self._uri)
            self._experiment = _experiment_id(client, self._spec.experiment)
        return client

    def _create(self, client: Any, name: str, tags: Mapping[str, Any], start_ms: int | None) -> str:
        title = content.cut(content.redact(name), content.KEY)
        run = client.create_run(self._experiment, start_ms, content.legal(tags, content.TAG), title)
        return str(run.info.run_id)

    def _is_same(self, client: Any, run_id: str, tags: Mapping[str, str]) -> bool:
        from mlflow.exceptions import MlflowException

        try:
            run = client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False  # another store, or a new one
            raise
        alive = run.info.lifecycle_stage == "active" and run.info.experiment_id == self._experiment
        wanted = content.legal(tags, content.TAG)
        return alive and all(run.data.tags.get(k) == wanted.get(k) for k in ("phalanx.sweep", "phalanx.folder"))

    def _reopen(self, client: Any, run_id: str) -> None:
        """Sets a parent to running, and children that were being logged when their process was killed to killed."""
        client.update_run(run_id, status="RUNNING")
        left = f"tags.`mlflow.parentRunId` = '{run_id}' and attributes.status = 'RUNNING'"
        for child in client.search_runs([self._experiment], left, max_results=1000):
            client.set_terminated(child.info.run_id, "KILLED")

    def _fill(self, client: Any, run_id: str, record: RunRecord) -> None:
        end_ms = record.end_ms or int(time.time() * 1000)
        start_ms = end_ms if record.start_ms is None else record.start_ms
        with _ending(client, run_id, record.state, end_ms):
            # MLflow's table shows the value logged last, which for a curve is the last epoch's and not the one of
            # the saved weights. So the plain names hold the latter, once, and curves have names of their own; the
            # charts then show bars for the former and lines, in a section of their own, for the latter.
            points = [(key, value, end_ms, 0) for key, value in content.finite(record.metrics).items()]
            note = {"mlflow.note.content": content.run_note(record, run_id)}
            _log(client, run_id, points + content.curves(record.history, start_ms), record.params, note)
            _upload(client, run_id, content.run_files(RunPaths(record.folder), weights=record.parent is None))


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
        raise guard.Unusable(guard.deleted(name, found.experiment_id))
    return str(found.experiment_id)


@contextlib.contextmanager
def _ending(client: Any, run_id: str, state: str, end_ms: int) -> Iterator[None]:
    """Ends the run when the block ends, well or not."""
    try:
        yield
    finally:
        client.set_terminated(run_id, state, end_ms)


def _log(
    client: Any, run_id: str, points: Iterable[content.Point], params: Mapping[str, Any], tags: Mapping[str, Any]
) -> None:  # fmt: skip
    from mlflow.entities import Metric, Param, RunTag

    metrics = [Metric(*point) for point in points]
    plain = [Param(*entry) for entry in content.legal(params, content.PARAM).items()]
    marks = [RunTag(*entry) for entry in content.legal(tags, content.TAG).items()]
    for batch in content.batches(metrics, plain, marks):
        client.log_batch(run_id, **batch, synchronous=True)


def _upload(client: Any, run_id: str, files: Iterable[tuple[Path, str | None]]) -> None:
    """Uploads the files, those in plain text without the passwords of URLs."""
    with tempfile.TemporaryDirectory() as scratch:
        for path, folder in files:
            client.log_artifact(run_id, str(content.harmless(path, Path(scratch))), folder)


def tracker(spec: TrackingSpec) -> Tracker:
    """The tracker for `spec`: the same one for all runs of a process, so that a dead server is waited for once."""
    if spec.kind == "none":
        return Tracker()
    return _tracker(spec, os.getcwd(), os.environ.get("MLFLOW_TRACKING_URI"), os.getpid())


@lru_cache(maxsize=8)
def _tracker(spec: TrackingSpec, *place: Any) -> Tracker:
    return MlflowTracker(spec)
