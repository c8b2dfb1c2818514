"""Fixtures that the tests of tracking share; they name this module in `pytest_plugins`."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from support.mlflow_servers import free_port
from support.tracking_records import without_variables


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A database with MLflow's tables, made once and by a process that has done nothing else: it takes seconds."""
    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    script = f"from mlflow import MlflowClient; MlflowClient('sqlite:///{file}').search_experiments()"
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    return file


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working folder, with no tracking variable set now and none left behind."""
    without_variables(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def store(folder, empty_store):
    """A working folder with MLflow's default store; its client."""
    from mlflow import MlflowClient

    shutil.copy(empty_store, folder / "mlflow.db")
    return MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")


@pytest.fixture
def closed_port():
    return free_port()
