"""`python -m phalanx.tracking.process`: the process that logs a folder to MLflow while another one trains.

Its stdin is the pipe to its parent; `phalanx.tracking.client` describes the messages.
"""

import contextlib
import os
import signal
from multiprocessing.connection import Connection

from phalanx.runs.provenance import write_diff
from phalanx.tracking.connection import import_mlflow
from phalanx.tracking.sync import FolderSync

PAUSE_S = 0.5  # between two looks at the folder


def main() -> None:
    """Logs until the parent asks it to end. Where the parent was killed, it first logs what there is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(10)  # training comes first
    parent = Connection(0)

    def report(kind: str, value: str | int) -> None:
        with contextlib.suppress(OSError):  # the parent was killed
            parent.send((kind, value))

    import_mlflow()  # its seconds pass while the parent prepares the training
    try:
        root, spec, source = parent.recv()
    except (EOFError, OSError):
        return  # the parent has ended before the run started
    write_diff(root)
    with contextlib.closing(FolderSync(root, spec, report, source=source, running=True)) as sync:
        sync.update()
        while True:
            try:
                message = parent.recv() if parent.poll(PAUSE_S) else ""
            except (EOFError, OSError):
                sync.finish()
                return
            if message == "":
                sync.update()
            elif message is None:
                report("delivered", sync.update(at_end=True))
            else:
                report("ended", sync.finish(message))
                return


if __name__ == "__main__":
    main()
