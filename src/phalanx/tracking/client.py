"""The training process's side of tracking: starts the process that logs to MLflow, and waits for it at the end only.

The two exchange pairs over a pipe. The client sends `("prepare", spec)` at once, `("start", (root, source))` when the
run starts, then `("register", number)` of the best trial, `("deliver", None)` to be told when all results are logged,
and `("end", status)`. The process sends `("alive", "")` about once a second while requests get on, `("doing", what)`,
`("run_id", id)`, `("model", uri)`, `("place", place)`, `("warning", text)`, `("down", reason)`, and as answers
`("delivered", n)` and `("ended", n)` with the number of results that are not logged.
"""

import contextlib
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from phalanx.core.advice import command
from phalanx.core.processes import spawned
from phalanx.core.redaction import redact
from phalanx.runs.layout import relative
from phalanx.runs.options import TrackingSpec
from phalanx.runs.trust import VARIABLE, is_own_store
from phalanx.tracking.links import Place

log = logging.getLogger(__name__)

PATIENCE_S = 30.0  # a process that sends nothing for so long while it is waited for is killed
QUIET_S = 3.0  # a wait that takes longer is explained on the terminal, and again each `EXPLAIN_S` seconds
EXPLAIN_S = 15.0
PROCESS = "phalanx.tracking.process"


class LoggingProcess:
    """The process that logs, spawned at once: it takes seconds to import MLflow, and the training has imports too.

    Args:
        spec: Where to log.
    """

    def __init__(self, spec: TrackingSpec) -> None:
        self.popen: subprocess.Popen[bytes] | None = None  # None if it cannot be spawned, or has been stopped
        self.connection, theirs = Pipe()
        with theirs:
            try:
                self.popen = _spawn(theirs.fileno())
            except OSError as error:
                log.warning("MLflow is not used: no process can be started: %s", error)
        self.send("prepare", spec)

    def send(self, kind: str, value: object = None) -> None:
        """Sends a message of the module's docstring."""
        if self.popen is not None:
            with contextlib.suppress(OSError):  # the process has ended, which `Tracker` notices when it waits
                self.connection.send((kind, value))

    def stop(self, seconds: float = 0.0) -> None:
        """Kills the process if it has not ended within so many seconds."""
        popen, self.popen = self.popen, None
        if popen is None:
            return
        try:
            popen.wait(seconds)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait()


class Tracker:
    """Logs nothing: the tracker of `tracking=none`. No method of a tracker raises because of the store."""

    run_id: str | None = None  # MLflow's id of the run, or of the sweep
    model: str | None = None  # the URI of the registered model
    place: Place | None = None  # where it is in MLflow

    @property
    def lines(self) -> list[str]:
        """Where to find the run or the sweep, and how to serve its model, for a terminal; known at the end."""
        if self.place is None:
            return []
        served = [f"model: {self.model}", f"  {self.place.serving(self.model)}"] if self.model else []
        return [*self.place.lines, *served]

    def start(self) -> None:
        """Starts to log what is in the folder, and what is written into it from now on."""

    def register(self, number: int) -> None:
        """Starts to register the model of the best trial of a sweep, which `end` does if it has not been done."""

    def wait_until_delivered(self) -> None:
        """Returns when all results in the folder are logged, or when it is clear that some cannot be."""

    def end(self, status: str) -> None:
        """Logs the rest and ends the process; `status` is that of the run or sweep, such as `completed`."""

    def cancel(self) -> None:
        """Ends the process at once. If `start` was not called, nothing is logged."""


class ProcessTracker(Tracker):
    """Logs a folder by a process of its own; see `tracker`."""

    def __init__(
        self, spec: TrackingSpec, root: Path, say: Callable[[str], None] = log.info,
        process: LoggingProcess | None = None,
    ) -> None:  # fmt: skip
        self.spec, self.root, self.say, self.n_left, self.warned = spec, root, say, 0, False
        self.logging = process or LoggingProcess(spec)
        self.doing, self.explain_at = "", 0.0  # what the process does, and when that is said the next time
        self.messages: queue.Queue[tuple[str, Any] | None] = queue.Queue()  # see the module's docstring
        if self.logging.popen is not None:
            threading.Thread(target=self._listen, daemon=True).start()

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The process; None if it could not be spawned, or has been stopped."""
        return self.logging.popen

    def start(self) -> None:
        self.logging.send("start", (self.root.absolute(), Path(sys.argv[0]).name))

    def register(self, number: int) -> None:
        self.logging.send("register", number)

    def wait_until_delivered(self) -> None:
        self.logging.send("deliver")
        self._wait_for("delivered")

    def end(self, status: str) -> None:
        self.logging.send("end", status)
        self._wait_for("ended")
        self.logging.stop(3.0)
        if self.n_left:
            again = command("phalanx", "sync", relative(self.root))
            what = "it" if self.n_left == 1 else f"{self.n_left} runs"
            log.warning("MLflow did not get %s; later: %s%s", what, again, self._named())

    def _named(self) -> str:
        """How the command names the store, which it does not take from a folder."""
        uri = self.spec.uri
        if uri is None or is_own_store(uri):
            return ""
        return f" {command('--uri', uri)}" if redact(uri, uri) == uri else f" with {VARIABLE} set to {redact(uri, uri)}"

    def cancel(self) -> None:
        self.logging.stop()

    def _listen(self) -> None:
        connection = self.logging.connection
        with connection, contextlib.suppress(EOFError, OSError):
            while True:
                kind, value = connection.recv()
                if kind == "run_id":
                    self.run_id = value
                elif kind == "model":
                    self.model = value
                elif kind == "place":
                    self.place = value
                elif kind == "warning":
                    log.warning("%s", value)
                elif kind == "down":
                    self._warn(f"{value}. Runs are kept in their folders and delivered when it is.")
                self.messages.put((kind, value))
        self.messages.put(None)

    def _wait_for(self, answer: str) -> None:
        """Returns at the answer, at the end of the process, or when it has sent nothing for `patience` seconds."""
        heard, limit = time.monotonic(), patience()
        self.explain_at = max(self.explain_at, heard + QUIET_S)
        try:
            while self.process is not None:
                with contextlib.suppress(queue.Empty):
                    message = self.messages.get(timeout=min(limit, 1.0))
                    heard = time.monotonic()
                    if message is None:
                        self._give_up("the process that logs has ended")
                    elif message[0] == answer:
                        self.n_left = int(message[1])
                        return
                    elif message[0] == "doing":
                        self.doing = str(message[1])
                if time.monotonic() - heard >= limit:
                    self._give_up(f"no answer within {limit:g} seconds")
                self._explain()
        except KeyboardInterrupt:
            self._give_up("")
            raise

    def _explain(self) -> None:
        """Says from time to time what is waited for."""
        if self.process is not None and self.doing and time.monotonic() >= self.explain_at:
            self.explain_at = time.monotonic() + EXPLAIN_S
            self.say(f"MLflow: {self.doing} …")

    def _give_up(self, reason: str) -> None:
        self.logging.stop()
        self.n_left = max(self.n_left, 1)
        self._warn(reason)

    def _warn(self, reason: str) -> None:
        if reason and not self.warned:
            self.warned = True
            log.warning("MLflow is not reached: %s", reason)


def _spawn(pipe: int) -> subprocess.Popen[bytes]:
    """The process, with the pipe as its stdin."""
    return spawned(PROCESS, stdin=pipe)


def patience() -> float:
    """Returns how long the process may be silent: longer than a request may take by the user's own limit."""
    try:
        return max(PATIENCE_S, 2 * float(os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT", 0)))
    except ValueError:
        return PATIENCE_S


def tracker(
    spec: TrackingSpec, root: Path, say: Callable[[str], None] = log.info, process: LoggingProcess | None = None
) -> Tracker:
    """Returns what logs a folder.

    Args:
        spec: Where to log; with `kind` none the tracker does nothing.
        root: The folder of a run or a sweep.
        say: Tells the user what a long wait at the end is for.
        process: A process that was started with the same `spec`; by default one is started now.
    """
    return Tracker() if spec.kind == "none" else ProcessTracker(spec, root, say, process)
