"""`python -m phalanx.tracking.process`: the process behind `phalanx.tracking.client`, which says how they talk."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import phalanx.tracking.connection as connection
from phalanx.runs.options import TrackingSpec
from phalanx.runs.provenance import write_diff
from phalanx.tracking.sync import Delivery

PAUSE_S = 0.5  # between two looks at the folder

_voice: Any = sys.stdout


def main() -> None:
    """Delivers until it is told to end, or until its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(AttributeError, OSError):
        os.nice(10)  # training comes first
    global _voice
    _voice = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no message
    inbox = _inbox()
    first = inbox.get()
    if first is None:
        return
    root, source = Path(first.pop("root")), first.pop("source")
    connection.load()  # its seconds pass while the training process starts
    if inbox.get() is None:
        return
    write_diff(root)
    delivery = Delivery(root, TrackingSpec(**first), source, _say, goes_on=True)
    try:
        _serve(delivery, inbox)
    finally:
        delivery.close()


def _serve(delivery: Delivery, inbox: queue.Queue[dict[str, Any] | None]) -> None:
    for message in _messages(inbox):
        if message == {}:
            delivery.advance()
        elif message is None:
            delivery.finish()  # the parent was killed
            return
        elif "settle" in message:
            _say("settled", delivery.advance(patient=False))
        elif "end" in message:
            _say("ended", delivery.finish(message["end"]))
            return


def _messages(inbox: queue.Queue[dict[str, Any] | None]) -> Iterator[dict[str, Any] | None]:
    """What comes from the parent; an empty message where nothing came for a while."""
    yield {}
    while True:
        try:
            yield inbox.get(timeout=PAUSE_S)
        except queue.Empty:
            yield {}


def _inbox() -> queue.Queue[dict[str, Any] | None]:
    """Messages from stdin; None when it ends."""
    found: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            found.put(json.loads(line))
        found.put(None)

    threading.Thread(target=read, daemon=True).start()
    return found


def _say(kind: str, value: Any) -> None:
    with contextlib.suppress(OSError):
        print(json.dumps([kind, value]), file=_voice, flush=True)


if __name__ == "__main__":
    main()
