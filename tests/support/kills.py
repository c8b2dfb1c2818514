"""Kills trainings, sweeps, resumes and deliveries at random moments, and lets the same command go on.

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
from pathlib import Path

from support.forked import server, start, train
from support.train_command import temporaries

NET = [
    "model.hidden=[33,17]", "model.dropout=0.1", "data.n_train=300", "trainer.batch_size=29", "trainer.epochs=12",
    "optimizer.lr=0.003", "schedule=cosine", "checkpoint.every_epochs=1", "tracking=none",
]  # fmt: skip
RUN = [*NET, "hydra.run.dir=run"]
GRID = ["-m", *NET, "seed=0,1,2", "tracking.keep=3", "hydra.sweep.dir=grid"]
TIMES = ("seconds", "train_seconds", "samples_per_second", "timing", "mlflow_run_id", "git")
KINDS = ("run", "resume", "grid", "sync")
DEADLINE_S = 300


class Reference:
    """A folder with a run and a grid that nobody killed, and an empty database for MLflow."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.seconds = folder, {}
        for kind, command in (("run", RUN), ("grid", GRID)):
            began = time.monotonic()
            train(*command, cwd=folder, check=0)
            self.seconds[kind] = time.monotonic() - began
        script = "from mlflow import MlflowClient; MlflowClient('sqlite:///mlflow.db').search_experiments()"
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, cwd=folder)
        shutil.copytree(folder / "grid", folder / "copy")
        began = time.monotonic()
        assert _run_to_its_end("sync", folder / "copy", folder) == 0
        self.seconds["sync"] = time.monotonic() - began
        self.seconds["resume"] = self.seconds["run"]


def kill_once(kind: str, reference: Reference, folder: Path, draw: random.Random) -> str:
    """Kills one process and goes on; returns `killed`, or `ended` if it had ended before. Fails if anything is lost."""
    if kind == "sync":
        shutil.copytree(reference.folder / "grid", folder / "grid")
        shutil.copy(reference.folder / "mlflow.db", folder)
    if kind == "resume":  # of a run that was killed before
        _killed("run", folder, draw.uniform(0.3, 0.9) * reference.seconds["run"])
    found = _killed(kind, folder, draw.uniform(0, 1) * reference.seconds[kind])
    check_whole(folder)
    if kind == "resume" and not (folder / "run" / "config.yaml").is_file():
        kind = "run"  # killed before there was anything to resume
    code = _run_to_its_end(kind, folder / "grid", folder)
    assert code == 0, f"status {code}: {(folder / 'out').read_text()}"
    check(kind, reference.folder, folder)
    return found


def check_whole(folder: Path) -> None:
    """Every file that has its name is whole."""
    for file in folder.rglob("*.json"):
        if not file.name.startswith("."):
            json.loads(file.read_text())
    for file in folder.rglob("metrics.csv"):
        assert all(None not in row.values() for row in csv.DictReader(file.open()))


def check(kind: str, reference: Path, folder: Path) -> None:
    """The files are those of the one that nobody killed, every run is in MLflow once, and nothing temporary stays."""
    assert temporaries(folder) == [], temporaries(folder)
    if kind in ("run", "resume"):
        same(folder / "run", reference / "run")
        return
    for number in "012":
        same(folder / "grid" / number, reference / "grid" / number)
    rows = list(csv.DictReader((folder / "grid" / "trials.csv").open()))
    ends = [(row["number"], row["status"]) for row in rows]
    assert ends == [(number, "completed") for number in "012"], ends
    if kind == "sync":
        delivered(folder)


def same(one: Path, other: Path) -> None:
    """Weights to the byte, curves and result to the last digit, but for times."""
    for name in ("model.safetensors", "metrics.csv", "result.json"):
        assert _content(one / name) == _content(other / name), one / name
    left = one / "checkpoint.safetensors"
    assert not left.exists(), left


def _content(file: Path) -> object:
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
    assert sorted(run.data.tags["phalanx.key"] for run in runs) == ["", "0", "1", "2"]
    assert {run.info.status for run in runs if run.data.tags["phalanx.key"]} == {"FINISHED"}
    for run in runs:
        if key := run.data.tags["phalanx.key"]:
            assert json.loads((folder / "grid" / key / "mlflow_run.json").read_text())["run_id"] == run.info.run_id


def _start(kind: str, grid: Path, folder: Path):
    if kind == "sync":
        child = server.Process(target=_sync, args=(str(grid), str(folder)))
        child.start()
        return child
    arguments = {"run": RUN, "resume": ["resume=run"], "grid": GRID}[kind]
    return start(*arguments, cwd=folder, out=folder / "out")


def _run_to_its_end(kind: str, grid: Path, folder: Path) -> int | None:
    child = _start(kind, grid, folder)
    child.join(DEADLINE_S)
    return child.exitcode


def _killed(kind: str, folder: Path, after_s: float) -> str:
    if kind == "resume" and not (folder / "run" / "config.yaml").is_file():
        kind = "run"
    child = _start(kind, folder / "grid", folder)
    child.join(after_s)
    if child.is_alive():
        os.kill(child.pid, signal.SIGKILL)
    child.join()
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
    args = parser.parse_args()
    draw, counts, lost = random.Random(args.seed), Counter(), []
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "reference").mkdir()
        reference = Reference(Path(scratch) / "reference")
        for turn in range(10 * args.kills):
            kind = KINDS[turn % len(KINDS)]
            folder = Path(scratch) / str(turn)
            folder.mkdir()
            try:
                counts[f"{kind} {kill_once(kind, reference, folder, draw)}"] += 1
                with contextlib.suppress(OSError):
                    shutil.rmtree(folder)
            except (AssertionError, ValueError, OSError) as error:
                lost.append(f"{kind}, turn {turn}: {error}")
                print(lost[-1], flush=True)
            if sum(n for name, n in counts.items() if name.endswith("killed")) + len(lost) >= args.kills:
                break
    n_killed = {kind: counts[f"{kind} killed"] for kind in KINDS}
    print(
        f"{time.monotonic() - began:.0f} s: {sum(n_killed.values()) + len(lost)} kills "
        f"({', '.join(f'{n} {kind}' for kind, n in n_killed.items())}), {sum(n_killed.values())} went on to the same "
        f"bits, without a temporary file left; lost: {len(lost)}"
    )
    sys.exit(bool(lost))


if __name__ == "__main__":
    main()
