"""A tracking store that is dead, silent, locked or wrong costs one warning and a few seconds, never a run."""

from __future__ import annotations

import http.server
import logging
import os
import shutil
import signal
import socket
import sqlite3
import threading
import time
from pathlib import Path
from typing import ClassVar

import pytest
from tracking_records import SECRET, fill, record, warnings_of

from phalanx import tracking
from phalanx.tracking import Tracker, TrackingSpec, guard, tracker

pytest_plugins = ("tracking_store",)


@pytest.fixture
def silent_server():
    """Accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def log_three_times(follow):
    """What a sweep of two trials calls; all ids and the seconds that it took."""
    started = time.monotonic()
    follow.prepare()
    parent = follow.start_sweep("s", {})
    ids = [parent, *(follow.log_run(record(parent=parent)) for _ in range(2))]
    follow.end_sweep(parent, "completed", {}, Path("sweep"))
    return ids, time.monotonic() - started


def test_dead_server_costs_one_warning_and_no_time(folder, closed_port, caplog):
    ids, seconds = log_three_times(tracker(TrackingSpec(uri=f"http://127.0.0.1:{closed_port}")))
    assert ids == [None] * 3
    assert seconds < 15
    (warning,) = warnings_of(caplog)
    assert f"no MLflow server answers at http://127.0.0.1:{closed_port}" in warning
    assert "refused" in warning
    assert "run folders" in warning
    assert "\n" not in warning


def test_silent_server_is_waited_for_once_and_briefly(folder, silent_server, caplog, monkeypatch):
    import mlflow  # noqa: F401  (its import is not what is measured)

    ids, seconds = log_three_times(tracker(TrackingSpec(uri=f"http://127.0.0.1:{silent_server}")))
    assert ids == [None] * 3
    assert seconds < guard.PROBE_S + 2
    (warning,) = warnings_of(caplog)
    assert "timed out" in warning


def test_dead_database_host_costs_one_warning_and_no_time(folder, closed_port, caplog):
    started = time.monotonic()
    follow = tracker(TrackingSpec(uri=f"postgresql://me:s3cret@127.0.0.1:{closed_port}/db"))
    assert follow.log_run(record()) is None
    assert follow.log_run(record()) is None
    assert time.monotonic() - started < 15
    (warning,) = warnings_of(caplog)
    assert f"no database answers at 127.0.0.1:{closed_port}" in warning


class _OnlyHealthy(http.server.BaseHTTPRequestHandler):
    """A server that says it is well and answers nothing else."""

    asked: ClassVar[list[str]] = []

    def do_GET(self):
        self.asked.append(self.path)
        if self.path != "/health":
            time.sleep(3)
            return
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"OK")

    do_POST = do_GET

    def log_message(self, *args):
        pass


def test_server_that_hangs_later_is_left_after_the_users_own_timeout(folder, caplog, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _OnlyHealthy)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        ids, seconds = log_three_times(tracker(TrackingSpec(uri=f"http://127.0.0.1:{server.server_port}")))
    finally:
        server.shutdown()
        server.server_close()
    assert ids == [None] * 3
    assert seconds < 3.5
    assert len(warnings_of(caplog)) == 1
    assert len(_OnlyHealthy.asked) == 2  # the probe and one request; no retries, and silence after the failure


def test_defaults_for_http_are_set_only_where_the_user_set_none(folder, closed_port, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "4")
    tracker(TrackingSpec(uri=f"http://127.0.0.1:{closed_port}")).prepare()
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "4"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "5"


def test_locked_database_is_left_behind_when_patience_ends(store, folder, caplog, monkeypatch):
    follow = tracker(TrackingSpec())
    follow.prepare()
    monkeypatch.setattr(tracking.store, "CALL_S", 0.5)
    other = sqlite3.connect(folder / "mlflow.db", isolation_level=None)
    other.execute("begin exclusive")
    started = time.monotonic()
    assert follow.log_run(record()) is None
    assert time.monotonic() - started < 3
    other.execute("rollback")
    other.close()
    (warning,) = warnings_of(caplog)
    assert "no answer within 0.5 seconds" in warning


def test_deleted_experiment_is_explained(store, caplog):
    store.delete_experiment(store.create_experiment("phalanx"))
    assert tracker(TrackingSpec()).log_run(record()) is None
    (warning,) = warnings_of(caplog)
    assert "'phalanx' was deleted" in warning
    assert "mlflow experiments restore --experiment-id 1" in warning
    assert "tracking.experiment=" in warning
    assert tracker(TrackingSpec(experiment="other")).log_run(record()) is not None


def test_store_of_another_version_is_explained(folder, empty_store, caplog, capfd):
    shutil.copy(empty_store, folder / "mlflow.db")
    with sqlite3.connect(folder / "mlflow.db") as database:
        database.execute("update alembic_version set version_num = '0123456789ab'")
    assert tracker(TrackingSpec()).log_run(record()) is None
    (warning,) = warnings_of(caplog)
    assert "mlflow db upgrade" in warning
    assert capfd.readouterr() == ("", "")


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
def test_wrong_uri_is_one_warning(folder, caplog, capfd, uri, said):
    (folder / "no_database.txt").write_text("this is not a database " * 100)
    follow = tracker(TrackingSpec(uri=uri))
    assert follow.log_run(record()) is None
    assert follow.log_run(record()) is None
    (warning,) = warnings_of(caplog)
    assert said in warning
    assert len(warning) < 400
    assert capfd.readouterr() == ("", "")


def test_failing_upload_ends_the_run(store, folder, caplog):
    (folder / "mlruns").write_text("a file where a folder should be")
    run_id = tracker(TrackingSpec()).log_run(record(folder=fill(folder / "run")))
    run = store.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["val_accuracy"] == 0.9
    assert len(warnings_of(caplog)) == 1


def test_base_tracker_and_mlflow_tracker_have_the_same_methods():
    methods = {name for name in vars(Tracker) if not name.startswith("_")}
    assert methods == {name for name in vars(tracking.MlflowTracker) if not name.startswith("_")}


def test_within_returns_raises_and_gives_up():
    assert guard.within(5, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        guard.within(5, lambda: 1 / 0)
    with pytest.raises(guard.Unusable, match=r"0\.05 seconds"):
        guard.within(0.05, lambda: time.sleep(1))


def test_ctrl_c_lets_the_call_finish():
    finished = []

    def call():
        time.sleep(0.4)
        finished.append(True)

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(KeyboardInterrupt):
            guard.within(5, call)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert finished == [True]


def test_only_the_trackers_own_threads_are_hushed(folder, capfd):
    import mlflow  # noqa: F401

    guard.hush()
    logger = logging.getLogger("mlflow.store.db.utils")
    logger.info("said by the user's thread")
    guard.within(5, lambda: logger.info("said by the tracker's thread"))
    guard.within(5, lambda: logger.error("an error that is said by the tracker's one warning"))
    guard.within(5, lambda: logging.getLogger("mlflow.other").error("an error in the tracker's thread"))
    said = capfd.readouterr().err
    assert "user's thread" in said
    assert "an error" in said
    assert "said by the tracker's" not in said
