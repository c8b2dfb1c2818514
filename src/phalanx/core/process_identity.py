"""Identity of a process, and whether it still runs."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class ProcessIdentity:
    """Identifies a process among those of all hosts; one process may have several, which differ in `token`."""

    host: str
    boot: str  # identifies the boot of the host and the PID namespace
    pid: int
    started: float  # seconds, on a clock that is never set
    token: str

    @classmethod
    def here(cls) -> ProcessIdentity:
        """Returns a new identity of this process."""
        return cls(socket.gethostname(), _boot(), os.getpid(), _started(psutil.Process()), uuid.uuid4().hex)

    @property
    def label(self) -> str:
        """The identity without its token, short enough for the name of a file."""
        return f"{_place(self.host, self.boot)}-{self.pid}-{round(self.started)}"

    def gone(self) -> bool | None:
        """Whether the process has ended; None if that cannot be known from here."""
        if (self.host, self.boot) != (socket.gethostname(), _boot()):
            return None
        try:
            process = psutil.Process(self.pid)
            if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                return True
            return abs(_started(process) - self.started) > 1  # another process that got the number
        except psutil.NoSuchProcess:
            return None if psutil.POSIX and _is_hidden(self.pid) else True
        except psutil.AccessDenied:
            return None


LABEL = re.compile(r"([0-9a-f]{8})-(\d{1,10})-(\d{1,10})")


def own_label() -> str:
    """The label of this process."""
    return _label_of(os.getpid())


@functools.lru_cache(maxsize=1)
def _label_of(pid: int) -> str:  # of this process: a fork has another number, and asks anew
    return ProcessIdentity.here().label


def labelled_gone(label: str) -> bool | None:
    """Whether the process with this `label` has ended; None if that cannot be known from here, or for another text."""
    if label == own_label():
        return False
    found = LABEL.fullmatch(label)
    here = socket.gethostname(), _boot()
    if found is None or found[1] != _place(*here):
        return None
    return ProcessIdentity(*here, int(found[2]), float(found[3]), "").gone()


def _place(host: str, boot: str) -> str:
    return hashlib.sha256(f"{host}/{boot}".encode()).hexdigest()[:8]


@functools.cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + os.readlink("/proc/self/ns/pid")
    except OSError:
        return str(round(psutil.boot_time()))


def _started(process: psutil.Process) -> float:
    # On Linux psutil adds the time of boot, which moves whenever the clock is set.
    return float(process.create_time() - (psutil.boot_time() if psutil.LINUX else 0.0))


def _is_hidden(pid: int) -> bool:
    """Whether another user's process has that number, on a system that shows each user only their own."""
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return False
