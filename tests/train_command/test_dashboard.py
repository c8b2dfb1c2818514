"""The study of a search opens in Optuna's own dashboard, by the command that its report names."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import socket
import subprocess
import sys
import urllib.request

import pytest
from support.train_command import train_from_the_start
from support.waiting import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("optuna_dashboard") is None,
        reason="optuna-dashboard is not installed: pip install -e '.[dashboard]'",
    ),
]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_the_command_in_the_report_opens_the_study(tmp_path):
    search = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "hydra.sweeper.study_name=s", "trainer.epochs=1"]
    train_from_the_start("-m", "tracking=none", *search, cwd=tmp_path, check=0)
    page = (tmp_path / "outputs" / "sweeps" / "s" / "report.html").read_text()
    command = shlex.split(re.search(r"<code>(optuna-dashboard .*?)</code>", page)[1])
    assert command == ["optuna-dashboard", "sqlite:///outputs/sweeps/s/study.db"]
    port = free_port()
    main = [sys.executable, "-c", "from optuna_dashboard._cli import main; main()"]  # the script may not be on PATH
    with subprocess.Popen([*main, *command[1:], "--port", str(port)], cwd=tmp_path) as server:
        try:
            address = f"http://127.0.0.1:{port}"
            until(lambda: answers(address))
            summaries = fetched(f"{address}/api/studies")["study_summaries"]
            assert [one["study_name"] for one in summaries] == ["s"]
            study = fetched(f"{address}/api/studies/{summaries[0]['study_id']}")
            assert [trial["state"] for trial in study["trials"]] == ["Complete"] * 3
            assert all(trial["values"] and trial["params"] for trial in study["trials"])
        finally:
            server.terminate()


def fetched(address: str) -> dict:
    with urllib.request.urlopen(address, timeout=30) as answer:
        return json.loads(answer.read())


def answers(address: str) -> bool:
    try:
        return bool(fetched(f"{address}/api/studies"))
    except OSError:
        return False
