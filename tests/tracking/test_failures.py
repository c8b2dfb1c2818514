"""A tracking store that is dead, silent, locked or wrong costs one warning and a few seconds, never a run."""

from __future__ import annotations

import http.server
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from typing import ClassVar

import pytest
from support.tracking_records import SECRET, by_key, count_runs, run_folder, sweep_folder, synced

from phalanx.tracking import TrackingSpec, connection
from phalanx.tracking.store import MlflowStore
from phalanx.tracking.sync import FolderSync

pytest_plugins = ("support.tracking_store",)


@pytest.fixture
def silent_server():
    """Accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def tried(root, **spec):
    """Delivers a folder to a store that fails: what was said of it, once."""
    said = []
    _, left = synced(run_folder(root), report=lambda *message: said.append(message), **spec)
    assert left == 1
    (why,) = [value for kind, value in said if kind == "down"]
    assert len(why) <= 600
    assert "\n" not in why
    return why


# That a store is not waited for is seen by who says so: these words are said by a look before MLflow's first call.


def test_dead_server_is_not_asked_by_mlflow(folder, closed_port):
    why = tried(folder / "run", uri=f"http://127.0.0.1:{closed_port}")
    assert f"no MLflow server answers at http://127.0.0.1:{closed_port}" in why
    assert "refused" in why


def test_silent_server_is_waited_for_once(folder, silent_server, monkeypatch):
    monkeypatch.setattr(connection, "PROBE_S", 0.2)
    port = silent_server.getsockname()[1]
    assert f"no MLflow server answers at http://127.0.0.1:{port}: timed out" in tried(
        folder / "run", uri=f"http://127.0.0.1:{port}"
    )
    silent_server.accept()[0].close()
    silent_server.setblocking(False)
    with pytest.raises(BlockingIOError):  # nobody has knocked again
        silent_server.accept()


def test_dead_database_host_is_not_asked_by_mlflow(folder, closed_port):
    why = tried(folder / "run", uri=f"postgresql://me:s3cret@127.0.0.1:{closed_port}/db")
    assert f"no database answers at 127.0.0.1:{closed_port}" in why


class _OnlyHealthy(http.server.BaseHTTPRequestHandler):
    """A server that says it is well and answers nothing else."""

    asked: ClassVar[list[str]] = []
    over = threading.Event()

    def do_GET(self):
        self.asked.append(self.path)
        if self.path != "/health":
            self.over.wait()
            return
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"OK")

    do_POST = do_GET

    def log_message(self, *args):
        pass


def test_server_that_hangs_later_is_left_after_the_users_own_timeout(folder, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr("phalanx.tracking.sync.PAUSES_S", (1000.0,))
    server, said = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _OnlyHealthy), []
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    spec = TrackingSpec(uri=f"http://127.0.0.1:{server.server_port}")
    sync = FolderSync(run_folder(folder / "run"), spec, report=lambda *message: said.append(message))
    try:
        assert [sync.update() for _ in range(5)] == [1] * 5
    finally:
        sync.close()
        _OnlyHealthy.over.set()
        server.shutdown()
        server.server_close()
    assert "ReadTimeoutError" in str(dict(said)["down"])
    assert len(_OnlyHealthy.asked) == 2  # the probe and one request; no retries, and a pause after the failure


def test_a_store_that_comes_back_gets_everything(store, folder, monkeypatch):
    uri = f"sqlite:///{folder}/away/mlflow.db"
    (folder / "away").write_text("a file where a folder should be")
    monkeypatch.setattr("phalanx.tracking.sync.PAUSES_S", (1000.0,))
    sync = FolderSync(sweep_folder(folder / "s"), TrackingSpec(uri=uri, register="none"))
    assert [sync.update() for _ in range(3)] == [3, 3, 3]
    (folder / "away").unlink()
    (folder / "away").mkdir()
    shutil.copy(folder / "mlflow.db", folder / "away" / "mlflow.db")
    assert sync.update() == 3  # it is not asked again at once
    monkeypatch.setattr("phalanx.tracking.sync.RECENT_S", 0.0)
    assert sync.finish("completed") == 0
    sync.close()
    assert count_runs(folder / "away" / "mlflow.db") == 4


def test_defaults_for_http_are_set_only_where_the_user_set_none(folder, closed_port, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "4")
    tried(folder / "run", uri=f"http://127.0.0.1:{closed_port}")
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "4"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "5"


def test_deleted_experiment_is_explained(store, folder):
    store.delete_experiment(store.create_experiment("phalanx"))
    why = tried(folder / "run")
    assert "'phalanx' was deleted" in why
    assert "mlflow experiments restore --experiment-id 1" in why
    assert "tracking.experiment=" in why
    assert synced(folder / "run", experiment="other")[1] == 0


@pytest.mark.parametrize(
    ("revision", "said"), [("451aebb31d03", "mlflow db upgrade"), ("0123456789ab", "pip install --upgrade mlflow")]
)
def test_store_of_an_older_or_newer_version_is_explained(folder, empty_store, revision, said):
    shutil.copy(empty_store, folder / "mlflow.db")
    with sqlite3.connect(folder / "mlflow.db") as database:
        database.execute("update alembic_version set version_num = ?", (revision,))
    assert said in tried(folder / "run")


def test_an_old_store_of_files_is_explained_with_what_to_type(folder):
    old = folder / "mlruns" / "0"
    old.mkdir(parents=True)
    about = "artifact_location: x\ncreation_time: 1\nexperiment_id: '0'\nlast_update_time: 1\nlifecycle_stage: active\n"
    (old / "meta.yaml").write_text(about + "name: Default\n")
    why = tried(folder / "run")
    assert "type tracking.uri=sqlite:///mlflow.db" in why
    assert f"`mlflow migrate-filestore --source {folder}/mlruns --target sqlite:///mlflow.db`" in why
    assert synced(folder / "run", uri="sqlite:///mlflow.db")[1] == 0


def test_a_folder_in_the_place_of_the_database_is_named_at_once(folder, monkeypatch):
    (folder / "mlflow.db").mkdir()
    monkeypatch.setattr(connection, "check_reachable", pytest.fail)  # MLflow itself would wait for 30 s
    assert "mlflow.db is a folder and no database" in tried(folder / "run", uri="sqlite:///mlflow.db")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"),
        (403, "permission EDIT"),
    ],
)
def test_a_server_that_refuses_is_explained(folder, status, said):
    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            text = b"no" if status == 401 else b'{"error_code": "PERMISSION_DENIED", "message": "Permission denied"}'
            self.send_response(200 if self.path == "/health" else status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_POST = do_GET

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        why = tried(folder / "run", uri=f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
    assert f"({status})" in why
    assert said in why


def test_the_variables_of_mlflow_name_the_experiment(store, folder, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "by name")
    assert synced(run_folder(folder / "a"))[0].place.experiment == "by name"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "1")  # the name counts, as for MLflow itself
    assert synced(run_folder(folder / "b"))[0].place.experiment == "by name"
    other = store.create_experiment("by id")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", other)
    assert synced(run_folder(folder / "c"))[0].place.experiment == "by id"
    assert synced(run_folder(folder / "d"), experiment="typed")[0].place.experiment == "typed"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "99")
    assert "MLFLOW_EXPERIMENT_ID=99 is no experiment of this store" in tried(folder / "e")


def test_a_project_that_was_moved_is_told_how_to_find_its_artifacts(folder, empty_store, monkeypatch):
    old, new = folder / "old place", folder / "new"
    old.mkdir()
    shutil.copy(empty_store, old / "mlflow.db")
    with monkeypatch.context() as patch:
        patch.chdir(old)
        synced(run_folder(old / "first"))
    assert (old / "mlruns" / "1").is_dir()
    shutil.move(old, new)
    monkeypatch.chdir(new)
    why = tried(new / "second")
    assert f"keeps its artifacts in {old}/mlruns/1, but they are in {new}/mlruns/1" in why
    assert not old.exists()
    command = why.split("`")[1]
    subprocess.run(command, shell=True, check=True)  # what it says to type
    assert synced(new / "second")[1] == 0
    assert len(list((new / "mlruns" / "1").iterdir())) == 2
    assert synced(run_folder(new / "third"), experiment="phalanx2")[1] == 0


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("gopher://host/x", "unknown scheme"),
        ("./mlruns", "mlflow migrate-filestore"),
        ("sqlite:///no_database.txt", "DatabaseError"),
        ("sqlite:///no_database.txt/mlflow.db", "no_database.txt"),
        (f"http://me:{SECRET}@127.0.0.1:9", "/ as %2F"),
        (f"postgresql://me:{SECRET}@127.0.0.1:9/db", "@ as %40"),
    ],
)
def test_wrong_uri_is_explained(folder, uri, said):
    (folder / "no_database.txt").write_text("this is not a database " * 100)
    assert said in tried(folder / "run", uri=uri)


def test_failing_upload_leaves_the_run_for_later(store, folder):
    (folder / "mlruns").write_text("a file where a folder should be")
    tried(folder / "run")
    (folder / "mlruns").unlink()
    assert synced(folder / "run")[1] == 0
    assert by_key(store)[""].info.status == "FINISHED"


def test_what_the_store_refuses_costs_that_run_alone(store, folder, monkeypatch):
    from mlflow.exceptions import MlflowException

    log = MlflowStore.log

    def refusing(self, record):
        if record.key == "1":
            raise MlflowException("this one not")
        return log(self, record)

    monkeypatch.setattr(MlflowStore, "log", refusing)
    said = []
    sync, left = synced(sweep_folder(folder / "s"), report=lambda *message: said.append(message))
    assert (sync.n_logged, left) == (2, 0)
    (warning,) = [value for kind, value in said if kind == "warning"]
    assert "trial 1 is not logged to MLflow" in warning
    assert "this one not" in warning


def test_within_returns_raises_and_gives_up():
    assert connection.within(5, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        connection.within(5, lambda: 1 / 0)
    over = threading.Event()
    with pytest.raises(connection.Unusable, match=r"0\.05 seconds"):
        connection.within(0.05, over.wait)
    over.set()


def test_ctrl_c_lets_the_call_finish():
    finished = []

    def call():
        signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)
        time.sleep(0.4)
        finished.append(True)

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            connection.within(5, call)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert finished == [True]
