"""Everything that Phalanx raises on purpose. A `RequestError` is the user's to mend (exit status 2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a request: which key, what it held, what is allowed, what to type."""

    key: str
    value: Any
    allowed: str
    advice: str = ""

    def __str__(self) -> str:
        tail = f"; try {self.advice}" if self.advice else ""
        return f"{self.key} must be {self.allowed}, got {self.value!r}{tail}"


class PhalanxError(Exception):
    """Base of all errors that Phalanx raises on purpose."""


class RequestError(PhalanxError, ValueError):
    """The request was wrong: nothing was trained, and the same command would fail again."""


class SpecError(RequestError):
    """One or more values of a configuration are wrong; `faults` lists them all."""

    def __init__(self, faults: Sequence[Fault | str]) -> None:
        self.faults = tuple(faults)
        lines = [f"  - {fault}" for fault in self.faults]
        count = "1 fault" if len(lines) == 1 else f"{len(lines)} faults"
        super().__init__("\n".join([f"The configuration has {count}:", *lines]))

    def __reduce__(self) -> tuple[type[SpecError], tuple[tuple[Fault | str, ...]]]:
        return type(self), (self.faults,)


def all_of(*calls: Callable[[], Any]) -> list[Any]:
    """What every call returns; one `RequestError` with the messages of all that raised one."""
    found, faults = [], []
    for call in calls:
        try:
            found.append(call())
        except RequestError as error:
            faults.append(error)
    if faults:
        raise faults[0] if len(faults) == 1 else RequestError("\n".join(map(str, faults)))
    return found


class DataError(RequestError):
    """The data cannot be read, found or split as asked."""


class DeviceError(RequestError):
    """The device that was asked for is not there."""


class RunFolderError(RequestError):
    """A folder that should hold a finished run does not."""


class CheckpointError(RunFolderError):
    """A checkpoint is damaged, or of another training than the one that should go on from it."""


class StudyFailed(PhalanxError):
    """A search ended without a single value."""


class StorageLost(PhalanxError):
    """The database of a study was there, and does not answer any more."""


class WorkerLost(PhalanxError):
    """The process that trained was killed or crashed, more often than is forgiven."""


class TrialTimeout(PhalanxError):
    """A trial trained longer than it may."""


class Superseded(PhalanxError):
    """Another attempt at the same trial has taken over, so nothing of this one may be written."""


class TrainingInterrupted(KeyboardInterrupt):
    """Training was stopped by Ctrl-C or SIGTERM; `results` holds what each trial had reached."""

    def __init__(self, results: Sequence[Any]) -> None:
        self.results = list(results)
        super().__init__("training was interrupted")


class Failure(StrEnum):
    """The kinds of failure that a sweep tells apart."""

    DIVERGED = "diverged"
    CONFIG = "config"
    DATA = "data"
    CRASH = "crash"
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"


NO_MEMORY = ("not enough memory", "can't allocate memory", "out of memory")  # torch's words on CPU and CUDA


def failure_of(error: BaseException) -> Failure:
    """Which kind of failure an error is."""
    if isinstance(error, KeyboardInterrupt):
        return Failure.INTERRUPTED
    if isinstance(error, TrialTimeout):
        return Failure.TIMEOUT
    if isinstance(error, DataError):
        return Failure.DATA
    if isinstance(error, RequestError):
        return Failure.CONFIG
    words = str(error).lower()
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(phrase in words for phrase in NO_MEMORY)
    ):
        return Failure.OUT_OF_MEMORY
    return Failure.CRASH
