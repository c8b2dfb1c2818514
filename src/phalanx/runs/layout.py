"""The files that a run or a sweep leaves in its folder, each named once."""

from __future__ import annotations

import errno
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from phalanx.core.errors import RequestError, RunFolderError

FINAL = "final"  # the folder of a sweep's final
ENSEMBLE, REFIT = MADE = ("ensemble", "refit")  # models made of trials: their folders in a sweep, and keys
SPLIT = "split-"  # with the split's seed, the folder of a point of the final on one split


class _Folder(Protocol):
    @property
    def root(self) -> Path: ...


class _File:
    """A class attribute that is a path below `root` of the instance."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __get__(self, folder: _Folder, owner: type) -> Path:
        return folder.root / self.path


@dataclass(frozen=True)
class RunPaths:
    """The folder of one run. `root` is what Hydra calls the output directory."""

    root: Path

    result = _File("result.json")
    mlflow_run = _File("mlflow_run.json")  # the id of the run in MLflow, once it has been logged there
    metrics = _File("metrics.csv")
    model = _File("model.safetensors")
    seeds = _File("seeds.csv")  # the curves of every seed of a trial with several
    out_of_fold = _File("oof.csv")  # predictions of a fold's validation rows
    validation = _File("validation.safetensors")  # predictions of the validation rows, until the search's end
    ensemble = _File("ensemble.json")  # the members of an ensemble
    refit = _File("refit.json")  # what was trained again on training and validation rows
    example = _File("input_example.json")  # a few rows as the data source has them, for the registered model
    attempt = _File(".attempt.json")  # which attempt at a trial may write here
    lock = _File(".train.lock")  # held by the process that trains a single run, or leads a sweep alone
    checkpoint = _File("checkpoint.safetensors")  # the state of an unfinished training
    plots = _File("plots")
    config = _File(".hydra/config.yaml")
    config_resolved = _File("config.yaml")  # the whole configuration without interpolations
    overrides = _File(".hydra/overrides.yaml")
    hydra = _File(".hydra/hydra.yaml")
    log = _File("train.log")

    def check(self) -> RunPaths:
        """Returns itself. Raises `RunFolderError` if this is not the folder of a finished run."""
        if not self.root.is_dir():
            raise RunFolderError(f"{self.root} is not a folder; give a run's folder such as outputs/runs/<time>-<id>")
        if not self.result.is_file():
            if (nested := NestedPaths(self.root)).summary.is_file():
                raise RunFolderError(nested.no_run())
            raise RunFolderError(
                f"{self.root} is not the folder of a finished run: it has no {self.result.name}; "
                "runs are listed by: ls outputs/runs outputs/sweeps/*"
            )
        return self


@dataclass(frozen=True)
class TrackedPaths:
    """The files of tracking in the folder of a run or a sweep."""

    root: Path

    identity = _File(".mlflow.json")  # the name by which the store knows this folder, wherever it is moved
    lock = _File(".mlflow.lock")  # held by the process that logs the folder
    diff = _File("uncommitted.diff")  # the uncommitted changes when the run or sweep began


@dataclass(frozen=True)
class SweepPaths:
    """The folder of one sweep; trial number n has its run folder in `trial(n)`."""

    root: Path

    manifest = _File("sweep.json")  # what the jobs of a sweep need to know of it, and how it ended
    request = _File("multirun.yaml")  # the configuration of the sweep, with Hydra's part
    trials = _File("trials.csv")
    out_of_fold = _File("oof.csv")  # predictions of all folds
    validation = _File("validation.safetensors")  # predictions of the validation rows by the trials of a search
    out_of_fold_metrics = _File("oof_metrics.csv")
    best_config = _File("best_config.yaml")
    report = _File("report.html")
    optimization_results = _File("optimization_results.yaml")
    storage = _File("study.db")
    final_table = _File("final.csv")
    final_tests = _File("final.json")

    def trial(self, number: int) -> RunPaths:
        return RunPaths(self.root / str(number))

    def final(self, number: int) -> RunPaths:
        """The folder in which the trial's point is trained again on fresh seeds."""
        return RunPaths(self.root / FINAL / str(number))

    def final_split(self, number: int, split_seed: int) -> RunPaths:
        """The folder in which the point is trained on one of its fresh splits, where it has several."""
        return RunPaths(self.final(number).root / f"{SPLIT}{split_seed}")


@dataclass(frozen=True)
class NestedPaths:
    """The folder of a nested search, around the sweeps of its outer folds."""

    root: Path

    summary = _File("nested.json")  # how many outer folds there are, and what they say
    table = _File("nested.csv")
    report = _File("report.html")

    def outer(self, fold: int) -> SweepPaths:
        """The sweep of an outer fold."""
        return SweepPaths(self.root / f"{self.root.absolute().name}-outer-{fold}")

    def no_run(self) -> str:
        """What to say where a run is needed: which runs the folder holds, those that its outer folds tested."""
        tested = sorted(file.parent for file in self.root.glob(f"*-outer-*/{FINAL}/*/result.json"))
        said = f"{self.root} is the folder of a nested search, which holds a search for each outer fold"
        if not tested:
            return f"{said}; none of them has tested its choice yet"
        return f"{said}; give a run of one, such as its choice: {', '.join(map(str, tested[:3]))}"


_REPLACEABLE = "report.html"  # which any command may write again


def run_folder_of(path: Path) -> Path | None:
    """The folder of the run or the sweep that keeps results or its state in this file; None for any other file."""
    kinds = RunPaths, TrackedPaths, SweepPaths
    names = {file.path for kind in kinds for file in vars(kind).values() if isinstance(file, _File)} - {_REPLACEABLE}
    for folder in (path.parent, path.parent.parent):
        run, sweep = RunPaths(folder), SweepPaths(folder)
        is_one = run.result.is_file() or run.config.is_file() or sweep.manifest.is_file()
        if is_one and path.relative_to(folder).as_posix() in names:
            return folder
    return None


def make_folder(path: Path, key: str, name: str) -> None:
    """Makes a folder.

    Args:
        path: The folder.
        key: The config key that gave it.
        name: A folder below `outputs`, for the advice in the message.

    Raises:
        RequestError: The folder cannot be made or written to.
    """
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
    """The folder of that name beside `path`; `name` itself if it is a path."""
    return path.with_name(name) if Path(name).name == name else Path(name)


def relative(path: Path) -> str:
    """The path relative to the working folder if it lies inside, with forward slashes."""
    path = path.absolute()
    return (path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path).as_posix()
