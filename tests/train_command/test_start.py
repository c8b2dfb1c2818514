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


# Runs train.py; for each process of ours that it starts, it prints what that does, its id, and what is loaded by then. At
# the end it prints whether matplotlib was loaded.
SPAWNING = """
import atexit, runpy, subprocess, sys
spawn = subprocess.Popen

def say(*what):
    print(*what, file=sys.stderr, flush=True)

class Popen(spawn):
    def __init__(self, command, *args, **keys):
        super().__init__(command, *args, **keys)
        if (module := command[3] if command[1:3] == ["-P", "-m"] else "").startswith("phalanx."):
            say("SPAWNED", module, self.pid, *{"torch", "optuna"} & set(sys.modules))

subprocess.Popen = Popen
atexit.register(lambda: say("END", *{"matplotlib"} & set(sys.modules)))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
LOGS, DRAWS = "phalanx.tracking.process", "phalanx.report.drawing_process"


def spawned(*arguments: str, cwd: Path, status: int) -> dict[str, set[str]]:
    """Runs a command, and checks that its processes have ended. Returns which of torch and Optuna
    were loaded when each was started."""
    done = subprocess.run(
        [sys.executable, "-c", SPAWNING, str(ROOT / "train.py"), *arguments, "debug=limit", "tracking.kind=mlflow"],
        cwd=cwd, capture_output=True, text=True, timeout=300, env=environment(),
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    lines = [line.split() for line in done.stderr.splitlines() if line.startswith("SPAWNED ")]
    for line in lines:
        with pytest.raises(ProcessLookupError):
            os.kill(int(line[2]), 0)
    assert done.stderr.splitlines()[-1].split() == ["END"], "matplotlib was imported"
    return {line[1]: set(line[3:]) for line in lines}


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) == 1, reason="on one core nothing is drawn beside the training")
@pytest.mark.parametrize("arguments", [(), ("-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=1")])
def test_processes_that_log_and_draw_start_before_torch_is_imported(arguments, tmp_path):
    """All import for a second or more, on a core each, and the command itself need not import matplotlib."""
    assert spawned(*arguments, cwd=tmp_path, status=0) == {LOGS: set(), DRAWS: set()}
    assert len(list((tmp_path / "outputs").rglob("plots/*.png"))) == 5


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("trainer.epochs=0",), ("-m", "trainer.epochs=0,-1")])
def test_a_refused_request_leaves_no_process(arguments, tmp_path):
    assert LOGS in spawned(*arguments, cwd=tmp_path, status=2)
    assert list(tmp_path.rglob("mlflow.db")) == []
