"""`python -m phalanx.tracking.process`: the process that logs a folder to MLflow while another one trains.

Its stdin is the pipe to its parent; `phalanx.tracking.client` describes the messages.
"""

import contextlib
import os
import signal
import threading
from multiprocessing.connection import Connection
from typing import Any

from phalanx.core.garbage import collect_from_now_on, uncollected
from phalanx.runs.provenance import write_diff
from phalanx.runs.sweep_folder import is_sweep
from phalanx.tracking.connection import import_mlflow, import_store
from phalanx.tracking.heartbeat import Heartbeat
from phalanx.tracking.links import Place
from phalanx.tracking.model_files import prepare_process
from phalanx.tracking.sync import FolderSync

PAUSE_S = 0.5  # between two looks at the folder


def main() -> None:
    """Logs until the parent asks it to end. Where the parent was killed, it first logs what there is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = Connection(0)

    sending = threading.RLock()  # a sign of life may come from another thread, or while this one pickles a message

    def report(kind: str, value: str | int | Place) -> None:
        with contextlib.suppress(OSError), sending:  # the parent was killed
            parent.send((kind, value))

    value: Any
    try:
        _, spec = parent.recv()
        with uncollected():
            Heartbeat(lambda: report("alive", "")).watch()
            import_mlflow()  # its seconds pass while the parent imports torch
            import_store(spec.uri)
        collect_from_now_on()
        os.nice(10)  # training comes first
        _, (root, source) = parent.recv()
    except (EOFError, OSError):
        return  # the parent has ended before the run started
    write_diff(root)
    with contextlib.closing(FolderSync(root, spec, report, source=source, running=True)) as sync:
        sync.update()
        if spec.register == "all" or (spec.register == "sweep" and is_sweep(root)):
            prepare_process()
        while True:
            try:
                kind, value = parent.recv() if parent.poll(PAUSE_S) else ("", None)
            except (EOFError, OSError):
                sync.finish()
                return
            if kind == "deliver":
                report("delivered", sync.update(at_end=True))
            elif kind == "register":
                sync.register_best(value)
            elif kind == "end":
                report("ended", sync.finish(value))
                return
            else:
                sync.update()


if __name__ == "__main__":
    main()
    os._exit(0)  # without the tenth of a second in which Python frees what was imported; the parent waits for the end
