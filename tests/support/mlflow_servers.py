"""A real MLflow server that a test starts, pauses, kills and starts again."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from phalanx.tracking.connection import DEFAULTS

WAIT_S = 240
MLFLOW = str(Path(sys.executable).with_name("mlflow"))


def free_port():
    """A port of this host that nobody uses, and that the system gives to nobody while a server is not there yet.

    One from the system's own range may be taken by a connection, even by one that looks for the server itself.
    """
    while True:
        port = secrets.choice(range(20_000, 32_000))  # other test processes may have seeded `random` alike
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class Server:
    """`mlflow <arguments>` in the folder `root`, in a process group of its own, so that all its workers obey."""

    def __init__(self, root, *arguments, health="/health", port=None):
        self.root, self.arguments, self.health = root, arguments, health
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        plain = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
        path = f"{Path(sys.executable).parent}{os.pathsep}{plain['PATH']}"  # where `mlflow models serve` finds uvicorn
        with open(self.root / "server.log", "a") as log:
            self.process = subprocess.Popen(
                [MLFLOW, *self.arguments, "--port", str(self.port)],
                cwd=self.root, env={**plain, **DEFAULTS, "PATH": path}, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        for _ in range(WAIT_S * 5):
            with contextlib.suppress(OSError), urllib.request.urlopen(self.url + self.health, timeout=5):
                return self
            if self.process.poll() is not None:
                break
            time.sleep(0.2)
        raise AssertionError(f"the server did not start:\n{(self.root / 'server.log').read_text()[-3000:]}")

    def signal(self, number):
        os.killpg(self.process.pid, number)

    def stop(self):
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.signal(signal.SIGCONT)
                self.signal(signal.SIGKILL)
            self.process.wait(10)
            self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
