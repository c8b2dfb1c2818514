"""The commands of the folder fuzzer, and the folders that they read or go on with, each really trained."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import shutil
import signal
import subprocess
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from support.forked import train

from phalanx import load_dataset, train_cohort
from phalanx.cli.main import main
from phalanx.core.callbacks import Callback
from phalanx.core.errors import TrainingInterrupted
from phalanx.core.result import EpochMetrics
from phalanx.runs.checkpoint import RunCheckpointer
from phalanx.runs.config import trial_spec
from phalanx.runs.config_file import read_values
from phalanx.runs.layout import RunPaths
from phalanx.runs.options import CheckpointSpec

TINY = ["data.n_train=100", "data.n_val=60", "data.n_test=60", "model.width=8", "trainer.epochs=3", "tracking=none"]
RUN, BROKEN_OFF, GRID, SEARCH = "outputs/runs/run", "outputs/runs/off", "outputs/sweeps/grid", "outputs/sweeps/s"
LIMIT_S = 300


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    status: int | str  # a text for an exception that reached the caller
    out: str
    err: str
    page: str = ""  # the report that it wrote

    @property
    def said(self) -> str:
        return self.out + self.err

    @property
    def shown(self) -> str:
        return _steady(self.out + self.page)


def _steady(text: str) -> str:
    """Without what differs from one call to the next."""
    return re.sub(
        r"[0-9a-f]{32}|\b[0-9a-f]{10}\b|url\(#\w+\)|(id|href)=\"[^\"]+\"|\d{4}-\d\d-\d\d[T ][\d:.+]+", "", text
    )


def in_process(*arguments: str, page: Path | None = None) -> Outcome:
    """`phalanx` in this process."""
    out, err = io.StringIO(), io.StringIO()
    status: int | str
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _time_limit():
        try:
            status = main([*arguments])
        except (Exception, SystemExit, RecursionError) as error:
            status = type(error).__name__
            traceback.print_exc()
    text = page.read_text() if page is not None and page.is_file() else ""
    return Outcome(status, out.getvalue(), err.getvalue(), text)


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError(f"no end after {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _trained(*arguments: str, cwd: Path) -> Outcome:
    try:
        done = train(*arguments, cwd=cwd)
    except AssertionError as error:
        return Outcome("a traceback", "", str(error))
    except subprocess.TimeoutExpired:
        return Outcome("no end", "", "")
    return Outcome(done.returncode, done.stdout, done.stderr)


def _goes_on(*arguments: str, cwd: Path, told: Callable[[], object]) -> Outcome:
    """`train.py`, of which what it computed is compared, and not what it prints, which has times."""
    done = _trained(*arguments, cwd=cwd)
    numbers = ""
    with contextlib.suppress(Exception):  # nothing was computed, or a file cannot be written to
        numbers = str(told())
    return Outcome(done.status, "", done.out + done.err, numbers)


def _numbers(folder: Path, root: str) -> object:
    """What a run reached."""
    content = json.loads((folder / root / "result.json").read_text())
    return [content[key] for key in ("status", "metrics", "epochs", "best_epoch", "config_digest")]


def _trials(folder: Path, root: str) -> object:
    """What the trials of a sweep, and the points of its final, reached."""
    rows = csv.DictReader((folder / root / "trials.csv").open())
    final = folder / root / "final.csv"
    table = final.read_text() if final.is_file() else ""
    return [[row[key] for key in ("number", "status", "objective", "config_digest")] for row in rows], table


def _report(folder: Path, root: str) -> Outcome:
    page = folder / "page.html"
    page.unlink(missing_ok=True)
    return in_process("report", root, "--output", str(page), page=page)


RUN_COMMAND = [*TINY, f"hydra.run.dir={RUN}"]
GRID_COMMAND = [
    "-m", *TINY, "loss=cross_entropy,mse", "seed=0,1", "tracking.keep=1", f"hydra.sweep.dir={GRID}",
]  # fmt: skip
SEARCH_COMMAND = [
    "-m", *TINY, "hydra/sweeper=optuna", "hydra.sweeper.study_name=s", "hydra.sweeper.n_trials=3",
    "hydra.sweeper.repeats=2", "hydra.sweeper.final={top: 3, seeds: 2}", "tracking.keep=1",
    "hydra.sweeper.sampler.seed=0",
]  # fmt: skip


AGAIN = {GRID: GRID_COMMAND, SEARCH: SEARCH_COMMAND}


class _Stop(Callback):
    """Ctrl-C in the second epoch."""

    def on_epoch(self, rows: Mapping[int, EpochMetrics]) -> Collection[int]:
        if rows[0].epoch == 2:
            raise KeyboardInterrupt
        return ()


def _break_off(folder: Path) -> None:
    """A run as a kill after its first epoch leaves it, with its checkpoint."""
    train(*TINY, f"hydra.run.dir={BROKEN_OFF}", cwd=folder, check=0)
    paths = RunPaths(folder / BROKEN_OFF)
    shutil.rmtree(paths.plots)
    for file in (paths.result, paths.model, paths.metrics):
        file.unlink()
    spec = trial_spec(read_values(paths.config_resolved))
    checkpointer = RunCheckpointer(paths, CheckpointSpec(every_epochs=1), [spec])
    dataset = load_dataset(spec.data)
    checkpointer.begin(dataset)
    with contextlib.suppress(TrainingInterrupted):
        train_cohort([spec], dataset, _Stop(), checkpointer=checkpointer)
    assert paths.checkpoint.is_file()


MAKE: dict[str, Callable[[Path], object]] = {
    RUN: lambda folder: train(*RUN_COMMAND, cwd=folder, check=0),
    BROKEN_OFF: _break_off,
    GRID: lambda folder: train(*GRID_COMMAND, cwd=folder, check=0),
    SEARCH: lambda folder: train(*SEARCH_COMMAND, cwd=folder, check=0),
}
COMMANDS: dict[str, Callable[[Path, str], Outcome]] = {
    "inspect": lambda folder, root: in_process("inspect", root),
    "predict": lambda folder, root: in_process("predict", root, str(folder / "rows.csv")),
    "report": _report,
    "compare": lambda folder, root: in_process("compare", root),
    "sync": lambda folder, root: in_process("sync", root),
    "from_run": lambda folder, root: _trained(f"from_run={root}", "--cfg", "job", cwd=folder),
    "resume": lambda folder, root: _goes_on(
        f"resume={root}", cwd=folder, told=lambda: _numbers(folder, root)
    ),
    "again": lambda folder, root: _goes_on(*AGAIN[root], cwd=folder, told=lambda: _trials(folder, root)),
}  # fmt: skip
IN_PROCESS = ("inspect", "predict", "report", "compare", "sync")  # the others start `train.py`
ONE_BY_ONE = ("report", "compare", "sync", "again")  # which read each trial by itself
OF_A_SWEEP = ("report", "compare", "sync", "from_run", "again")


def commands(root: str) -> list[str]:
    """The commands for a folder."""
    if root == BROKEN_OFF:
        return ["resume"]
    return [name for name in COMMANDS if (name in OF_A_SWEEP if root in AGAIN else name != "again")]
