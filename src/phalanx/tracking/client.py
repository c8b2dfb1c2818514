"""The process that delivers to MLflow, as the training process sees it: started, asked at the end, never waited for
while it trains.

Messages are lines of JSON. To the process: what to deliver (first), `go`, `settle`, `end`. From it: `run` (a run's
place and id), `busy`, `down` (the store failed, and why), `warn`, `settled` and `ended` (with what is left).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from phalanx.runs.layout import relative
from phalanx.runs.options import TrackingSpec

log = logging.getLogger(__name__)

PATIENCE_S = 30.0  # how long the end of a run or sweep waits for a sign of life from the process
PROCESS = "phalanx.tracking.process"


class Tracker:
    """Delivers nothing. No method raises because of the store."""

    ids: dict[str, str]  # MLflow's run ids, by place in the folder: "" the topmost, "3" a trial

    model: str | None = None  # the URI of the model that was registered

    def __init__(self) -> None:
        self.ids = {}

    def start(self) -> None:
        """Begins to deliver what is in the folder, and what comes."""

    def settle(self) -> None:
        """Waits until all results that are there are delivered, or cannot be."""

    def end(self, status: str) -> None:
        """Delivers the rest and ends the process; `status` is completed, failed or interrupted."""

    def cancel(self) -> None:
        """Ends the process; of what was not started, nothing is delivered."""


class Courier(Tracker):
    """Delivers the folder `root` by a process, which is started at once, since it takes seconds to import MLflow."""

    def __init__(self, spec: TrackingSpec, root: Path) -> None:
        super().__init__()
        self.root, self.down, self.left, self.told = root, "", 0, False
        self.inbox: queue.Queue[tuple[str, Any] | None] = queue.Queue()
        self.process: subprocess.Popen[bytes] | None = None
        first = {
            "root": str(root.absolute()), "source": Path(sys.argv[0]).name, "uri": spec.uri,
            "experiment": spec.experiment, "register": spec.register, "system_metrics": spec.system_metrics,
        }  # fmt: skip
        try:
            self.process = _spawn()
        except OSError as error:
            log.warning("MLflow is not used: no process can be started: %s", error)
            return
        threading.Thread(target=self._listen, args=(self.process.stdout,), daemon=True).start()
        self._send(first)

    def start(self) -> None:
        self._send({"go": True})

    def settle(self) -> None:
        self._send({"settle": True})
        self._wait("settled")

    def end(self, status: str) -> None:
        self._send({"end": status})
        self._wait("ended")
        self._close(3.0)
        if self.left:
            what = "it" if self.left == 1 else f"{self.left} runs"
            log.warning("MLflow did not get %s; later: phalanx sync %s", what, relative(self.root))

    def cancel(self) -> None:
        self._close(0.0)

    def _send(self, message: dict[str, Any]) -> None:
        if self.process is not None:
            with contextlib.suppress(OSError, ValueError):  # it has ended: `_wait` sees that
                self.process.stdin.write(json.dumps(message).encode() + b"\n")
                self.process.stdin.flush()

    def _listen(self, stream: Any) -> None:
        for line in stream:
            with contextlib.suppress(ValueError):
                kind, value = json.loads(line)
                self._hear(kind, value)
                self.inbox.put((kind, value))
        self.inbox.put(None)

    def _hear(self, kind: str, value: Any) -> None:
        if kind == "run":
            self.ids[value[0]] = value[1]
        elif kind == "warn":
            log.warning("%s", value)
        elif kind == "model":
            self.model = value
        elif kind == "down" and not self.told:
            self.told = True
            log.warning("MLflow is not reached: %s. Runs are kept in their folders and delivered when it is.", value)

    def _wait(self, kind: str) -> None:
        """Until the answer, the end of the process, or too long a silence."""
        try:
            while self.process is not None:
                message = self.inbox.get(timeout=PATIENCE_S)
                if message is None:
                    self._lost("the process that delivers has ended")
                elif message[0] == kind:
                    self.left = message[1]
                    return
        except queue.Empty:
            self._lost(f"no answer within {PATIENCE_S:g} seconds")
        except KeyboardInterrupt:
            self._lost("")
            raise

    def _lost(self, why: str) -> None:
        self._close(0.0)
        self.left = max(self.left, 1)
        if why and not self.told:
            self.told = True
            log.warning("MLflow is not reached: %s", why)

    def _close(self, seconds: float) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _spawn() -> subprocess.Popen[bytes]:
    """The process, in a session of its own, so that Ctrl-C is for the training process alone to answer."""
    source = str(Path(__file__).parents[2])
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", PROCESS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
    )


def tracker(spec: TrackingSpec, root: Path) -> Tracker:
    """What delivers the folder `root` as `spec` says."""
    return Tracker() if spec.kind == "none" else Courier(spec, root)
