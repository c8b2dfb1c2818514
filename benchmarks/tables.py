"""Large tables: what reading them costs beside pandas, which is told that all cells are text and converts them.

    python benchmarks/tables.py [--rounds 3] [--against CHECKOUT]

Each figure is CPU time in a process of its own, in turn, so that other work on the machine changes little. "pandas" is
`read_csv(dtype=str, keep_default_na=False)` and `to_numeric` of each column; "read" decides what is missing and which
kind each column has, and makes its values; "load" also splits, encodes and computes the digest of the rows. With
`--against` another checkout of the project reads and loads the same files.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
WAYS = ("pandas", "read", "load")
_ONE = """
import sys, time
way, path, target = sys.argv[1:]
import pandas as pd
from phalanx import DATASETS, load_dataset
import phalanx.data.csv_table
from pandas import read_csv
try:
    import pyarrow.csv
except ImportError:
    pass
spec = DATASETS["csv"](path=path, target=target)
start = time.process_time()
if way == "pandas":
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    for name in frame:
        pd.to_numeric(frame[name], errors="coerce")
else:
    spec.read() if way == "read" else load_dataset(spec)
print(time.process_time() - start)
"""


def write_tables(folder: Path) -> dict[str, tuple[Path, str]]:
    """Made-up tables by name, each with the name of its target."""
    draw, n = np.random.default_rng(0), 200_000
    columns = {f"x{i}": np.round(draw.normal(size=n), 4) for i in range(14)}
    columns |= {f"k{i}": draw.integers(0, 1000, n) for i in range(3)}
    columns |= {f"t{i}": draw.choice(["red", "green", "blue", "dark red"], n) for i in range(2)}
    long = pd.DataFrame({**columns, "y": draw.choice(["a", "b", "c"], n)})
    pixels = draw.integers(0, 256, (10_000, 784)) * (draw.random((10_000, 784)) < 0.2)
    wide = pd.DataFrame(pixels, columns=[f"pixel{i}" for i in range(784)])
    wide.insert(0, "label", draw.integers(0, 10, len(wide)))
    quoted = long.assign(t0=long["t0"].replace("green", 'the "green" one'))
    tables = {"200,000 x 20": (long, "y"), "10,000 x 785": (wide, "label"), '200,000 x 20 with ""': (quoted, "y")}
    for place, (frame, _) in enumerate(tables.values()):
        frame.to_csv(folder / f"{place}.csv", index=False)
    return {name: (folder / f"{place}.csv", target) for place, (name, (_, target)) in enumerate(tables.items())}


def seconds(way: str, path: Path, target: str, checkout: Path) -> float:
    """CPU seconds of one way in a new process."""
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _ONE, way, str(path), target],
        env=environment, cwd=path.parent, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", type=Path, metavar="CHECKOUT")
    arguments = parser.parse_args()
    ways = [(way, ROOT) for way in WAYS]
    if arguments.against:
        ways += [("read", arguments.against.resolve()), ("load", arguments.against.resolve())]
    titles = [*WAYS, *(("read before", "load before") if arguments.against else ())]
    print("| table | " + " | ".join(f"{title}, s" for title in titles) + " | read / pandas |")
    print("| --- " * (len(titles) + 2) + "|")
    with tempfile.TemporaryDirectory() as folder:
        for name, (path, target) in write_tables(Path(folder)).items():
            found: list[list[float]] = [[] for _ in ways]
            for _ in range(arguments.rounds):
                for place, (way, checkout) in enumerate(ways):
                    found[place].append(seconds(way, path, target, checkout))
            cells = [f"{statistics.median(times):.2f} ({min(times):.2f}-{max(times):.2f})" for times in found]
            ratio = statistics.median(read / plain for plain, read in zip(found[0], found[1], strict=True))
            print(f"| {name} | {' | '.join(cells)} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
