"""What a command imports before its first training step, and in which order."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.places import ROOT
from support.train_command import environment

# Libraries that take 0.1 s or more, or that only figures, tables, downloads, other executors or compilers need.
SEARCH_ONLY = {"optuna", "sqlalchemy", "alembic"}
HEAVY = SEARCH_ONLY | {
    "mlflow", "pandas", "sklearn", "scipy", "matplotlib", "PIL", "torchvision", "jinja2", "ray", "submitit",
    "joblib", "loky", "sympy", "torch._dynamo", "torch._inductor",
}  # fmt: skip

# Runs train.py up to the first epoch, and prints the modules that are loaded there.
TO_THE_FIRST_STEP = """
import importlib.machinery, os, runpy, sys

class Watch:
    def find_spec(self, name, path, target=None):
        if name != "phalanx.training.loop":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        load = spec.loader.exec_module
        def exec_module(module):
            load(module)
            module.CohortLoop.epoch = stop
        spec.loader.exec_module = exec_module
        return spec

def stop(self, *_):
    print("LOADED", *sys.modules, flush=True)
    os._exit(0)

sys.meta_path.insert(0, Watch())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def loaded(*arguments: str, cwd: Path) -> set[str]:
    """The modules that a command has loaded when its first epoch begins."""
    done = subprocess.run(
        [sys.executable, "-c", TO_THE_FIRST_STEP, str(ROOT / "train.py"), *arguments, "tracking=none", "debug=limit"],
        cwd=cwd, capture_output=True, text=True, timeout=300, env=environment(),
    )  # fmt: skip
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("LOADED ")]
    assert len(lines) == 1, done.stdout + done.stderr
    assert "torch" in lines[0]
    return set(lines[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "needed"),
    [((), set()), (("-m", "seed=0,1"), set()), (("-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=2"), SEARCH_ONLY)],
    ids=["run", "grid", "search"],
)  # fmt: skip
def test_nothing_heavy_is_imported_before_the_first_step(arguments, needed, tmp_path):
    assert loaded(*arguments, cwd=tmp_path) & HEAVY == needed


# Runs train.py; each time that it starts a process that logs, it prints what is loaded, and the id of the process.
SPAWNING = """
import runpy, subprocess, sys
spawn = subprocess.Popen

class Popen(spawn):
    def __init__(self, command, *args, **keys):
        super().__init__(command, *args, **keys)
        if "phalanx.tracking.process" in command:
            print("SPAWNED", self.pid, *{"torch", "optuna"} & set(sys.modules), file=sys.stderr, flush=True)

subprocess.Popen = Popen
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def spawned(*arguments: str, cwd: Path, status: int) -> tuple[int, set[str]]:
    """Runs a command; returns the process that logged and which of torch and Optuna were loaded when it started."""
    done = subprocess.run(
        [sys.executable, "-c", SPAWNING, str(ROOT / "train.py"), *arguments, "debug=limit", "tracking.kind=mlflow"],
        cwd=cwd, capture_output=True, text=True, timeout=300, env=environment(),
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    lines = [line.split() for line in done.stderr.splitlines() if line.startswith("SPAWNED ")]
    assert len(lines) == 1, done.stderr
    return int(lines[0][1]), set(lines[0][2:])


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [(), ("-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=1")])
def test_the_process_that_logs_starts_before_torch_is_imported(arguments, tmp_path):
    """Both import for seconds, on a core each."""
    _, modules = spawned(*arguments, cwd=tmp_path, status=0)
    assert modules == set()


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("trainer.epochs=0",), ("-m", "trainer.epochs=0,-1")])
def test_a_refused_request_leaves_no_process(arguments, tmp_path):
    number, _ = spawned(*arguments, cwd=tmp_path, status=2)
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
    assert list(tmp_path.rglob("mlflow.db")) == []
