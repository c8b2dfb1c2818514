"""`train.py` as a command, and what it leaves."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from support.places import ROOT

TRAIN = str(ROOT / "train.py")


QUICK = ["debug=limit"]


def environment(**extra):
    clean = {k: v for k, v in os.environ.items() if k not in ("HYDRA_FULL_ERROR", "MLFLOW_TRACKING_URI")}
    return {**clean, "OMP_NUM_THREADS": "1", "COLUMNS": "100", **extra}


def train_from_the_start(*args, cwd, check=None, **extra):
    """What a person starts, imports and all; `forked.train` gives the same in a fifth of the time."""
    done = subprocess.run(
        [sys.executable, TRAIN, *args], cwd=cwd, capture_output=True, text=True, timeout=300, env=environment(**extra)
    )
    if check is not None:
        assert done.returncode == check, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done


def only(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


def mlflow_run_id_of(folder: Path) -> str:
    return json.loads((folder / "mlflow_run.json").read_text())["run_id"]


def result_of(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


def temporaries(folder: Path) -> list[Path]:
    """Files that were being written."""
    return [path for path in folder.rglob(".*") if re.search(r"[.-][0-9a-f]{8}(\.\w+)?$", path.name)]
