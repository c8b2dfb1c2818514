"""Where a study is kept: opens the storage that a URL names, and waits out lost connections.

SQLAlchemy is imported when a database is first needed: a study in memory does without.
"""

from __future__ import annotations

import json
import logging
import os
import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from phalanx.core.errors import Fault, RequestError, StorageLost
from phalanx.core.redaction import redact, shown
from phalanx.core.sqlite import write_ahead

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

log = logging.getLogger(__name__)
T = TypeVar("T")

KEY = "hydra.sweeper.storage"
EXAMPLES = "sqlite:///study.db, postgresql://user:password@host/database, journal:///absolute/path/study.log"
BUSY_S = 60.0  # how long a connection waits for an SQLite file that another process writes to
CONNECT_S = 10  # how long a PostgreSQL host may take to answer; its client would wait for minutes
CREATIONS = 20  # tries to create the tables, while other processes create them too
PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)  # between the tries of `with_retries`
PACKAGES = {"psycopg": "'psycopg[binary]'", "psycopg2": "psycopg2-binary", "mysqldb": "mysqlclient"}  # by driver


def open_storage(url: str | None) -> optuna.storages.BaseStorage:
    """The storage at `url`, created if it does not exist; None keeps it in memory.

    Takes database URLs as SQLAlchemy reads them, and `journal:///absolute/path/study.log` for one file that grows.
    Raises `RequestError` for a URL that cannot be read and for a storage that cannot be reached or opened.
    """
    if url is None:
        return optuna.storages.InMemoryStorage()
    return _open_journal(url) if is_journal(url) else _open_database(url)


def with_retries(call: Callable[..., T], *args: Any) -> T:
    """What `call(*args)` returns; it is tried again for about 30 s while the connection to the database is lost.

    The call may have done its work before the connection broke, so it has to be one that can be repeated. Raises
    `StorageLost` when patience ends.
    """
    for pause in (*PAUSES_S, None):
        try:
            return call(*args)
        except Exception as error:
            if not lost(error):
                raise
            why = f"the study's storage does not answer: {reason(error)}"
            if pause is None:
                raise StorageLost(f"{why}; everything finished is kept, the same command goes on with it") from error
            log.warning("%s; next try in %g s", why, pause)
        time.sleep(pause)
    raise AssertionError("unreachable")


def lost(error: Exception) -> bool:
    """Whether the error says that the database did not answer, so that the same call may go well later."""
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

    cause = error.__cause__ if isinstance(error, (StorageInternalError, RequestError)) else error
    if isinstance(cause, DBAPIError):
        return cause.connection_invalidated or isinstance(cause, (InterfaceError, OperationalError))
    return isinstance(error, StorageInternalError)


def in_memory(url: str | None) -> bool:
    """Whether nothing outside this process sees the storage."""
    return url is None or (not is_journal(url) and _is_memory(_parsed(url)))


def is_journal(url: str) -> bool:
    """Whether `url` names a journal file."""
    return url.startswith("journal:")


def journal_path(url: str) -> Path:
    """The file of a `journal:` URL. Raises `RequestError` for a relative path."""
    path = Path(unquote(url.removeprefix("journal:").removeprefix("//")))
    if not path.is_absolute():
        raise RequestError(
            f"{KEY} must name a journal by its absolute path, got {shown(url)!r}: a relative one is another file for "
            f"a driver that starts in another folder; try {KEY}=journal://{path.absolute()}"
        )
    return path


def missing_file(url: str) -> Path | None:
    """The file that an SQLite or journal URL names, if it is not there: opening it would create it."""
    if is_journal(url):
        file = journal_path(url)
    else:
        parsed = _parsed(url)
        if parsed.get_backend_name() != "sqlite" or _is_memory(parsed) or "uri" in parsed.query:
            return None
        file = Path(str(parsed.database))
    return None if file.exists() else file


def engine_for(url: str) -> Engine:
    """An engine for a database URL with the settings of `open_storage`, not connected yet. Raises `RequestError`."""
    from sqlalchemy import create_engine

    parsed = _parsed(url)
    try:
        return create_engine(parsed, **_settings(parsed))
    except ImportError as error:
        driver = parsed.get_driver_name()
        package = PACKAGES.get(driver, driver)
        raise _refused(url, f"the driver {driver} is not installed; type: pip install {package}") from error


class _Connection(sqlite3.Connection):
    """An SQLite connection that reads while others write, and does not wait for the disk at every commit."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        write_ahead(self, BUSY_S)


def _settings(url: URL) -> dict[str, Any]:
    """The keyword arguments for SQLAlchemy's `create_engine`; what the URL's query says itself comes first."""
    driver = (url.get_backend_name(), url.get_driver_name())
    own: dict[str, Any] = {}
    if driver == ("sqlite", "pysqlite"):
        own = {"timeout": BUSY_S, "factory": _Connection}
    elif driver[1] in ("psycopg", "psycopg2"):
        own = {"connect_timeout": CONNECT_S}
    connect_args = {key: value for key, value in own.items() if key not in url.query}
    return {"connect_args": connect_args, **({} if driver[0] == "sqlite" else {"pool_pre_ping": True})}


def _parsed(url: str) -> URL:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
        parsed.get_dialect()  # of an unknown kind there is none
    except (ArgumentError, ValueError) as error:
        allowed = f"null or a URL such as {EXAMPLES} (in a user name or password, @ is %40 and / is %2F)"
        raise RequestError(str(Fault(KEY, shown(url), allowed, f"{KEY}=sqlite:///study.db"))) from error
    return parsed


def _is_memory(url: URL) -> bool:
    name = url.database or ""
    return url.get_backend_name() == "sqlite" and (
        name in ("", ":memory:", "file::memory:") or url.query.get("mode") == "memory"
    )


def _open_database(url: str) -> optuna.storages.RDBStorage:
    from sqlalchemy import inspect
    from sqlalchemy.exc import SQLAlchemyError

    parsed = _parsed(url)
    _check_file(url, parsed)
    engine = engine_for(url)
    try:
        tables = inspect(engine).get_table_names()
    except (SQLAlchemyError, OSError, TypeError, ValueError) as error:
        raise _refused(url, reason(error, url)) from error
    finally:
        engine.dispose()
    if "alembic_version" in tables and "studies" not in tables:
        raise _refused(url, f"it holds another program's tables ({', '.join(sorted(tables)[:4])} …)")
    return _create(url, _settings(parsed))


def _create(url: str, settings: dict[str, Any]) -> optuna.storages.RDBStorage:
    """Optuna's storage with its tables, which several processes may be creating at once: the losers try again."""
    from sqlalchemy.exc import SQLAlchemyError

    template = url.replace("{", "{{").replace("}", "}}")  # Optuna fills in a template
    for _ in range(CREATIONS):
        try:
            return optuna.storages.RDBStorage(template, engine_kwargs=settings)
        except RuntimeError as error:  # tables of another version of Optuna; it says what to do
            raise _refused(url, reason(error, url)) from error
        except (SQLAlchemyError, StorageInternalError) as error:
            failure = error
        time.sleep(random.uniform(0.01, 0.1))
    raise _refused(url, reason(failure, url)) from failure


def _check_file(url: str, parsed: URL) -> None:
    """Refuses an SQLite URL whose file SQLite would misname or could not create."""
    if parsed.get_backend_name() != "sqlite" or _is_memory(parsed):
        return
    if "?" in url and not parsed.query:
        raise _refused(url, "what follows ? is no option; in a file name write ? as %3F")
    folder = Path(str(parsed.database)).parent
    if "uri" not in parsed.query and not folder.is_dir():
        raise _refused(url, f"there is no folder {str(folder)!r}; type: mkdir -p {str(folder)!r}")


def _refused(url: str, why: str) -> RequestError:
    advice = "" if "type: " in why else f"; other places are null (in memory) or {EXAMPLES}"
    return RequestError(f"{KEY}={shown(url)} cannot be opened: {why}{advice}")


def _open_journal(url: str) -> optuna.storages.JournalStorage:
    path = journal_path(url)
    # The open lock is freed some time after its holder was killed; Optuna's default lock may never be.
    lock = JournalFileOpenLock(str(path))
    try:
        if not path.exists() or _mend(path, lock):
            return optuna.storages.JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise _refused(url, reason(error, url)) from error
    raise _refused(url, "the file is no journal of a study")


def _mend(path: Path, lock: JournalFileOpenLock) -> bool:
    """Moves what a killed writer left at the end of a journal to a file beside it. False if it is no journal.

    Optuna would append to the torn line, and a torn line before the last makes the whole study unreadable.
    """
    if not _n_torn(path.read_bytes()):
        return True
    lock.acquire()
    try:
        data = path.read_bytes()
        if not (torn := _n_torn(data)):
            return True  # somebody was writing just then
        if torn == len(data) and not data.startswith(b"{"):
            return False
        beside = path.with_name(f"{path.name}.torn")
        with open(beside, "ab") as stream:
            stream.write(data[len(data) - torn :])
            stream.flush()
            os.fsync(stream.fileno())
        os.truncate(path, len(data) - torn)
    finally:
        lock.release()
    log.warning("the end of %s was torn: its last %d bytes are now in %s", path.name, torn, beside.name)
    return True


def _n_torn(data: bytes) -> int:
    """How many bytes at the end are no whole lines of JSON."""
    lines = data.splitlines(keepends=True)
    while lines and not _whole(lines[-1]):
        lines.pop()
    return len(data) - sum(map(len, lines))


def _whole(line: bytes) -> bool:
    try:
        return line.endswith(b"\n") and isinstance(json.loads(line), dict)
    except ValueError:
        return False


def reason(error: BaseException, url: str = "") -> str:
    """One line that says what went wrong, in the driver's words, with nothing secret in it."""
    cause = (isinstance(error, StorageInternalError) and error.__cause__) or error
    cause = getattr(cause, "orig", None) or cause
    text = " ".join(str(cause.strerror if isinstance(cause, OSError) and cause.strerror else cause).split())
    return redact(text, url).rstrip(".") or type(cause).__name__
