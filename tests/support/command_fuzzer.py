"""Starts `train.py` with command lines drawn from a grammar of valid and broken pieces, and judges what each does.

`python -m support.command_fuzzer` draws 2,000 of them and says what came of them: `make fuzz`.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shlex
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from support.command_grammar import Command, command
from support.command_records import disagreements
from support.forked import start

LIMIT_S = 240
EMPTY = re.compile(r"the run diverged|no trial of .* was trained")  # what may end any request with status 1
FAILED = re.compile(
    rf"{EMPTY.pattern}|came to a value|of \d+ finished trials failed|trial \d+ failed"
)  # and a right one
TRACEBACK = re.compile(r"Traceback \(most recent|^\w+(\.\w+)*(Error|Exception): ", re.MULTILINE)
PLACED = ("rows.csv",)  # files that are there before


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    status: int | None  # None: it did not end
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err


def run(arguments: Sequence[str], cwd: Path) -> Outcome:
    """Runs `train.py` to its end or to the time limit."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        child = start(*arguments, cwd=cwd, out=out, err=err)
        child.join(LIMIT_S)
        status = child.exitcode
        if status is None:
            child.kill()
            child.join()
        texts = [file.read_text(errors="replace") if file.exists() else "" for file in (out, err)]
        return Outcome(status, *texts)


def faults(command: Command, found: Outcome, cwd: Path) -> Iterator[str]:
    """What a command did wrong."""
    end = found.said[-800:]
    if found.status is None:
        yield f"no end after {LIMIT_S} s: {end}"
        return
    if found.status not in (0, 1, 2):
        yield f"status {found.status}: {end}"
    if TRACEBACK.search(found.err):
        yield f"a traceback: {found.err[-1500:]}"
    if found.status == 1 and not (EMPTY if command.is_broken else FAILED).search(found.said):
        yield f"status 1 for a wrong request: {end}"
    if found.status == 2:
        left = sorted(file.relative_to(cwd).as_posix() for file in cwd.rglob("*"))
        if left := [name for name in left if name not in PLACED]:
            yield f"status 2 left {len(left)} files behind, such as {left[-1]}: {end}"
        if not found.err.strip():
            yield "status 2 without a message"
    if found.status == 0:
        yield from disagreements(cwd)


def fuzz(n: int, draw: random.Random, show: Callable[[str], object]) -> Counter[str]:
    """Runs `n` commands, each in a folder of its own; shows each fault, and how far it is.

    Args:
        n: How many.
        draw: Draws them.
        show: Takes lines of text.

    Returns:
        The number of commands by kind and status, and of `faults`.
    """
    counts: Counter[str] = Counter()
    for place in range(n):
        if place and place % 50 == 0:
            show(f"{place} commands, {counts['faults']} faults so far")
        chosen = command(draw)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            found = run(chosen.arguments, Path(folder))
            counts[f"{chosen.kind} {'broken' if chosen.is_broken else 'valid'}: status {found.status}"] += 1
            for fault in faults(chosen, found, Path(folder)):
                counts["faults"] += 1
                show(f"{place}: {shlex.join(chosen.arguments)}\n    {fault}".encode(errors="backslashreplace").decode())
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=2000, help="commands")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    began = time.monotonic()
    counts = fuzz(options.n, random.Random(options.seed), lambda text: print(text, flush=True))
    print(f"{options.n} commands in {time.monotonic() - began:.0f} s, {counts.pop('faults', 0)} faults")
    print(*(f"  {name}: {n}" for name, n in sorted(counts.items())), sep="\n")
