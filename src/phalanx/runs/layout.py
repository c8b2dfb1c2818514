"""Every file that a run or a sweep leaves, named once, and written whole or not at all."""

from __future__ import annotations

import errno
import tempfile
from dataclasses import dataclass
from pathlib import Path

from phalanx.core.errors import RequestError, RunFolderError

FINAL = "final"


@dataclass(frozen=True)
class RunPaths:
    """The folder of one run. `root` is what Hydra calls the output directory."""

    root: Path

    @property
    def result(self) -> Path:
        return self.root / "result.json"

    @property
    def mlflow_run(self) -> Path:
        """The id of the run in MLflow, written once the run has been logged there."""
        return self.root / "mlflow_run.json"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.csv"

    @property
    def model(self) -> Path:
        return self.root / "model.safetensors"

    @property
    def seeds(self) -> Path:
        """The curves of every seed, where a trial was trained with several."""
        return self.root / "seeds.csv"

    @property
    def example(self) -> Path:
        """A few rows as the data source has them, for the registered model."""
        return self.root / "input_example.json"

    @property
    def attempt(self) -> Path:
        """Which attempt at a trial may write here."""
        return self.root / ".attempt.json"

    @property
    def lock(self) -> Path:
        """Held by the process that trains a single run."""
        return self.root / ".train.lock"

    @property
    def checkpoint(self) -> Path:
        """How far the training is, for a later process to go on from; gone when it has ended."""
        return self.root / "checkpoint.safetensors"

    @property
    def plots(self) -> Path:
        return self.root / "plots"

    @property
    def config(self) -> Path:
        return self.root / ".hydra" / "config.yaml"

    @property
    def config_resolved(self) -> Path:
        """The whole configuration with no interpolation left: what a stranger needs to repeat the run."""
        return self.root / "config.yaml"

    @property
    def overrides(self) -> Path:
        return self.root / ".hydra" / "overrides.yaml"

    @property
    def hydra(self) -> Path:
        return self.root / ".hydra" / "hydra.yaml"

    @property
    def log(self) -> Path:
        return self.root / "train.log"

    def check(self) -> RunPaths:
        """Itself, if this is the folder of a run that ended; else `RunFolderError` saying what is missing."""
        if not self.root.is_dir():
            raise RunFolderError(f"{self.root} is not a folder; give a run's folder such as outputs/runs/<time>-<id>")
        if not self.result.is_file():
            raise RunFolderError(
                f"{self.root} is not the folder of a finished run: it has no {self.result.name}; "
                "runs are listed by: ls outputs/runs outputs/sweeps/*"
            )
        return self


@dataclass(frozen=True)
class TrackedPaths:
    """The files of tracking in the folder of a run or a sweep."""

    root: Path

    @property
    def identity(self) -> Path:
        """The id by which the store knows this folder, wherever it is moved."""
        return self.root / ".mlflow.json"

    @property
    def lock(self) -> Path:
        """Held by the process that logs the folder."""
        return self.root / ".mlflow.lock"

    @property
    def diff(self) -> Path:
        """The changes that were not committed when the run or sweep began."""
        return self.root / "uncommitted.diff"


@dataclass(frozen=True)
class SweepPaths:
    """The folder of one sweep; trial number n has its run folder in `trial(n)`."""

    root: Path

    @property
    def manifest(self) -> Path:
        """What the jobs of a sweep have to know about it: its kind; and how it ended."""
        return self.root / "sweep.json"

    @property
    def trials(self) -> Path:
        return self.root / "trials.csv"

    @property
    def best_config(self) -> Path:
        return self.root / "best_config.yaml"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    @property
    def optimization_results(self) -> Path:
        return self.root / "optimization_results.yaml"

    @property
    def storage(self) -> Path:
        return self.root / "study.db"

    @property
    def final_table(self) -> Path:
        return self.root / "final.csv"

    @property
    def final_tests(self) -> Path:
        return self.root / "final.json"

    def trial(self, number: int) -> RunPaths:
        return RunPaths(self.root / str(number))

    def final(self, number: int) -> RunPaths:
        """Where the trial's point is trained once more, on fresh seeds."""
        return RunPaths(self.root / FINAL / str(number))


def make_folder(path: Path, key: str, name: str) -> None:
    """Makes the folder that `key` names. Raises `RequestError` if that, or writing into it, is impossible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise RequestError(
            f"{key} must be a folder that can be made and written to, got {str(path)!r} ({error.strerror}); try "
            f"{key}=outputs/{name}"
        ) from error


def sibling(path: Path, name: str) -> Path:
    """The folder of that name beside `path`; `name` itself where it is a path."""
    return path.with_name(name) if Path(name).name == name else Path(name)


def relative(path: Path) -> str:
    """The path as seen from the working folder, where it lies inside; with forward slashes."""
    path = path.absolute()
    return (path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path).as_posix()
