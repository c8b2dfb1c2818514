"""Processes of this package that work for a command, and end with it."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def spawned(
    module: str, arguments: Sequence[str] = (), *, stdin: int = subprocess.DEVNULL, pass_fds: Sequence[int] = ()
) -> subprocess.Popen[bytes]:  # fmt: skip
    """Spawns `python -m module`, in a session of its own, because Ctrl-C is for the leading process to handle.

    An executor cannot replace this: a worker of loky or of the standard library shares the session, keeps the parent
    from exiting, and never notices that the parent was killed. The process notices by the end of a pipe.

    Args:
        module: A module of this package, which is found whatever the working directory is.
        arguments: Its arguments.
        stdin: The file descriptor of its standard input.
        pass_fds: Further file descriptors that it inherits.

    Raises:
        OSError: It cannot be spawned.
    """
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, *arguments],
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=pass_fds,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
    )
