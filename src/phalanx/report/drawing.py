"""Draws figures in processes of their own, so that the leading process neither imports matplotlib nor draws.

`start` spawns them. A `Drawn` is a figure that one of them begins to draw at once, and that is waited for when its
result is needed; before `start`, and where the processes are lost, it is drawn by whoever needs the result. A process
ends with its parent, which the end of the pipe tells it. `phalanx.report.drawing_process` is the other end.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import subprocess
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from phalanx.core.processes import spawned

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)

T = TypeVar("T")
MOST_PROCESSES = 4  # a figure takes 0.1 s; the first process takes 60 MB, and each further one a few more
PATIENCE_S = 60.0  # processes that answer nothing for so long while they are waited for are killed
END_S = 3.0  # how long processes without work may take to end
PROCESS = "phalanx.report.drawing_process"
LOST = (OSError, EOFError, CancelledError)  # what is raised for a process that has ended, or is silent

_seen: dict[Any, Any] = {}  # the warnings that have been shown, as `warnings` keeps them for a module


@dataclass(frozen=True)
class Answer:
    """What a process sends back.

    Attributes:
        value: What the function returned.
        failed: Whether it raised instead.
        records: What it logged.
        warned: Message, category, file and line of each of its warnings.
    """

    value: Any
    failed: bool
    records: tuple[logging.LogRecord, ...]
    warned: tuple[tuple[str, type[Warning], str, int], ...]


class DrawingProcesses:
    """One spawned process and its forks, which share what it has imported, each at the end of a pipe.

    Args:
        n_processes: How many there are.

    Raises:
        OSError: No process can be spawned.
    """

    def __init__(self, n_processes: int) -> None:
        pipes = [Pipe() for _ in range(n_processes)]
        with contextlib.ExitStack() as theirs:
            numbers = [theirs.enter_context(their).fileno() for _, their in pipes]
            self.popen = spawned(PROCESS, list(map(str, numbers)), pass_fds=numbers)
        self.heard = 0.0  # when one of them answered, or was first waited for
        self._connections = [our for our, _ in pipes]
        self._free: queue.SimpleQueue[Connection] = queue.SimpleQueue()  # those that no thread uses
        for connection in self._connections:
            self._free.put(connection)
        self._threads = ThreadPoolExecutor(n_processes, thread_name_prefix="drawing")

    def submit(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Has a process call the function, which it imports by its name, with arguments that can be pickled."""
        return self._threads.submit(self._ask, logging.getLogger().level, function, arguments)

    def _ask(self, level: int, function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        connection = self._free.get()
        try:
            connection.send((level, function, arguments))
            answer: Answer = connection.recv()
        finally:
            self._free.put(connection)
        self.heard = time.monotonic()
        if answer.failed:  # and what it said is said again when it is called here
            raise DrawingFailed
        for record in answer.records:
            if (logger := logging.getLogger(record.name)).isEnabledFor(record.levelno):
                logger.handle(record)
        for message, category, file, line in answer.warned:
            warnings.warn_explicit(message, category, file, line, registry=_seen)
        value: T = answer.value
        return value

    def wait(self, future: Future[T]) -> T:
        """Returns the result. Raises `LOST` if the processes are lost, and `DrawingFailed`."""
        self.heard = time.monotonic()
        while not wait([future], timeout=0.5).done:
            if time.monotonic() - self.heard >= PATIENCE_S:
                raise TimeoutError
        return future.result()

    def stop(self) -> None:
        """Ends them; what was asked for and not waited for is not drawn."""
        idle = self._free.qsize() == len(self._connections)
        if self.heard and idle:  # they import nothing any more, and end in milliseconds
            for connection in self._connections:
                connection.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(END_S)
        if self.popen.poll() is None:
            os.killpg(self.popen.pid, signal.SIGKILL)  # its forks too
            self.popen.wait()
        self._threads.shutdown(cancel_futures=True)


class DrawingFailed(Exception):
    """The function raised in the process. It is called again here, which shows why."""


class Drawn(Generic[T]):
    """What is drawn by a process, or, where there is none, by whoever asks for the result.

    Args:
        function: Draws. A process imports it by its name, so its module must not import torch.
        arguments: Its arguments, which can be pickled.
    """

    def __init__(self, function: Callable[..., T], *arguments: Any) -> None:
        self._function, self._arguments = function, arguments
        self._processes = _STATE.processes
        self._future = self._processes.submit(function, *arguments) if self._processes else None

    def result(self) -> T:
        """Waits for it. Raises what the function raises."""
        if self._future is not None and self._processes is not None:
            try:
                return self._processes.wait(self._future)
            except LOST:
                _give_up(self._processes)
            except Exception:
                log.debug("a figure is drawn again, by this process", exc_info=True)
            except BaseException:  # Ctrl-C: nobody may write into a folder that is about to be removed
                stop()
                raise
        return self._function(*self._arguments)


class _State:
    processes: DrawingProcesses | None = None


_STATE = _State()


def start() -> None:
    """Spawns the processes, unless there are some already; none on a single core."""
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if _STATE.processes is None and n_cores > 1:
        with contextlib.suppress(OSError):  # then whoever asks for a figure draws it
            _STATE.processes = DrawingProcesses(min(n_cores, MOST_PROCESSES))


def stop() -> None:
    """Ends the processes, if there are any."""
    processes, _STATE.processes = _STATE.processes, None
    if processes is not None:
        processes.stop()


def _give_up(processes: DrawingProcesses) -> None:
    if processes is _STATE.processes:
        log.warning("the processes that draw figures have ended; this one draws what is missing")
        stop()


class Titled(Protocol):
    """The numbers of a figure of a page."""

    @property
    def title(self) -> str:
        """The heading of the figure."""


def write_figure(path: Path, draw: Callable[..., Figure], *arguments: Any) -> Path:
    """Draws a figure into a file; see `phalanx.report.style.save_figure`."""
    from phalanx.report.style import save_figure

    return save_figure(draw(*arguments), path)


def inline_figure(draw: Callable[[Any], Figure], info: Titled, tips: Mapping[int, str]) -> Markup:
    """Draws a figure of a page; see `phalanx.report.svg.inline`."""
    from phalanx.report.svg import inline

    return inline(draw(info), info.title, tips)
