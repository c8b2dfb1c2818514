"""Damages each file of runs and sweeps in each way, and starts each command that reads them.

`python -m support.folder_fuzzer` does all of it and says what came of it: `make fuzz-folders`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from support.damage import Damage, inside, restore, whole
from support.forked import train

from phalanx.cli.main import main

TINY = ["data.n_train=100", "data.n_val=60", "data.n_test=60", "model.width=8", "trainer.epochs=3", "tracking=none"]
RUN, GRID, SEARCH = "outputs/runs/run", "outputs/sweeps/grid", "outputs/sweeps/s"
DAMAGED_TRIAL = "1"
OTHERS = re.compile(rf"(final/)?(?!{DAMAGED_TRIAL}/)\d+/")  # files of other trials
UNREAD = (".lock", ".png", ".log", ".html", ".hydra/config.yaml", "optimization_results.yaml")
SKIPPED = (*UNREAD, "study.db", "study.db-shm", "study.db-wal")  # SQLite's own to judge
LIMIT_S = 300
HINT = re.compile(r"Traceback \(most recent|^\w+Error: ", re.MULTILINE)
NOT_THERE = ("missing", "a folder", "a dangling link")
UNREADABLE = ("garbage", "zeros", "a folder", "deep", "a list as a whole", "text as a whole", "a number as a whole")


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


@dataclass(frozen=True)
class Case:
    """One damaged file."""

    root: str  # the folder of the run or of the sweep
    file: str  # in it
    damage: Damage

    def __str__(self) -> str:
        return f"{self.root}/{self.file}: {self.damage}"


class Workplace:
    """A folder with a run, a grid and a search, each really trained."""

    def __init__(self, folder: Path, *roots: str) -> None:
        self.folder, self.good = folder, folder / "good"
        store = f"sqlite:///{folder}/mlflow.db"
        os.environ["MLFLOW_TRACKING_URI"] = store
        script = f"from mlflow import MlflowClient; MlflowClient({store!r}).search_experiments()"
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
        roots = roots or (RUN, GRID, SEARCH)
        for root in roots:
            MAKE[root](folder)
        shutil.copytree(folder / "outputs", self.good)
        self.roots = roots
        self.baseline: dict[tuple[str, str], Outcome] = {}
        (folder / "rows.csv").write_text(",".join(f"p{i}" for i in range(64)) + "\n" + ",".join(["1"] * 64) + "\n")

    def cases(self, n_inside: int, draw: random.Random) -> list[Case]:
        """Every kind of damage to each whole file, and `n_inside` to its values."""
        found = []
        for root in self.roots:
            for file in self._files(root):
                good = self._good(root) / file
                values = list(inside(good))
                drawn = draw.sample(values, min(n_inside, len(values)))
                found += [Case(root, file, damage) for damage in (*whole(good), *drawn)]
        return found

    def _good(self, root: str) -> Path:
        return self.good / Path(root).relative_to("outputs")

    def _files(self, root: str) -> list[str]:
        """The files that a command reads; of the trials of a sweep, and of its final, those of one."""
        good = self._good(root)
        found = sorted(f.relative_to(good).as_posix() for f in good.rglob("*") if f.is_file())
        return [f for f in found if not f.endswith(SKIPPED) and OTHERS.match(f) is None]

    def put(self, root: str, case: Case | None = None) -> None:
        """Puts the folder back as it was, with the damage of a case."""
        restore(self._good(root), self.folder / root)
        if case is not None:
            case.damage.apply(self.folder / root / case.file)

    def run(self, case: Case, command: str) -> list[str]:
        """Starts a command on a damaged folder; what is wrong with what it did."""
        call = COMMANDS[command]
        if (case.root, command) not in self.baseline:
            self.put(case.root)
            self.baseline[case.root, command] = call(self, case.root)
            assert self.baseline[case.root, command].status == 0, self.baseline[case.root, command]
        self.put(case.root, case)
        before = self.baseline[case.root, command]
        return list(faults(case, command, call(self, case.root), before))


def faults(case: Case, command: str, found: Outcome, before: Outcome) -> Iterator[str]:
    """What a command did wrong with a damaged file."""
    if found.status not in (0, 1, 2) or HINT.search(found.said):
        yield f"raised {found.status}: {found.said[-1500:]}"
        return
    known = [Path(case.file).name]
    if case.file.startswith(f"{DAMAGED_TRIAL}/"):
        known.append(f"trial {DAMAGED_TRIAL}")
    if case.damage.kind in NOT_THERE:
        known.append(case.root)
    is_named = any(name in found.said for name in known)
    if found.status != 0 and not is_named:
        yield f"ends with {found.status} and does not name the file: {found.said[-500:]}"
    if found.status == 0 and case.damage.kind in UNREADABLE and found.shown != before.shown and not is_named:
        yield f"leaves something out without a word: {_difference(found.shown, before.shown)}"
    if case.file.startswith(f"{DAMAGED_TRIAL}/") and found.status == 2 and command in ("report", "compare", "sync"):
        yield f"a damaged trial takes the others with it: {found.said[-500:]}"


def _difference(one: str, other: str) -> str:
    first = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return f"{one[max(0, first - 100) : first + 100]!r} for {other[max(0, first - 100) : first + 100]!r}"


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


def _report(place: Workplace, root: str) -> Outcome:
    page = place.folder / "page.html"
    page.unlink(missing_ok=True)
    return in_process("report", root, "--output", str(page), page=page)


RUN_COMMAND = [*TINY, f"hydra.run.dir={RUN}"]
GRID_COMMAND = [
    "-m", *TINY, "loss=cross_entropy,mse", "seed=0,1,2", "tracking.keep=1", f"hydra.sweep.dir={GRID}",
]  # fmt: skip
SEARCH_COMMAND = [
    "-m", *TINY, "hydra/sweeper=optuna", "hydra.sweeper.study_name=s", "hydra.sweeper.n_trials=3",
    "hydra.sweeper.repeats=2", "hydra.sweeper.final={top: 3, seeds: 2}", "tracking.keep=1",
]  # fmt: skip


def _make_run(folder: Path) -> None:
    train(*RUN_COMMAND, cwd=folder, check=0)


MAKE: dict[str, Callable[[Path], None]] = {
    RUN: _make_run,
    GRID: lambda folder: train(*GRID_COMMAND, cwd=folder, check=0),
    SEARCH: lambda folder: train(*SEARCH_COMMAND, cwd=folder, check=0),
}
COMMANDS: dict[str, Callable[[Workplace, str], Outcome]] = {
    "inspect": lambda place, root: in_process("inspect", root),
    "predict": lambda place, root: in_process("predict", root, str(place.folder / "rows.csv")),
    "report": _report,
    "compare": lambda place, root: in_process("compare", root),
    "sync": lambda place, root: in_process("sync", root),
    "from_run": lambda place, root: _trained(f"from_run={root}", "--cfg", "job", cwd=place.folder),
}
OF_A_NETWORK = ("inspect", "predict")


def commands(root: str) -> list[str]:
    """The commands for a folder."""
    return [name for name in COMMANDS if root == RUN or name not in OF_A_NETWORK]


def fuzz(place: Workplace, cases: Sequence[tuple[Case, str]], show: Callable[[str], object]) -> Counter[str]:
    """Runs each command on each damaged folder; counts them, and the faults, by command and by kind of damage."""
    counts: Counter[str] = Counter()
    for case, command in cases:
        counts[f"command {command}"] += 1
        counts[f"kind {case.damage.kind}"] += 1
        for fault in place.run(case, command):
            counts["faults"] += 1
            show(f"{command} {case}\n    {fault}")
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inside", type=int, default=20, help="damaged values a file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="a regular expression for commands with their cases")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        place = Workplace(Path(scratch))
        pairs = [(case, name) for case in place.cases(options.inside, draw) for name in commands(case.root)]
        chosen = [(case, name) for case, name in pairs if re.search(options.only, f"{name} {case}")]
        began = time.monotonic()
        counts = fuzz(place, chosen, lambda text: print(text, flush=True))
        print(f"{len(chosen)} commands in {time.monotonic() - began:.0f} s, {counts.pop('faults', 0)} faults")
        print(*(f"  {name}: {n}" for name, n in sorted(counts.items())), sep="\n")
