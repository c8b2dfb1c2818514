"""The training process's side of tracking: starts the process that logs to MLflow, and waits for it at the end only.

The two exchange Python objects over a pipe. The client sends `(root, spec, source)` when the run starts, then `None` to
be told when all results are logged, or a status to end. The process sends pairs: `("alive", "")`, `("run_id", id)`,
`("model", uri)`, `("warning", text)`, `("down", reason)`, and as answers `("delivered", n)` and `("ended", n)` with the
number of results that are not logged.
"""

import contextlib
import logging
import os
import queue
import subprocess
import sys
import threading
from multiprocessing import Pipe
from pathlib import Path

from phalanx.core.redaction import redact
from phalanx.runs.layout import relative
from phalanx.runs.options import TrackingSpec
from phalanx.runs.trust import VARIABLE, is_own_store

log = logging.getLogger(__name__)

PATIENCE_S = 30.0  # a process that sends nothing for so long while it is waited for is killed
PROCESS = "phalanx.tracking.process"


class Tracker:
    """Logs nothing: the tracker of `tracking=none`. No method of a tracker raises because of the store."""

    run_id: str | None = None  # MLflow's id of the run, or of the sweep
    model: str | None = None  # the URI of the registered model

    def start(self) -> None:
        """Starts to log what is in the folder, and what is written into it from now on."""

    def wait_until_delivered(self) -> None:
        """Returns when all results in the folder are logged, or when it is clear that some cannot be."""

    def end(self, status: str) -> None:
        """Logs the rest and ends the process; `status` is that of the run or sweep, such as `completed`."""

    def cancel(self) -> None:
        """Ends the process at once. If `start` was not called, nothing is logged."""


class ProcessTracker(Tracker):
    """Logs a folder by a process of its own, which is spawned at once, since it takes seconds to import MLflow."""

    def __init__(self, spec: TrackingSpec, root: Path) -> None:
        self.spec, self.root, self.n_left, self.warned = spec, root, 0, False
        self.messages: queue.Queue[tuple[str, str | int] | None] = queue.Queue()
        self.process: subprocess.Popen[bytes] | None = None
        self.connection, theirs = Pipe()
        with theirs:
            try:
                self.process = _spawn(theirs.fileno())
            except OSError as error:
                log.warning("MLflow is not used: no process can be started: %s", error)
                return
        threading.Thread(target=self._listen, daemon=True).start()

    def start(self) -> None:
        self._send((self.root.absolute(), self.spec, Path(sys.argv[0]).name))

    def wait_until_delivered(self) -> None:
        self._send(None)
        self._wait_for("delivered")

    def end(self, status: str) -> None:
        self._send(status)
        self._wait_for("ended")
        self._stop(3.0)
        if self.n_left:
            what = "it" if self.n_left == 1 else f"{self.n_left} runs"
            log.warning("MLflow did not get %s; later: phalanx sync %s%s", what, relative(self.root), self._named())

    def _named(self) -> str:
        """How the command names the store, which it does not take from a folder."""
        uri = self.spec.uri
        if uri is None or is_own_store(uri):
            return ""
        return f" --uri {uri}" if redact(uri, uri) == uri else f" with {VARIABLE} set to {redact(uri, uri)}"

    def cancel(self) -> None:
        self._stop(0.0)

    def _send(self, message: object) -> None:
        if self.process is not None:
            with contextlib.suppress(OSError):  # the process has ended, which `_wait_for` notices
                self.connection.send(message)

    def _listen(self) -> None:
        with self.connection, contextlib.suppress(EOFError, OSError):
            while True:
                kind, value = self.connection.recv()
                if kind == "run_id":
                    self.run_id = value
                elif kind == "model":
                    self.model = value
                elif kind == "warning":
                    log.warning("%s", value)
                elif kind == "down":
                    self._warn(f"{value}. Runs are kept in their folders and delivered when it is.")
                self.messages.put((kind, value))
        self.messages.put(None)

    def _wait_for(self, answer: str) -> None:
        """Returns at the answer, at the end of the process, or when it has sent nothing for `PATIENCE_S` seconds."""
        try:
            while self.process is not None:
                message = self.messages.get(timeout=PATIENCE_S)
                if message is None:
                    self._give_up("the process that logs has ended")
                elif message[0] == answer:
                    self.n_left = int(message[1])
                    return
        except queue.Empty:
            self._give_up(f"no answer within {PATIENCE_S:g} seconds")
        except KeyboardInterrupt:
            self._give_up("")
            raise

    def _give_up(self, reason: str) -> None:
        self._stop(0.0)
        self.n_left = max(self.n_left, 1)
        self._warn(reason)

    def _warn(self, reason: str) -> None:
        if reason and not self.warned:
            self.warned = True
            log.warning("MLflow is not reached: %s", reason)

    def _stop(self, seconds: float) -> None:
        """Kills the process if it has not ended within so many seconds."""
        process, self.process = self.process, None
        if process is None:
            return
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _spawn(pipe: int) -> subprocess.Popen[bytes]:
    """The process, with the pipe as its stdin; in a session of its own, because Ctrl-C is for the training to handle.

    An executor cannot replace this: a worker of loky or of the standard library shares the session, keeps the parent
    from exiting, and never notices that the parent was killed.
    """
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", PROCESS],
        stdin=pipe,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
    )


def tracker(spec: TrackingSpec, root: Path) -> Tracker:
    """Returns what logs the folder `root` as `spec` says."""
    return Tracker() if spec.kind == "none" else ProcessTracker(spec, root)
