"""What the studies' `measure.py` share: running a study's own command, statistics, Markdown, figures.

A command runs in a process of its own that finds the libraries imported: their import takes longer than many a study.
Axes: E epochs.
"""

from __future__ import annotations

import csv
import math
import multiprocessing
import os
import runpy
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phalanx.analysis.statistics import summarise
from phalanx.analysis.student import Limits
from phalanx.core.reading import read_json
from phalanx.core.result import EpochMetrics
from phalanx.report.style import save_figure
from phalanx.runs.layout import RunPaths, SweepPaths
from phalanx.runs.metrics_csv import read_metrics

HERE = Path(__file__).resolve().parent
TRAIN = str(HERE.parent / "train.py")
STANDARD_ERRORS = 3.0  # by which a mean may differ from its reference

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(
    ["hydra.main", "phalanx.jobs.scheduler", "phalanx.analysis.final", "sklearn.datasets",
     "hydra_plugins.phalanx.sweeper", "hydra_plugins.phalanx._opening", "sqlalchemy.dialects.sqlite"]
)  # fmt: skip


def train_command(arguments: Sequence[str], folder: Path, variables: Mapping[str, str], said: Path) -> None:
    """`python train.py ARGUMENTS` in `folder`, its words in the file `said`; for a process of its own."""
    os.chdir(folder)
    os.environ.update(variables)
    for stream in (1, 2):
        os.dup2(os.open(said, os.O_CREAT | os.O_WRONLY | os.O_APPEND), stream)
    sys.argv = [TRAIN, *arguments]
    runpy.run_path(TRAIN, run_name="__main__")


@dataclass(frozen=True)
class Trial:
    """One trained trial: its row of `trials.csv`, and its folder."""

    row: Mapping[str, str]
    folder: Path

    def __getitem__(self, key: str) -> str:
        return self.row[key]

    def number(self, key: str) -> float:
        """A metric, NaN where the trial has none."""
        return float(self.row[key] or "nan")

    @property
    def curves(self) -> tuple[EpochMetrics, ...]:
        """A row an epoch."""
        return read_metrics(RunPaths(self.folder).metrics)


@dataclass(frozen=True)
class Agreement:
    """Our values beside a reference's, both one a seed. `tolerance` is an equality up to rounding or reading off."""

    what: str
    ours: Sequence[float]
    reference: Sequence[float]

    @property
    def standard_errors(self) -> float:
        """The difference of the means in standard errors, with the deviation pooled over both."""
        n, m = len(self.ours), len(self.reference)
        squares = sum((x - statistics.fmean(part)) ** 2 for part in (self.ours, self.reference) for x in part)
        error = math.sqrt(squares / (n + m - 2) * (1 / n + 1 / m))
        return abs(statistics.fmean(self.ours) - statistics.fmean(self.reference)) / error

    @property
    def holds(self) -> bool:
        return self.standard_errors <= STANDARD_ERRORS

    def line(self) -> list[str]:
        """Cells of `AGREEMENT`."""
        verdict = f"{self.standard_errors:.1f} standard errors: {'agrees' if self.holds else '**differs**'}"
        return [self.what, spread(self.reference), spread(self.ours), verdict]


AGREEMENT = ("", "reference", "here", "difference")


@dataclass(frozen=True)
class Finding:
    """What a study found: Markdown for its page, one line for the overview, and comparisons with references."""

    text: str
    answer: str
    agreements: Sequence[Agreement] = ()


@dataclass
class Lab:
    """Runs one study and keeps what it shows. `data_root` is where MNIST lies, `pages` has the studies' folders,
    `smaller` is put behind each command."""

    name: str
    data_root: Path
    scratch: Path
    pages: Path = HERE
    smaller: Sequence[str] = ()

    @property
    def folder(self) -> Path:
        return self.pages / self.name

    def sweep(self, *overrides: str) -> list[Trial]:
        """The trials of `python train.py -m experiment=<name> <overrides>`, untracked and without plots."""
        root = self._train("sweep", "-m", "tracking.keep=0", *overrides)
        with open(root / "trials.csv", newline="") as file:
            return [Trial(row, root / row["number"]) for row in csv.DictReader(file)]

    def search(self, *overrides: str) -> tuple[float, dict[int, float]]:
        """The learning rate that a search found, and the test accuracy of each fresh seed of its final."""
        root = self._train("sweep", "-m", "tracking.keep=0", *overrides)
        with open(root / "final.csv", newline="") as file:
            (best,) = csv.DictReader(file)
        seeds = read_json(SweepPaths(root).final(int(best["number"])).result)["repeats"]
        return float(best["optimizer.lr"]), {row["seed"]: row["metrics"]["test_accuracy"] for row in seeds}

    def run(self, *overrides: str) -> Path:
        """The folder of one run, `python train.py experiment=<name> <overrides>`."""
        return self._train("run", *overrides)

    def _train(self, kind: str, *arguments: str) -> Path:
        self.scratch.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir=self.scratch))
        said = folder.with_suffix(".txt")
        words = [f"experiment={self.name}", "tracking=none", *arguments, *self.smaller, f"hydra.{kind}.dir={folder}"]
        variables = {"PHALANX_DATA": str(self.data_root.resolve())}
        child = processes.Process(target=train_command, args=(words, self.scratch, variables, said))
        child.start()
        child.join()
        if child.exitcode:
            command = " ".join(["python train.py", *words])
            raise SystemExit(f"{command}\nended with status {child.exitcode}:\n{said.read_text()}")
        return folder

    def figure(self, figure: Any, name: str, alt: str) -> str:
        """Saves a figure beside the study's page; Markdown that shows it."""
        save_figure(figure, self.folder / f"{name}.png")
        return f"![{alt}]({name}.png)"

    def picture(self, path: Path, name: str, alt: str) -> str:
        """A copy of a run's own plot, in few colours, which a repository can hold."""
        from PIL import Image

        with Image.open(path) as image:
            image.convert("RGB").quantize(256).save(self.folder / f"{name}.png", optimize=True)
        return f"![{alt}]({name}.png)"


def by(trials: Sequence[Trial], *keys: str) -> dict[tuple[str, ...], list[Trial]]:
    """Trials grouped by what was asked of them, in order of first appearance."""
    groups: dict[tuple[str, ...], list[Trial]] = {}
    for trial in trials:
        groups.setdefault(tuple(trial[key] for key in keys), []).append(trial)
    return groups


def values(trials: Sequence[Trial], key: str) -> list[float]:
    return [trial.number(key) for trial in trials]


def spread(numbers: Sequence[float], places: int = 3) -> str:
    """`mean ± standard deviation (n)`."""
    if len(numbers) == 1:
        return f"{numbers[0]:.{places}f} (1)"
    return f"{statistics.fmean(numbers):.{places}f} ± {statistics.stdev(numbers):.{places}f} ({len(numbers)})"


ACCURACY: Limits = (0.0, 1.0)
DIFFERENCE: Limits = (-1.0, 1.0)  # of two accuracies


def interval(numbers: Sequence[float], places: int = 3, scale: float = 1.0, limits: Limits = ACCURACY) -> str:
    """`mean [low, high]`, the 95 % interval of the mean, cut at `limits`."""
    low, high = limits
    found = summarise([scale * number for number in numbers], limits=(scale * low, scale * high))
    return f"{found.mean:.{places}f} [{found.low:.{places}f}, {found.high:.{places}f}]"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def mean_curve(trials: Sequence[Trial], key: str) -> list[float]:
    """The mean over trials of one curve, by epoch (E)."""
    curves = [[getattr(row, key) for row in trial.curves] for trial in trials]
    return [statistics.fmean(epoch) for epoch in zip(*curves, strict=True)]


Measure = Callable[[Lab], Finding]
