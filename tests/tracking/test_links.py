"""Where a run is in MLflow, in words, in commands that can be typed, and as an address; a browser opens it in
test_mlflow_ui.py."""

from __future__ import annotations

import json
import os
import shlex
import subprocess

import pytest
from support.tracking_records import SECRET, sweep_folder, without_variables

from phalanx.core.errors import UnreadableFile
from phalanx.report.build import add_place
from phalanx.report.pages.tracked import MARK, with_place
from phalanx.runs.layout import SweepPaths
from phalanx.tracking.links import Place, read_place, run_path, shown_store, sweep_path

IDENTITY = "6b89ac7a51f24bfabc351b9cf786398b"


def place(store="sqlite:///mlflow.db", **more):
    return Place(**{"store": store, "experiment": "phalanx", "run": "first", "path": sweep_path("7", IDENTITY), **more})


def test_the_page_of_a_sweep_has_its_trials_and_is_beyond_the_one_for_traces():
    assert sweep_path("7", IDENTITY) == (
        "#/experiments/7/runs?workflowType=machine_learning&searchFilter="
        f"tags.%60phalanx.id%60%20%3D%20%27{IDENTITY}%27"
    )
    assert run_path("7", "abc") == "#/experiments/7/runs/abc?workflowType=machine_learning"


FAKE = """#!/bin/sh
printf '%s\\0' "$MLFLOW_TRACKING_URI" "$@"
"""


@pytest.mark.parametrize("variable", [None, "sqlite:///mine.db"])
@pytest.mark.parametrize(
    "store", ["sqlite:///mlflow.db", "sqlite:///mine.db", "sqlite:////data/my $HOME/run's.db", "http://host:5000"]
)
def test_the_command_that_serves_a_model_finds_it_in_its_store(store, variable, tmp_path, monkeypatch):
    """A shell passes it to a program called mlflow, which prints what MLflow would get."""
    (tmp_path / "mlflow").write_text(FAKE)
    (tmp_path / "mlflow").chmod(0o755)
    without_variables(monkeypatch)
    if variable:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", variable)
    model = "models:/my `touch x` $1 it's-größe/1"
    line = place(store).serving(model)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["bash", "-c", line], env={**os.environ, "PATH": path}, cwd=tmp_path, capture_output=True)
    told, *arguments = done.stdout.decode().split("\0")[:-1]
    assert (told or "sqlite:///mlflow.db") == store
    assert arguments == ["models", "serve", "-m", model, "--env-manager", "local"]
    assert line.startswith("mlflow ") is (store == (variable or "sqlite:///mlflow.db"))
    assert [file.name for file in tmp_path.iterdir()] == ["mlflow"]


def test_a_file_is_shown_by_a_command_and_a_server_by_its_address():
    file, server = place("sqlite:////data/my runs.db"), place("http://host:5000/")
    assert shlex.split(file.command) == ["mlflow", "ui", "--backend-store-uri", "sqlite:////data/my runs.db"]
    assert file.lines[0] == "mlflow: sqlite:////data/my runs.db, experiment phalanx, run first"
    assert file.lines[2] == f"  then open http://127.0.0.1:5000/{file.path}"
    assert (server.command, server.lines[1:]) == ("", [f"  http://host:5000/{server.path}"])


def test_no_password_is_shown_and_files_of_the_working_folder_have_short_names(folder):
    secret = shown_store(f"postgresql://me:{SECRET}@host/db")
    assert secret == "postgresql://***@host/db"
    assert place(secret).command == "MLFLOW_BACKEND_STORE_URI='postgresql://***@host/db' mlflow ui"
    assert shown_store(f"sqlite:///{folder}/a/mlflow.db") == "sqlite:///a/mlflow.db"
    assert shown_store("sqlite:////elsewhere/mlflow.db") == "sqlite:////elsewhere/mlflow.db"


def test_the_place_is_read_from_a_folder_and_nothing_else_is(tmp_path):
    file = tmp_path / ".mlflow.json"
    assert read_place(tmp_path) is None
    for content in (
        {"id": IDENTITY},
        {"place": "x"},
        {"place": {"store": "x"}},
        {"place": {**vars(place()), "run": 1}},
        [],
    ):
        file.write_text(json.dumps(content))
        assert read_place(tmp_path) is None
    file.write_text(json.dumps({"id": IDENTITY, "place": vars(place())}))
    assert read_place(tmp_path) == place()
    file.write_text("{")
    with pytest.raises(UnreadableFile):
        read_place(tmp_path)


def test_a_report_says_it_once_and_escapes_it(tmp_path):
    paths = SweepPaths(sweep_folder(tmp_path / "s", 1))
    paths.report.write_text(f"<h1>s</h1>{MARK}<p>end</p>")
    odd = place(run="<b>&", store="javascript:alert(1)")
    add_place(paths, odd)
    add_place(paths, odd)
    text = paths.report.read_text()
    assert text.count("MLflow:") == 1
    assert f'<a href="http://127.0.0.1:5000/{odd.path.replace("&", "&amp;")}">&lt;b&gt;&amp;</a>' in text
    assert "<code>mlflow ui --backend-store-uri" in text
    assert with_place(f"{MARK}", None) == MARK
    paths.report.unlink()
    add_place(paths, odd)
    assert not paths.report.exists()


pytest_plugins = ("support.tracking_store",)
