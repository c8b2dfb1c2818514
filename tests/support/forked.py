"""`train.py` in a process of its own that finds the heavy libraries imported: a fork of a server that did only that.

`train_command.train_from_the_start` starts Python itself; it is the one for a launcher that starts processes, whose
workers a fork would wait for at its end.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from support.places import ROOT

from phalanx.report import drawing

TRAIN = str(ROOT / "train.py")
IMPORTED = ["hydra.main", "phalanx.jobs.scheduler", "phalanx.analysis.final", "hydra_plugins.phalanx.sweeper"]

server = multiprocessing.get_context("forkserver")
server.set_forkserver_preload(
    [*IMPORTED, "hydra_plugins.phalanx._opening", "sqlalchemy.dialects.sqlite", "phalanx.report.build",
     "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg", "scipy.special", "rich.progress"]
)  # fmt: skip


def train(*arguments, cwd, check=None, script=TRAIN, **variables):
    """Runs `train.py` to its end, or a copy of it; `check` is the exit status that it has to have."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        child = start(*arguments, cwd=cwd, out=out, err=err, script=script, **variables)
        child.join(timeout=300)
        if child.is_alive():
            child.kill()
            raise subprocess.TimeoutExpired(arguments, 300)
        done = subprocess.CompletedProcess(arguments, child.exitcode, out.read_text(), err.read_text())
    if check is not None:
        assert done.returncode == check, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done


def start(*arguments, cwd, out, err=None, script=TRAIN, draws_itself=True, **variables):
    """A `multiprocessing` process that runs `train.py`; what it writes goes to the files `out` and `err`.

    It draws itself, as on one core, unless it is to start processes for that, which take half a second to import
    matplotlib, where it has it already.
    """
    files = str(out), str(err or out)
    child = server.Process(target=_run, args=(str(script), arguments, str(cwd), variables, draws_itself, *files))
    child.start()
    return child


def until(word, out, child):
    """Waits until a line of the file `out` begins with `word`; whether it came before the process ended."""
    while True:
        alive = child.is_alive()
        if out.exists() and any(line.startswith(word) for line in out.read_text().splitlines()):
            return True
        if not alive:
            return False
        time.sleep(0.02)


def _run(script, arguments, cwd, variables, draws_itself, out, err):
    if draws_itself:
        drawing.start = lambda: None
    os.chdir(cwd)
    for name in ("HYDRA_FULL_ERROR", "MLFLOW_TRACKING_URI"):
        os.environ.pop(name, None)
    os.environ.update({"OMP_NUM_THREADS": "1", "COLUMNS": "100", **variables})
    for stream, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND), stream)
    for text in (sys.stdout, sys.stderr):
        text.reconfigure(line_buffering=True)
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")
