"""How long a tracking store may take, and how little it may say: plain functions."""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
import threading
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from http.client import HTTPException
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from phalanx.core.network import check_listening

T = TypeVar("T")

PROBE_S = 3.0  # how long a silent server or database host is waited for before the first call
TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"  # seconds; MLflow by itself waits for 120, up to eight times
DEFAULTS = {
    TIMEOUT: "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
GRACE_S = 2.0  # how long Ctrl-C waits for a call to finish, so that no run is left open
MISREAD = "the tracking URI cannot be read; in a user name or password write @ as %40, / as %2F and : as %3A"
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


class Unusable(Exception):
    """The tracking store cannot be used; the message says why in plain words."""


def deleted(experiment: str, number: str) -> str:
    """What to do about an experiment that was deleted."""
    return (
        f"the experiment {experiment!r} was deleted; bring it back with `mlflow experiments restore --experiment-id "
        f"{number}`, or name another one: tracking.experiment=another_name"
    )


def set_defaults() -> None:
    """Makes MLflow brief and quiet through its own variables, where the user has not set them. Call it before MLflow
    is imported, which is when it decides about telemetry."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


def load() -> None:
    """Imports MLflow, which takes seconds."""
    set_defaults()
    import mlflow  # noqa: F401


def users_timeout() -> float | None:
    """Seconds that the user is ready to wait for one answer; None if that was left to us."""
    text = os.environ.get(TIMEOUT) or DEFAULTS[TIMEOUT]
    return None if text == DEFAULTS[TIMEOUT] else float(text)


def within(seconds: float, call: Callable[[], T]) -> T:
    """What `call` returns or raises; `Unusable` if it takes longer, and then it is left behind in its thread."""
    done: Future[T] = Future()

    def work() -> None:
        try:
            done.set_result(call())
        except BaseException as error:
            done.set_exception(error)

    thread = threading.Thread(target=work, daemon=True)
    try:
        thread.start()
        finished = wait([done], seconds).done
    except KeyboardInterrupt:
        wait([done], GRACE_S)
        raise
    if not finished:
        raise Unusable(f"no answer within {seconds:g} seconds")
    return done.result()


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Nothing that MLflow says reaches the terminal: for a command whose process is all ours."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def refuse_dead(uri: str, seconds: float) -> None:
    """Raises `Unusable` if nothing answers at `uri` within about `seconds`. Without this a dead host costs minutes:
    MLflow tries a database ten times, and the operating system waits long for a silent address."""
    scheme = uri.split(":", 1)[0].lower()
    kind = scheme.split("+")[0]
    if scheme in ("http", "https"):
        within(seconds + 1, lambda: _ask_http(uri, seconds))
    elif kind in PORTS:
        from sqlalchemy.engine import make_url

        url = make_url(uri)
        if "@" in (url.host or ""):
            raise Unusable(MISREAD)
        if url.host:
            within(seconds + 1, lambda: _check_database(str(url.host), url.port or PORTS[kind], seconds))


def _ask_http(uri: str, seconds: float) -> None:
    parts = urlsplit(uri)
    try:
        _ = parts.port
    except ValueError:
        raise Unusable(MISREAD) from None
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    lenient = ssl.create_default_context()  # no credentials are sent; whether to trust the server is MLflow's part
    lenient.check_hostname, lenient.verify_mode = False, ssl.CERT_NONE
    try:
        urllib.request.urlopen(f"{place}{parts.path.rstrip('/')}/health", timeout=seconds, context=lenient).close()
    except urllib.error.HTTPError:
        pass  # an answer, whatever it says
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLError):
            return  # someone is there; MLflow knows the certificates
        raise Unusable(f"no MLflow server answers at {place}: {reason}") from error


def _check_database(host: str, port: int, seconds: float) -> None:
    try:
        check_listening(host, port, seconds)
    except OSError as error:
        raise Unusable(f"no database answers at {host}:{port}: {error}") from error


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite URI; None for other stores and for a database in memory."""
    if not uri.startswith("sqlite"):
        return None
    from sqlalchemy.engine import make_url

    name = make_url(uri).database
    return Path(name).absolute() if name and name != ":memory:" else None


def one_at_a_time(uri: str, seconds: float) -> contextlib.AbstractContextManager[object]:
    """Lets one process at a time open an SQLite store: MLflow's creation of the tables breaks when two do it at
    once. Raises `filelock.Timeout` after `seconds`. Other stores need no lock."""
    file = sqlite_file(uri)
    if file is None:
        return contextlib.nullcontext()
    from filelock import FileLock

    file.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(f"{file}.lock", timeout=seconds)
