"""`python -m phalanx.report.drawing_process PIPE…`: draws figures for another process.

Its arguments are the numbers of pipes to its parent. It imports matplotlib, then forks until each pipe has a process.
Torch is never imported here.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import pickle
import signal
import sys
import warnings
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection
from queue import SimpleQueue

from phalanx.core.garbage import collect_from_now_on, uncollected
from phalanx.report.drawing import Answer

MODULES = (
    "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg", "matplotlib.colorbar", "matplotlib.figure",
    "PIL.PngImagePlugin", "phalanx.report.svg", "phalanx.report.run_figures.confusion",
    "phalanx.report.run_figures.curves", "phalanx.report.run_figures.first_layer",
    "phalanx.report.run_figures.mistakes", "phalanx.report.run_figures.reliability",
)  # fmt: skip


def main() -> None:
    """Draws until the parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connections = [Connection(int(number)) for number in sys.argv[1:]]
    records: SimpleQueue[logging.LogRecord] = SimpleQueue()
    logging.getLogger().addHandler(QueueHandler(records))
    with uncollected(), contextlib.suppress(ImportError):  # which the figures that need it meet too
        for name in MODULES:
            importlib.import_module(name)
    collect_from_now_on()
    forks: list[int] = []
    while len(connections) > 1:
        theirs = connections.pop()
        if (fork := os.fork()) == 0:
            _taken(records)  # the first process tells of them
            for connection in connections:
                connection.close()
            connections, forks = [theirs], []
            break
        theirs.close()
        forks.append(fork)
    _serve(connections[0], records)
    for fork in forks:
        os.waitpid(fork, 0)
    os._exit(0)  # without the time that Python takes to tidy up


def _serve(parent: Connection, records: SimpleQueue[logging.LogRecord]) -> None:
    with parent, contextlib.suppress(EOFError, OSError):
        while True:
            parent.send(_answer(parent.recv_bytes(), records))


def _answer(request: bytes, records: SimpleQueue[logging.LogRecord]) -> Answer:
    value, failed = None, False
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            level, function, arguments = pickle.loads(request)
            logging.getLogger().setLevel(level)
            value = function(*arguments)
        except Exception:
            failed = True
    logged = _taken(records)
    told = tuple((str(one.message), one.category, one.filename, one.lineno) for one in warned)
    return Answer(value, failed, logged, told)


def _taken(records: SimpleQueue[logging.LogRecord]) -> tuple[logging.LogRecord, ...]:
    return tuple(records.get() for _ in range(records.qsize()))


if __name__ == "__main__":
    main()
