"""Kills runs, sweeps, resumes and deliveries at random moments, and lets the same command go on.

`python -m support.kills` does so many times and says what came of it: `make kills`.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Protocol

import psutil
from support.forked import TRAIN, server, start, train
from support.train_command import environment, temporaries

from phalanx.runs.tensor_file import read_tensors

NET = [
    "model.hidden=[33,17]", "model.dropout=0.1", "data.n_train=300", "trainer.batch_size=29", "trainer.epochs=12",
    "optimizer.lr=0.003", "schedule=cosine", "checkpoint.every_epochs=1",
]  # fmt: skip
STORE = "sqlite:///mlflow.db"
TRIALS = ["-m", *NET, "seed=0,1,2", "tracking.keep=1", "hydra.sweep.dir=grid"]
GRID = [*TRIALS, "tracking=none"]
# Four points that are all evaluated, in whatever order, and a loss that is never equal, so that the final has the
# same two.
POINTS = {"optimizer.lr": ("0.002", "0.004"), "model.dropout": ("0.1", "0.2")}
COMMANDS = {
    "run": [*NET, "tracking=none", "hydra.run.dir=run"],
    "resume": ["resume=run"],
    "grid": GRID,
    "processes": [*GRID, "hydra.launcher.executor=processes", "hydra.launcher.workers=2"],
    "tracked": [*TRIALS, f"tracking.uri={STORE}"],
    "search": [
        "-m", *NET, *(f"{key}=choice({','.join(values)})" for key, values in POINTS.items()), "tracking=none",
        "tracking.keep=1", "objective=val_loss", "hydra/sweeper=optuna", "hydra/sweeper/sampler=grid",
        "hydra.sweeper.study_name=s", "hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=2", "hydra.sweeper.repeats=2",
        "hydra.sweeper.final={top: 2, seeds: 2}",
    ],
}  # fmt: skip
SEARCH = Path("outputs/sweeps/s")
CHEAP, DEAR = ("run", "resume", "grid", "sync"), ("search", "tracked", "processes")
KINDS = (*CHEAP, *DEAR)
TURNS = [kind for dear in DEAR for kind in (*CHEAP, dear)]  # cheap ones three times as often
TIMES = ("seconds", "train_seconds", "samples_per_second", "timing", "mlflow_run_id", "git", "overrides")
DEADLINE_S = 300


class Child(Protocol):
    """A process as `multiprocessing` has it."""

    pid: int | None
    exitcode: int | None

    def join(self, timeout: float | None = None) -> None: ...
    def is_alive(self) -> bool: ...


class Started:
    """`train.py` from its very start, for a launcher whose processes a fork would wait for."""

    def __init__(self, *arguments: str, folder: Path) -> None:
        with open(folder / "out", "ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, TRAIN, *arguments], cwd=folder, env=environment(), stdout=out, stderr=out
            )
        self.pid = self.process.pid

    def join(self, timeout: float | None = None) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout)

    def is_alive(self) -> bool:
        return self.process.poll() is None

    @property
    def exitcode(self) -> int | None:
        return self.process.poll()


class Reference:
    """A folder with a run, a grid and a search that nobody killed, and an empty database for MLflow."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds = {kind: self._timed(lambda kind=kind: train(*COMMANDS[kind], cwd=folder, check=0))
                        for kind in ("run", "grid", "search")}  # fmt: skip
        script = f"from mlflow import MlflowClient; MlflowClient({STORE!r}).search_experiments()"
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, cwd=folder)
        for kind in ("sync", "tracked", "processes"):
            apart = folder / kind
            apart.mkdir()
            self.prepare(kind, apart)
            self.seconds[kind] = self._timed(lambda kind=kind, apart=apart: run_to_its_end(kind, apart))
            check(kind, folder, apart)
        self.seconds["resume"] = self.seconds["run"]

    def prepare(self, kind: str, folder: Path) -> None:
        """What there is before the first command: for a delivery a grid that is not logged."""
        if kind in ("sync", "tracked"):
            shutil.copy(self.folder / "mlflow.db", folder)
        if kind == "sync":
            shutil.copytree(self.folder / "grid", folder / "grid")

    def learn(self, kind: str, found: str, share: float, seconds: float) -> None:
        """Corrects the time that a command takes, as other programs come and go, so that kills fall into all of it."""
        if found == "ended":
            self.seconds[kind] = seconds
        elif share > 0.8:
            self.seconds[kind] *= 1.3
        self.seconds["resume"] = self.seconds["run"]

    @staticmethod
    def _timed(call: Callable[[], object]) -> float:
        began = time.monotonic()
        call()
        return time.monotonic() - began


def kill_once(kind: str, reference: Reference, folder: Path, draw: random.Random) -> str:
    """Kills one process, every second time after an earlier kill, and goes on.

    Returns `killed`, or `ended` if the process had ended before. Fails if anything is lost.
    """
    reference.prepare(kind, folder)
    before, share = draw.uniform(0.3, 0.9), draw.uniform(0, 1)
    is_second = kind == "resume" or draw.random() < 0.5  # there has to be a run before it can be resumed
    if is_second:
        _killed("run" if kind == "resume" else kind, folder, before * reference.seconds[kind])
    if kind == "resume" and not (folder / "run" / "config.yaml").is_file():
        kind = "run"  # killed before there was anything to resume
    began = time.monotonic()
    found = _killed(kind, folder, share * reference.seconds[kind])
    if not is_second:
        reference.learn(kind, found, share, time.monotonic() - began)
    check_whole(folder)
    run_to_its_end(kind, folder)
    check(kind, reference.folder, folder)
    return found


def check_whole(folder: Path) -> None:
    """Every file that has its name is whole."""
    for file in folder.rglob("*"):
        if file.name.startswith("."):
            continue
        if file.suffix == ".json":
            json.loads(file.read_text())
        if file.suffix == ".safetensors":
            read_tensors(file)  # compares the check sum
        if file.name in ("metrics.csv", "seeds.csv", "trials.csv"):
            assert all(None not in row.values() for row in csv.DictReader(file.open())), file


def check(kind: str, reference: Path, folder: Path) -> None:
    """The files are those of the one that nobody killed, every run is in MLflow once, and nothing temporary stays."""
    assert temporaries(folder) == [], temporaries(folder)
    if kind in ("run", "resume"):
        same(folder / "run", reference / "run")
    elif kind == "search":
        same_search(folder / SEARCH, reference / SEARCH)
    else:
        same_trials(folder / "grid", reference / "grid")
    if kind in ("sync", "tracked"):
        delivered(folder)


def same_trials(grid: Path, reference: Path) -> None:
    """Each trial once, and as in the other grid."""
    for number in "012":
        same(grid / number, reference / number)
    assert _ends(grid) == [(number, "completed") for number in "012"], _ends(grid)


def _ends(sweep: Path) -> list[tuple[str, str]]:
    return [(row["number"], row["status"]) for row in csv.DictReader((sweep / "trials.csv").open())]


def same_search(sweep: Path, reference: Path) -> None:
    """Each point once, and as in the other search, under whatever number; so are the points of the final."""
    assert _ends(sweep) == [(number, "completed") for number in "0123"], _ends(sweep)
    numbers, others = _points(sweep), _points(reference)
    assert numbers.keys() == others.keys(), (numbers, others)
    for point, number in numbers.items():
        same(sweep / number, reference / others[point])
    best = {number for point, number in numbers.items() if (reference / "final" / others[point]).is_dir()}
    trained = {folder.name for folder in (sweep / "final").iterdir()}
    assert trained == best, f"the final has trials {sorted(trained)}, and the best are {sorted(best)}"
    for point, number in numbers.items():
        if number in best:
            one, other = sweep / "final" / number, reference / "final" / others[point]
            _equal(one / "result.json", other / "result.json")
            for split in sorted(other.glob("split-*")):
                same(one / split.name, split, weights=False)


def _points(sweep: Path) -> dict[tuple[str, ...], str]:
    """The number of each point."""
    rows = csv.DictReader((sweep / "trials.csv").open())
    return {tuple(row[key] for key in POINTS): row["number"] for row in rows}


def same(one: Path, other: Path, *, weights: bool = True) -> None:
    """Weights to the byte, curves and result to the last digit, but for times."""
    for name in ["metrics.csv", "result.json", *["model.safetensors"] * weights]:
        _equal(one / name, other / name)
    left = one / "checkpoint.safetensors"
    assert not left.exists(), left


def _equal(one: Path, other: Path) -> None:
    a, b = _content(one), _content(other)
    if isinstance(a, dict) and isinstance(b, dict):
        differing = {key: (a.get(key), b.get(key)) for key in a.keys() | b.keys() if a.get(key) != b.get(key)}
        assert not differing, f"{one} differs in {differing}"
    assert a == b, f"{one} differs"


def _content(file: Path) -> object:
    if not file.is_file():
        return None  # weights of the best trial alone are kept
    if file.suffix == ".csv":
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file.open())]
    if file.suffix == ".json":
        return {key: value for key, value in json.loads(file.read_text()).items() if key not in TIMES}
    return file.read_bytes()


def delivered(folder: Path) -> None:
    """Every run is in MLflow once, and its id is in its folder."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    number = client.get_experiment_by_name("phalanx").experiment_id
    runs = client.search_runs([number])
    keys = sorted(run.data.tags["phalanx.key"] for run in runs)
    assert keys == ["", "0", "1", "2"], f"MLflow has the runs {keys}"
    statuses = {run.data.tags["phalanx.key"]: run.info.status for run in runs}
    assert set(statuses.values()) == {"FINISHED"}, f"in MLflow {statuses}"
    for run in runs:
        if key := run.data.tags["phalanx.key"]:
            known = json.loads((folder / "grid" / key / "mlflow_run.json").read_text())["run_id"]
            assert known == run.info.run_id, f"trial {key} names {known}, and MLflow has {run.info.run_id}"
            epochs = [metric.step for metric in client.get_metric_history(run.info.run_id, "epoch/val_loss")]
            assert epochs == list(range(1, 13)), f"the curve of trial {key} in MLflow has the epochs {epochs}"


def _start(kind: str, folder: Path) -> Child:
    if kind == "run" and (folder / "run" / "result.json").is_file():
        kind = "resume"  # a run that has ended is not trained again; this draws the plots that it lacks
    if kind == "sync":
        child = server.Process(target=_sync, args=(str(folder / "grid"), str(folder)))
        child.start()
        return child
    if kind == "processes":
        return Started(*COMMANDS[kind], folder=folder)
    return start(*COMMANDS[kind], cwd=folder, out=folder / "out", draws_itself=False)


def run_to_its_end(kind: str, folder: Path) -> None:
    """Starts the command and waits for it. Fails unless it ends with 0."""
    child = _start(kind, folder)
    child.join(DEADLINE_S)
    said = (folder / "out").read_text() if (folder / "out").is_file() else ""
    if child.is_alive():
        os.kill(child.pid, signal.SIGKILL)
        raise AssertionError(f"no end after {DEADLINE_S} s: {said}")
    assert child.exitcode == 0, f"status {child.exitcode}: {said}"


def _killed(kind: str, folder: Path, after_s: float) -> str:
    child = _start(kind, folder)
    child.join(after_s)
    workers = []
    if child.is_alive():
        with contextlib.suppress(psutil.NoSuchProcess):
            workers = psutil.Process(child.pid).children(recursive=True)
        os.kill(child.pid, signal.SIGKILL)
    child.join()
    _, left = psutil.wait_procs(workers, timeout=60)
    assert not left, f"a minute after the kill there still is {left}"
    return "killed" if child.exitcode == -signal.SIGKILL else "ended"


def _sync(grid: str, folder: str) -> None:
    os.chdir(folder)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    stream = os.open("out", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    from phalanx.cli.main import main

    sys.exit(main(["sync", grid]))


def main() -> None:
    """Kills again and again, and says how often."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=KINDS, help="a single kind")
    parser.add_argument("--keep", type=Path, help="where folders stay in which something was lost")
    args = parser.parse_args()
    kinds = [args.only] if args.only else TURNS
    counts: Counter[str] = Counter()
    lost: list[str] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "reference").mkdir()
        reference = Reference(Path(scratch) / "reference")
        print({kind: round(seconds, 1) for kind, seconds in reference.seconds.items()}, flush=True)
        for turn in range(10 * args.kills):
            kind = kinds[turn % len(kinds)]
            folder = Path(scratch) / str(turn)
            folder.mkdir()
            try:
                # Of the turn alone, so that a turn can be repeated.
                counts[f"{kind} {kill_once(kind, reference, folder, random.Random(f'{args.seed} {turn}'))}"] += 1
            except (AssertionError, ValueError, OSError) as error:
                lost.append(f"{kind}, turn {turn}: {type(error).__name__}: {error}")
                print(lost[-1], flush=True)
                if args.keep:
                    shutil.copytree(folder, args.keep / str(turn), symlinks=True)
            shutil.rmtree(folder, ignore_errors=True)
            if turn % 10 == 9:
                print(f"turn {turn}: {dict(counts)}, lost: {len(lost)}", flush=True)
            if sum(n for name, n in counts.items() if name.endswith("killed")) + len(lost) >= args.kills:
                break
    n_killed = {kind: counts[f"{kind} killed"] for kind in KINDS}
    print(
        f"{date.today()}, {os.cpu_count()} cores, {time.monotonic() - began:.0f} s: "
        f"{sum(n_killed.values()) + len(lost)} kills ({', '.join(f'{n} {kind}' for kind, n in n_killed.items())}), "
        f"{sum(n_killed.values())} went on to the same bits, without a temporary file left; lost: {len(lost)}"
    )
    sys.exit(bool(lost))


if __name__ == "__main__":
    main()
