"""Carries what a run or a sweep leaves in its folder to MLflow: while it goes on, and later by `phalanx sync`.

It looks at the folder again and again and logs what is not there yet, so nothing has to be told to it, nothing is
logged twice, and what could not be delivered can be delivered at any later time. `phalanx.tracking.client` runs it
as a process of its own, which no training waits for.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from pathlib import Path

import phalanx.tracking.content as content
from phalanx.core.errors import RunFolderError
from phalanx.core.files import read_json, write_json
from phalanx.runs.layout import TrackedPaths
from phalanx.runs.options import TrackingSpec
from phalanx.runs.sweep_folder import Place, is_sweep, places, sweep_summary
from phalanx.tracking.content import RunRecord
from phalanx.tracking.model_registry import register
from phalanx.tracking.records import records, sweep_tags, uncommitted
from phalanx.tracking.store import MlflowStore

RECENT_S = 5.0  # a store that failed so shortly ago is not asked again at the end either
LOCK_S = 5.0  # how long the end waits for another process to let go of the folder
PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0)  # before a store that failed is asked again


class Busy(Exception):
    """Another process delivers this folder."""


class Delivery:
    """One folder on its way to MLflow. `say(kind, value)` hears what happens: run, busy, down, warn, model, elsewhere.

    `goes_on`: the run or sweep is under way.
    """

    def __init__(
        self, root: Path, spec: TrackingSpec, source: str = "phalanx", say: Callable[..., None] = lambda *_: None,
        *, goes_on: bool = False,
    ) -> None:  # fmt: skip
        from filelock import FileLock

        self.root, self.spec, self.source, self.say, self.goes_on = root, spec, source, say, goes_on
        self.lock = FileLock(TrackedPaths(root).lock)
        self.store: MlflowStore | None = None
        self.done: dict[str, int] = {}  # when the result was written that is delivered, by place
        self.refused: set[str] = set()  # places whose files are damaged, or that the store does not take
        self.live: dict[str, int] = {}  # when the curves were written that are delivered of what still trains
        self.delivered = self.already = 0
        self.failures, self.failed, self.again = 0, 0.0, 0.0

    def advance(self, *, patient: bool = True) -> int:
        """Delivers what is new; returns how many results are not delivered. A store that failed is left alone for a
        while, and for a short while only if `patient` is false."""
        now = time.monotonic()
        if now < self.again if patient else self.failures and now < self.failed + RECENT_S:
            return self._left()
        try:
            self._open(0.0 if patient else LOCK_S)
            for place in places(self.root):
                self._deliver(place)
            self.failures = 0
        except Busy:
            self.again = time.monotonic() + PAUSES_S[1]
            if not patient:
                self.say("elsewhere", str(self.root))
                return 0
        except Exception as error:
            self._postpone(error)
        return self._left()

    def finish(self, status: str | None = None) -> int:
        """The files that the best runs have got since, the registered model, and the end of the topmost run; a
        folder without `status` was left by a process that was killed. Returns how much is not delivered."""
        left = self.advance(patient=False)
        if self.failures:
            return max(left, 1)
        if self.store is None:
            return left
        try:
            self.store.stop_monitor()
            self._late()
            if status != "completed":
                self.store.kill(self.live)
            if is_sweep(self.root):
                summary = sweep_summary(self.root)
                ending = status or summary.get("status") or "interrupted"
                self.store.end_sweep(ending, summary, self.root, _present(uncommitted(self.root)))
        except Exception as error:
            self._postpone(error)
            return max(left, 1)
        return left

    def close(self) -> None:
        """Lets another process deliver this folder."""
        self.lock.release()

    def _open(self, seconds: float) -> None:
        if self.store is not None:
            if self.failures:
                self.store.find()  # a call that was not answered may have been heard
            return
        from filelock import Timeout

        try:
            self.lock.acquire(timeout=seconds)
        except Timeout as error:
            raise Busy(str(self.root)) from error
        seen = TrackedPaths(self.root).identity.is_file()
        if not seen:
            write_json(TrackedPaths(self.root).identity, {"id": uuid.uuid4().hex})
        identity = read_json(TrackedPaths(self.root).identity)["id"]
        self.say("busy", "opening")
        store = MlflowStore(self.spec, identity, self.source)
        store.open(seen)
        if is_sweep(self.root):
            store.start_sweep(self.root.absolute().name, sweep_tags(self.root), self.goes_on)
            self.say("run", ["", store.logged[""].run_id])
            store.start_monitor()
        self.store = store

    def _deliver(self, place: Place) -> None:
        written = _written(place.paths.result)
        if place.key in self.refused or (written is not None and self.done.get(place.key) == written):
            return
        curves = _written(place.paths.metrics)
        if written is None and self.live.get(place.key, -1) == (curves or 0):
            return
        if written is None and curves is None and place.key:
            return  # a trial that has only begun
        try:
            found = records(place)
        except RunFolderError as error:
            self._refuse(place, str(error))
            return
        if all(self.store.has(record) for record in found):
            self.already += 1
            for record in found:
                self.store.adopt(record)
        else:
            self._log(place, found)
        if place.key in self.refused:
            return
        self.say("run", [place.key, self.store.logged[place.key].run_id])
        if written is None:
            self.live[place.key] = curves or 0
            if not place.key:
                self.store.start_monitor()
        else:
            self.live.pop(place.key, None)
            self.done[place.key] = written

    def _log(self, place: Place, found: list[RunRecord]) -> None:
        try:
            for record in found:
                self.store.log(record)
        except Exception as error:
            if not self.store.refuses(error):
                raise
            self._refuse(place, content.cause(error, self.store.uri))
            return
        self.delivered += found[0].status is not None

    def _late(self) -> None:
        """What only kept runs have, after the sweep or the run has chosen them."""
        chosen = self._registered()
        for place in places(self.root):
            if place.key not in self.done or (place.key and not place.paths.model.is_file()):
                continue
            record = records(place)[0]
            self.store.add_late_files(record, [] if place.key else _present(uncommitted(self.root)))
            self.say("busy", place.key)
            if place.key == chosen:
                self._register(record)

    def _registered(self) -> str | None:
        """The place of the run whose model goes to the registry."""
        if not is_sweep(self.root):
            return "" if self.spec.register == "all" else None
        best = sweep_summary(self.root).get("best")
        return None if best is None or self.spec.register == "none" else str(best)

    def _register(self, record: RunRecord) -> None:
        try:
            uri = register(self.store, record)
        except Exception as error:
            if not self.store.refuses(error):
                raise
            self.say("warn", f"the model is not registered: {content.cause(error, self.store.uri)}")
            return
        if uri is not None:
            self.say("model", uri)

    def _refuse(self, place: Place, why: str) -> None:
        self.refused.add(place.key)
        self.say("warn", f"{place.name} is not logged to MLflow: {why}")

    def _postpone(self, error: Exception) -> None:
        self.failed = time.monotonic()
        self.again = self.failed + PAUSES_S[min(self.failures, len(PAUSES_S) - 1)]
        self.failures += 1
        uri = self.store.uri if self.store else self.spec.uri or ""
        self.say("down", content.cause(error, uri))

    def _left(self) -> int:
        found = ((place, _written(place.paths.result)) for place in places(self.root) if place.key not in self.refused)
        return sum(written is not None and self.done.get(place.key) != written for place, written in found)


def _present(path: Path | None) -> list[Path]:
    return [] if path is None else [path]


def _written(file: Path) -> int | None:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return None
