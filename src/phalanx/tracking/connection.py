"""Connecting to a tracking store: MLflow's defaults, whether a server answers, time limits, SQLite, error messages."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sqlite3
import ssl
import threading
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from functools import cache
from http.client import HTTPException
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from phalanx.core.advice import command
from phalanx.core.errors import PhalanxError
from phalanx.core.network import check_listening
from phalanx.core.redaction import redact
from phalanx.core.sqlite import fold_in, write_ahead
from phalanx.tracking.limits import cut
from phalanx.tracking.links import DEFAULT_STORE

T = TypeVar("T")

PROBE_S = 3.0  # how long a server or database host may take to answer the first question
TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"  # seconds; MLflow by itself waits for 120, up to eight times
DEFAULTS = {
    TIMEOUT: "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
GRACE_S = 2.0  # how long Ctrl-C waits for a call to finish
LONGEST = 300  # characters of other people's words in a message
MISREAD = "the tracking URI cannot be read; in a user name or password write @ as %40, / as %2F and : as %3A"
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


class Unusable(PhalanxError):
    """The tracking store cannot be used; the message says why, for the user to read."""


def import_mlflow() -> None:
    """Imports MLflow, which takes seconds, with time limits and silence where the user's environment sets none."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)  # before the import, at which MLflow decides about telemetry
    import mlflow  # noqa: F401


def import_store(uri: str | None) -> None:
    """Imports what MLflow needs for a database, which it would do at the first call of a client.

    Args:
        uri: Of the store; None for MLflow's default.
    """
    from mlflow import get_tracking_uri

    if (uri or get_tracking_uri()).partition(":")[0].partition("+")[0] not in ("sqlite", *PORTS):
        return
    with contextlib.suppress(ImportError):  # where MLflow keeps it elsewhere, the first call takes longer
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
        from sqlalchemy.orm import configure_mappers

        configure_mappers()


@contextlib.contextmanager
def default_store(uri: str) -> Iterator[None]:
    """Makes `uri` MLflow's default store for a while: a few calls of a client look there, not in the client's own."""
    import mlflow

    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # which also deletes the variable
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before


def cause(error: BaseException, uri: str) -> str:
    """Returns one line that says what went wrong, without the secrets of `uri`; other people's words are cut."""
    line = " ".join(str(error).split())
    if not isinstance(error, PhalanxError):
        line = _explained(error, line) or cut(redact(f"{type(error).__name__}: {line}", uri), LONGEST)
    return redact(line, uri).rstrip(".")


def _explained(error: BaseException, line: str) -> str:
    """What to do about an error of MLflow's that does not say it, or says it wrongly; empty for another one."""
    if type(error).__name__ == "UnsupportedModelRegistryStoreURIException":
        return "the tracking URI has an unknown scheme; known are sqlite:///file.db, http://, https://, postgresql://"
    code = getattr(error, "error_code", "")
    if code == "UNAUTHENTICATED" or "error code 401" in line:
        return (
            "the server wants to know who you are (401): set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
            "MLFLOW_TRACKING_TOKEN"
        )
    if code == "PERMISSION_DENIED" or "error code 403" in line:
        return (
            "the server does not allow this (403): ask for the permission EDIT on the experiment, or set other "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
    revision = re.search(r"found version (\w+), but expected", line)
    if revision and not _is_known(revision[1]):
        return "the database belongs to a newer MLflow than the one that is installed: pip install --upgrade mlflow"
    return ""


def _is_known(revision: str) -> bool:
    """Whether the MLflow that is installed has a migration of this name; True where it keeps them elsewhere."""
    import mlflow

    folder = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    return not folder.is_dir() or any(folder.glob(f"{revision}_*.py"))


def check_store(uri: str) -> None:
    """Raises `Unusable` for a store that MLflow refuses, or waits for in vain, with what to do about it."""
    scheme, file = urlsplit(uri).scheme.lower(), sqlite_file(uri)
    if file is not None and file.is_dir():
        raise Unusable(f"{file} is a folder and no database; name another file: tracking.uri=sqlite:///runs.db")
    if scheme in ("", "file") and os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() not in ("1", "true"):
        folder, store = unquote(urlsplit(uri).path), DEFAULT_STORE
        moved = command("mlflow", "migrate-filestore", "--source", folder, "--target", store)
        raise Unusable(
            f"{folder} is a store of files, which MLflow no longer writes; type tracking.uri={store}, and before, to "
            f"have its runs there too, `{moved}`"
        )


def within(seconds: float, call: Callable[[], T]) -> T:
    """Returns what `call` returns; raises what it raises, or `Unusable` if it takes longer; its thread goes on."""
    done: Future[T] = Future()

    def work() -> None:
        try:
            done.set_result(call())
        except BaseException as error:
            done.set_exception(error)

    try:
        threading.Thread(target=work, daemon=True).start()
        finished = wait([done], seconds).done
    except KeyboardInterrupt:
        wait([done], GRACE_S)
        raise
    if not finished:
        raise Unusable(f"no answer within {seconds:g} seconds")
    return done.result()


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keeps what MLflow prints, logs and warns off the terminal, for a command that uses nothing else."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def check_reachable(uri: str) -> None:
    """Raises `Unusable` if nothing answers at `uri` in time: the user's own limit for one request, or `PROBE_S`.

    Without this a dead host costs minutes: MLflow tries a database ten times, and the operating system waits long for
    an address that does not answer.
    """
    text = os.environ.get(TIMEOUT, "")
    seconds = PROBE_S if text in ("", DEFAULTS[TIMEOUT]) else float(text)
    scheme = uri.split(":", 1)[0].lower()
    kind = scheme.split("+")[0]
    if scheme in ("http", "https"):
        within(seconds + 1, lambda: _check_http(uri, seconds))
    elif kind in PORTS:
        from sqlalchemy.engine import make_url

        url = make_url(uri)
        if "@" in (url.host or ""):
            raise Unusable(MISREAD)
        if url.host:
            within(seconds + 1, lambda: _check_database(str(url.host), url.port or PORTS[kind], seconds))


def _check_http(uri: str, seconds: float) -> None:
    parts = urlsplit(uri)
    try:
        _ = parts.port
    except ValueError:
        raise Unusable(MISREAD) from None
    server = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    lenient = ssl.create_default_context()  # nothing secret is sent here; MLflow checks the server's certificate itself
    lenient.check_hostname, lenient.verify_mode = False, ssl.CERT_NONE
    try:
        urllib.request.urlopen(f"{server}{parts.path.rstrip('/')}/health", timeout=seconds, context=lenient).close()
    except urllib.error.HTTPError:
        pass  # an answer, whatever it says
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        if not isinstance(reason, ssl.SSLError):  # which is an answer too
            raise Unusable(f"no MLflow server answers at {server}: {reason}") from error


def _check_database(host: str, port: int, seconds: float) -> None:
    try:
        check_listening(host, port, seconds)
    except OSError as error:
        raise Unusable(f"no database answers at {host}:{port}: {error}") from error


def sqlite_file(uri: str) -> Path | None:
    """Returns the file of an SQLite URI; None for other stores and for a database in memory."""
    if not uri.startswith("sqlite"):
        return None
    from sqlalchemy.engine import make_url

    name = make_url(uri).database
    return Path(name).absolute() if name and name != ":memory:" else None


def one_at_a_time(uri: str, seconds: float) -> contextlib.AbstractContextManager[object]:
    """Lets one process at a time open an SQLite store, because MLflow fails where two create its tables at once.

    Raises `filelock.Timeout` after `seconds`. Other stores need no lock.
    """
    file = sqlite_file(uri)
    if file is None:
        return contextlib.nullcontext()
    from filelock import FileLock

    file.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(f"{file}.lock", timeout=seconds)


@cache
def write_sqlite_ahead() -> None:
    """Makes every SQLAlchemy engine of this process write SQLite files ahead from now on, by its documented hook.

    What a power cut takes is logged again by `phalanx sync`.
    """
    from sqlalchemy import Engine, event

    @event.listens_for(Engine, "connect")
    def settings(connection: object, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            with contextlib.suppress(sqlite3.DatabaseError):  # locked, or no database: MLflow says so in a moment
                write_ahead(connection, 0.0)


def fold_in_sqlite(uri: str) -> None:
    """Moves what an SQLite store has written ahead into its file; does nothing for other stores."""
    if (file := sqlite_file(uri)) is not None and file.is_file():
        fold_in(file)
