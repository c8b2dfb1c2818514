"""Damages the files of runs and sweeps, and starts the commands that read them or go on with them.

`python -m support.folder_fuzzer` starts each command on each file in some ways and says what came of it: `make
fuzz-folders`. With `--each 0` it damages each file in every way for each command, which takes hours.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from support.damage import Damage, inside, restore, whole
from support.folder_commands import BROKEN_OFF, COMMANDS, GRID, MAKE, ONE_BY_ONE, RUN, SEARCH, Outcome, commands
from support.train_command import temporaries

DAMAGED_TRIAL = "1"
OTHERS = re.compile(rf"(final/)?(?!{DAMAGED_TRIAL}/)\d+/|final/\d+/split-[^1]/")  # files of other trials and splits
UNREAD = (".lock", ".png", ".log", ".html", ".hydra/config.yaml", "optimization_results.yaml")
SKIPPED = (*UNREAD, "study.db", "study.db-shm", "study.db-wal")  # SQLite's own to judge
HINT = re.compile(r"Traceback \(most recent|^\w+Error: ", re.MULTILINE)
NOT_THERE = ("missing", "a folder", "a dangling link")
UNREADABLE = (
    "garbage", "zeros", "a folder", "deep", "a list as a whole", "text as a whole", "a number as a whole",
    "a row missing",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One damaged file."""

    root: str  # the folder of the run or of the sweep
    file: str  # in it
    damage: Damage

    def __str__(self) -> str:
        return f"{self.root}/{self.file}: {self.damage}"


class Workplace:
    """A folder with a run, another one that was broken off, a grid and a search, each really trained."""

    def __init__(self, folder: Path, *roots: str) -> None:
        self.folder, self.good = folder, folder / "good"
        store = f"sqlite:///{folder}/mlflow.db"
        os.environ["MLFLOW_TRACKING_URI"] = store
        script = f"from mlflow import MlflowClient; MlflowClient({store!r}).search_experiments()"
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
        roots = roots or (RUN, BROKEN_OFF, GRID, SEARCH)
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
            self.baseline[case.root, command] = call(self.folder, case.root)
            assert self.baseline[case.root, command].status == 0, self.baseline[case.root, command]
        self.put(case.root, case)
        before = self.baseline[case.root, command]
        found = list(faults(case, command, call(self.folder, case.root), before))
        if left := temporaries(self.folder / case.root):
            found.append(f"leaves temporary files: {left}")
        return found


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
    if case.file.removeprefix("final/").startswith(f"{DAMAGED_TRIAL}/") and found.status == 2 and command in ONE_BY_ONE:
        yield f"a damaged trial takes the others with it: {found.said[-500:]}"


def _difference(one: str, other: str) -> str:
    first = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return f"{one[max(0, first - 100) : first + 100]!r} for {other[max(0, first - 100) : first + 100]!r}"


def dealt(cases: Sequence[Case], each: int, draw: random.Random) -> Iterator[tuple[Case, str]]:
    """Each command on each file with `each` of its damages, other ones for every command; with 0 with all of them."""
    files: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        files.setdefault((case.root, case.file), []).append(case)
    for (root, _), own in files.items():
        shuffled = itertools.cycle(draw.sample(own, len(own)))
        for command in commands(root):
            yield from ((case, command) for case in (itertools.islice(shuffled, each) if each else own))


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
    parser.add_argument("--each", type=int, default=2, help="damages of each file for each command; 0 for all")
    parser.add_argument("--inside", type=int, default=20, help="damaged values a file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="a regular expression for commands with their cases")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        place = Workplace(Path(scratch))
        pairs = list(dealt(place.cases(options.inside, draw), options.each, draw))
        chosen = [(case, name) for case, name in pairs if re.search(options.only, f"{name} {case}")]
        began = time.monotonic()
        counts = fuzz(place, chosen, lambda text: print(text, flush=True))
        print(
            f"{date.today()}, {os.cpu_count()} cores: {len(chosen)} commands in {time.monotonic() - began:.0f} s, "
            f"{counts.pop('faults', 0)} faults"
        )
        print(*(f"  {name}: {n}" for name, n in sorted(counts.items())), sep="\n")
