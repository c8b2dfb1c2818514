"""`train.py` in a process of its own that finds the heavy libraries imported: a fork of a server that did only that.

A test that is about starting, signals or kills uses `test_train_command.train`, which starts Python itself.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

from conftest import ROOT

TRAIN = str(ROOT / "train.py")
IMPORTED = ["hydra.main", "phalanx.together", "phalanx.final", "sklearn.datasets", "hydra_plugins.phalanx.sweeper"]

server = multiprocessing.get_context("forkserver")
server.set_forkserver_preload([*IMPORTED, "hydra_plugins.phalanx._opening", "sqlalchemy.dialects.sqlite"])


def train(*arguments, cwd, check=None, **variables):
    """The same as `test_train_command.train`, in a fifth of the time."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        child = server.Process(target=_run, args=(arguments, str(cwd), variables, str(out), str(err)))
        child.start()
        child.join(timeout=300)
        if child.is_alive():
            child.kill()
            raise subprocess.TimeoutExpired(arguments, 300)
        done = subprocess.CompletedProcess(arguments, child.exitcode, out.read_text(), err.read_text())
    if check is not None:
        assert done.returncode == check, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done


def _run(arguments, cwd, variables, out, err):
    os.chdir(cwd)
    for name in ("HYDRA_FULL_ERROR", "MLFLOW_TRACKING_URI"):
        os.environ.pop(name, None)
    os.environ.update(OMP_NUM_THREADS="1", COLUMNS="100", **variables)
    for stream, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_CREAT | os.O_WRONLY), stream)
    sys.argv = [TRAIN, *arguments]
    runpy.run_path(TRAIN, run_name="__main__")
