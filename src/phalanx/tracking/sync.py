"""Brings the folder of a run or a sweep up to date in MLflow: while it trains, and later by `phalanx sync`.

It compares the folder with what it has logged, again and again, and logs the difference. So nothing is logged twice,
and what could not be logged can be logged at any later time.
"""

import contextlib
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from filelock import FileLock, Timeout

from phalanx.core.errors import UnreadableFile
from phalanx.core.files import write_json
from phalanx.core.reading import read_entry
from phalanx.runs.layout import FINAL, SweepPaths, TrackedPaths
from phalanx.runs.options import TrackingSpec
from phalanx.runs.stored_run import write_mlflow_run_id
from phalanx.runs.sweep_folder import RunLocation, is_sweep, run_locations, sweep_summary
from phalanx.tracking.connection import cause
from phalanx.tracking.experiments import read_delivered
from phalanx.tracking.links import Place
from phalanx.tracking.model_registry import register
from phalanx.tracking.records import RunRecord, read_records
from phalanx.tracking.store import MlflowStore
from phalanx.tracking.sweep_run import end_sweep, show_progress, start_sweep

RECENT_S = 5.0  # a store that failed so recently is not asked again at the end either
LOCK_S = 5.0  # how long the end waits for another process to release the folder
PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0)  # before a store that failed is asked again


Report = Callable[[str, "str | int | Place"], None]


class FolderSync:
    """Logs the folder of a run or a sweep to MLflow. The first update locks the folder, `close` releases it.

    Args:
        root: The folder.
        spec: Where to log, and which models to register.
        report: Called as `report(kind, value)` with what `phalanx.tracking.client` lists.
        source: The name of the program that trained.
        running: Whether the run or sweep is still running.
        keep_ids: Whether the ids of another store stay in the folder, where there are any.
    """

    def __init__(
        self, root: Path, spec: TrackingSpec, report: Report = lambda *_: None, *,
        source: str = "train.py", running: bool = False, keep_ids: bool = False,
    ) -> None:  # fmt: skip
        self.root, self.spec, self.report, self.source = root, spec, report, source
        self.running, self.keep_ids = running, keep_ids
        self.lock = FileLock(TrackedPaths(root).lock)
        self.store: MlflowStore | None = None
        self.n_logged = self.n_there = 0  # runs that were logged, and runs that were in the store already
        self.refused: dict[str, str] = {}  # by key: why a run, damaged or not accepted by the store, is not logged
        self.left_deleted: set[str] = set()  # keys of runs that were deleted in MLflow, and stay so
        self.problem = ""  # why anything else is not logged
        self.sweep_run_id: str | None = None
        self.place: Place | None = None
        self.has_new_ids = False  # whether an id in MLflow was written into the folder of a run
        self.locked_out = False  # whether another process logs this folder
        self._logged: dict[str, int] = {}  # by key: when the result that was logged had been written
        self._training: dict[str, int] = {}  # by key, of runs without a result: when the logged curves had been written
        self._ended: dict[str, RunRecord] = {}  # by key: what was logged, without curves
        self._n_shown = 0  # how many of them the sweep's own run shows
        self._failures, self._failed_at, self._retry_at = 0, 0.0, 0.0

    def close(self) -> None:
        """Closes the store and releases the folder."""
        if self.store is not None:
            self.store.close()
        self.lock.release()

    def update(self, *, at_end: bool = False) -> int:
        """Logs what is new, and returns the number of results that are not logged.

        A store that failed is left alone for a while: up to 15 s, but for 5 s only `at_end`.
        """
        now = time.monotonic()
        if self._failures and now < (self._failed_at + RECENT_S if at_end else self._retry_at):
            return self._n_left()
        self.locked_out = not self._lock(LOCK_S if at_end else 0.0)
        if self.locked_out:
            return 0 if at_end else self._n_left()
        try:
            store = self._open()
            for location in run_locations(self.root):
                self._update_run(store, location)
            self._announce(store)
            if is_sweep(self.root):
                self._show_progress(store, at_end)
            self._failures = 0
        except Exception as error:
            self._postpone(error)
        return self._n_left()

    def finish(self, status: str | None = None) -> int:
        """Logs the rest: weights and plots of the best runs, the registered model, the end of the topmost run.

        `status` is that of the run or sweep; None if its process was killed. Returns how many results are not logged.
        """
        n_left = self.update(at_end=True)
        if self._failures:
            return max(n_left, 1)
        if self.store is None:
            return n_left
        try:
            self.store.stop_monitor()
            if status != "completed":
                self.store.kill(self._training)
            # First, so that a sweep is not left RUNNING where the uploads below are cut off.
            if is_sweep(self.root):
                end_sweep(self.store, self.root, status)
            self._add_late_files(self.store)
        except Exception as error:
            self._postpone(error)
            return max(n_left, 1)
        return n_left

    def register_best(self, number: int) -> None:
        """Registers the model of a sweep's best trial, before `finish`, which does it if it cannot be done yet."""
        self.update()
        best = self._to_register(number)
        location = next((location for location in run_locations(self.root) if location.key == best), None)
        if self.store is None or self._failures or location is None or location.key not in self._logged:
            return
        try:
            self._register(self.store, location)
        except Exception as error:
            self._postpone(error)

    def _lock(self, seconds: float) -> bool:
        """Whether this process holds the folder, or gets it within so many seconds."""
        with contextlib.suppress(Timeout):
            if not self.lock.is_locked:
                self.lock.acquire(timeout=seconds)
        return self.lock.is_locked

    def _open(self) -> MlflowStore:
        """The store, connected."""
        if self.store is not None:
            if self._failures:
                self.store.find()  # a call that was not answered may have taken effect
            return self.store
        identity = TrackedPaths(self.root).identity
        known = identity.exists()
        if not known:
            write_json(identity, {"id": uuid.uuid4().hex})
        self.report("doing", "connecting")
        name = read_entry(identity, "id", str)
        if not re.fullmatch("[0-9a-f]{32}", name):
            raise UnreadableFile(identity, "is damaged; if it is deleted, the runs are delivered as new ones")
        delivered = read_delivered(self.root)
        store = MlflowStore(self.spec, name, self.source, known=known, delivered=delivered)
        if is_sweep(self.root):
            self.sweep_run_id = start_sweep(store, self.root, running=self.running)
            self.report("run_id", self.sweep_run_id)
        self.store = store
        return store

    def _announce(self, store: MlflowStore) -> None:
        """Says where the runs are, and writes it into the folder, as soon as there is one."""
        if self.place is None and "" in store.logged:
            self.place = store.place(self.root.absolute().name, is_sweep=is_sweep(self.root))
            if not self.keep_ids:
                about = {"delivered": asdict(store.delivered()), "place": asdict(self.place)}
                write_json(TrackedPaths(self.root).identity, {"id": store.identity, **about})
            self.report("place", self.place)

    def _update_run(self, store: MlflowStore, location: RunLocation) -> None:
        """Logs a run if its result, or its curves while it has none, were written since it was logged."""
        if location.key in self.refused:
            return
        if location.key in store.deleted and (location.key or not is_sweep(self.root)):
            self._leave_deleted(location)
            return
        written, curves = _written_ns(location.paths.result), _written_ns(location.paths.metrics)
        if written is None:
            if self._training.get(location.key) == (curves or 0) or (location.key and curves is None):
                return  # nothing new, or a trial that has only started
        elif self._logged.get(location.key) == written:
            return
        self.report("doing", f"logging {location.name}")
        try:
            found = read_records(location)
            is_new = store.update(found)
        except Exception as error:
            if not store.refuses(error):
                raise
            if _written_ns(location.paths.result) != written:
                return  # it is being trained anew, and its files did not belong together
            self.refused[location.key] = f"{location.name} is not logged to MLflow: {cause(error, store.uri)}"
            self.report("warning", self.refused[location.key])
            return
        self.n_there += not is_new
        self.n_logged += is_new and written is not None
        if written is None:
            self._training[location.key] = curves or 0
            return
        self._training.pop(location.key, None)
        self._ended[location.key] = replace(found[0], history=(), params={})
        self._logged[location.key] = written
        run_id, earlier = store.logged[location.key].run_id, found[0].mlflow_run_id
        if run_id != earlier and (earlier is None or not self.keep_ids):
            write_mlflow_run_id(location.paths, run_id)
            self.has_new_ids = True

    def _leave_deleted(self, location: RunLocation) -> None:
        """Leaves a run alone that somebody deleted in MLflow, and says so once."""
        if location.key not in self.left_deleted:
            self.left_deleted.add(location.key)
            self.n_there += 1
        if (written := _written_ns(location.paths.result)) is not None:
            self._logged[location.key] = written

    def _show_progress(self, store: MlflowStore, at_end: bool) -> None:
        """Brings the sweep's own run up to date; `at_end`, trials that did not end stand in nobody's way."""
        if len(self._ended) == self._n_shown and not at_end:
            return
        self._n_shown = len(self._ended)
        keys = [location.key for location in run_locations(self.root) if location.key.isdecimal()]
        trials = [self._ended.get(key) for key in keys]
        show_progress(store, [trial for trial in trials if trial is not None or not at_end])

    def _add_late_files(self, store: MlflowStore) -> None:
        """Adds weights and plots, which only the best runs keep, and registers the best one's model."""
        best = self._to_register(self._best())
        for location in run_locations(self.root):
            if (
                location.key in self.left_deleted
                or location.key not in self._logged
                or (location.key and not location.paths.model.is_file())
            ):
                continue
            self.report("doing", f"uploading the weights and plots of {location.name}")
            store.add_late_files(read_records(location)[0])
            if location.key == best:
                self._register(store, location)

    def _best(self) -> int | None:
        """The number of a sweep's best trial, if it has ended."""
        try:
            return sweep_summary(self.root).get("best") if is_sweep(self.root) else None
        except UnreadableFile:  # said when the sweep's run is ended
            return None

    def _to_register(self, best: int | None) -> str | None:
        """The key of the run whose model is registered; `best` is the best trial of a sweep."""
        if not is_sweep(self.root):
            return "" if self.spec.register == "all" else None
        if best is None or self.spec.register == "none":
            return None
        # What a final chose may not be among the best of the search, which alone keep their weights.
        has_weights = SweepPaths(self.root).trial(best).model.is_file()
        return str(best) if has_weights else f"{FINAL}/{best}"

    def _register(self, store: MlflowStore, location: RunLocation) -> None:
        self.report("doing", f"registering the model of {location.name}")
        try:
            uri = register(store, read_records(location)[0])
        except Exception as error:
            if not store.refuses(error):
                raise
            self.problem = f"the model is not registered: {cause(error, store.uri)}"
            self.report("warning", self.problem)
        else:
            if uri is not None:
                self.report("model", uri)

    def _postpone(self, error: Exception) -> None:
        self._failed_at = time.monotonic()
        self._retry_at = self._failed_at + PAUSES_S[min(self._failures, len(PAUSES_S) - 1)]
        self._failures += 1
        self.problem = cause(error, self.store.uri if self.store else self.spec.uri or "")
        self.report("down", self.problem)

    def _n_left(self) -> int:
        found = ((location, _written_ns(location.paths.result)) for location in run_locations(self.root))
        return sum(
            written is not None and location.key not in self.refused and self._logged.get(location.key) != written
            for location, written in found
        )


def _written_ns(file: Path) -> int | None:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return None
