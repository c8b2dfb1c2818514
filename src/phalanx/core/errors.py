"""The exceptions of Phalanx. A `RequestError` is the user's to correct (exit status 2)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from phalanx.core.result import Failure as Failure
from phalanx.core.result import TrialResult

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True)
class Fault:
    """One invalid value of a request: its key, the value, what is allowed, and what to type instead.

    `advice` is an argument that can be typed as it is; `otherwise` says in words what else would do.
    """

    key: str
    value: Any
    allowed: str
    advice: str = ""
    otherwise: str = ""

    def __str__(self) -> str:
        tail = f"; try {pasted(self.advice)}{self.otherwise}" if self.advice else ""
        return f"{self.key} must be {self.allowed}, got {self.value!r}{tail}"


def pasted(argument: str) -> str:
    """Returns an argument as it has to be typed into a shell: in quotes if a shell would change it.

    zsh refuses brackets for which there is no file, and takes a word that begins with `=` for the name of a command.
    What cannot be printed, such as a line break, is written by its bytes in quotes of bash and zsh: `$'\\x0a'`.
    """
    if re.fullmatch(r"(?!=)[\w@%+=:,./-]+", argument):
        return argument
    if not argument.isprintable():
        return "$'" + "".join(map(_escaped, argument)) + "'"
    in_double = "'" in argument and not set(argument) & set('"$`\\!')
    return f'"{argument}"' if in_double else "'" + argument.replace("'", "'\"'\"'") + "'"


def _escaped(character: str) -> str:
    if character in "'\\":
        return f"\\{character}"
    if character.isprintable():
        return character
    of_a_byte = "\udc80" <= character <= "\udcff"  # as Python reads one that is no UTF-8
    encoded = character.encode("utf-8", "surrogateescape" if of_a_byte else "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in encoded)


def listed(names: Sequence[str], most: int = 5) -> str:
    """Returns names for a message, separated by commas: at most so many, and the number of the others."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def numbered_trials(numbers: Sequence[int]) -> str:
    """Returns `trial 3`, or `trials 1, 2`: of many the first eight, and the number of the others."""
    return f"trial{'' if len(numbers) == 1 else 's'} {listed(list(map(str, numbers)), 8)}"


class PhalanxError(Exception):
    """Base of all exceptions of Phalanx.

    Examples:
        >>> from phalanx import PhalanxError, RequestError
        >>> issubclass(RequestError, PhalanxError)
        True
    """


class RequestError(PhalanxError, ValueError):
    """The request was invalid: nothing was trained, and the same command would fail again.

    Examples:
        >>> from phalanx import RequestError, TrainerSpec
        >>> try:
        ...     TrainerSpec(epochs=0)
        ... except RequestError as error:
        ...     print(error)
        The configuration has 1 fault:
          - trainer.epochs must be a whole number of at least 1, got 0; try trainer.epochs=20
    """


class SpecError(RequestError):
    """One or more values of a configuration are invalid; `faults` lists all of them."""

    def __init__(self, faults: Sequence[Fault | str]) -> None:
        self.faults = tuple(faults)
        lines = [f"  - {fault}" for fault in self.faults]
        count = "1 fault" if len(lines) == 1 else f"{len(lines)} faults"
        super().__init__("\n".join([f"The configuration has {count}:", *lines]))

    def __reduce__(self) -> tuple[type[SpecError], tuple[tuple[Fault | str, ...]]]:
        return type(self), (self.faults,)


def all_of(first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
    """Calls both functions and returns their results. If both raise `RequestError`, raises one with both messages."""
    try:
        found = first()
    except RequestError as error:
        try:
            second()
        except RequestError as other:
            raise RequestError(f"{error}\n{other}") from error
        raise
    return found, second()


class DataError(RequestError):
    """The data cannot be found, read or split as requested."""


class DeviceError(RequestError):
    """The requested device is not available."""


class RunFolderError(RequestError):
    """A folder does not hold a readable run."""


class UnreadableFile(RunFolderError):
    """A file is damaged, or is not one that is read: a pipe, a link out of its folder, too large, nested too deeply."""

    def __init__(self, file: object, fault: str) -> None:
        self.file, self.fault = str(file), fault
        super().__init__(f"{file} {fault}")

    def __reduce__(self) -> tuple[type[UnreadableFile], tuple[str, str]]:
        return type(self), (self.file, self.fault)


class CheckpointError(RunFolderError):
    """A checkpoint is damaged, or belongs to another configuration than the run that should resume from it."""


class Incomplete(PhalanxError):
    """A part of what was asked for was left out, since a file could not be read or written; the rest was done."""


class StudyFailed(PhalanxError):
    """A search ended without a single objective value."""


class StorageLost(PhalanxError):
    """The database of a study stopped answering during the search."""


class WorkerLost(PhalanxError):
    """The training process was killed or crashed, more often than the limit allows."""


class TrialTimeout(PhalanxError):
    """A trial trained longer than its time limit."""


class Superseded(PhalanxError):
    """Another attempt at the same trial has taken over, so this one must not write anything."""


class TrainingInterrupted(KeyboardInterrupt):
    """Training was stopped by Ctrl-C or SIGTERM; `results` holds the result of each trial so far."""

    def __init__(self, results: Sequence[TrialResult]) -> None:
        self.results = list(results)
        super().__init__("training was interrupted")


def failure_of(error: BaseException) -> Failure:
    """The kind of failure that an exception stands for."""
    if isinstance(error, KeyboardInterrupt):
        return Failure.INTERRUPTED
    if isinstance(error, TrialTimeout):
        return Failure.TIMEOUT
    if isinstance(error, DataError):
        return Failure.DATA
    if isinstance(error, RequestError):
        return Failure.CONFIG
    torch_says = ("not enough memory", "can't allocate memory", "out of memory")  # on the CPU and on CUDA
    no_memory = isinstance(error, RuntimeError) and any(words in str(error).lower() for words in torch_says)
    return Failure.OUT_OF_MEMORY if no_memory or isinstance(error, MemoryError) else Failure.CRASH
