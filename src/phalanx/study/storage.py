"""Storages of studies: opened by URL, with retries while the connection to a database is lost.

SQLAlchemy is imported when a database is first needed; a study in memory does not need it.
"""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from urllib.parse import unquote

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from phalanx.core.advice import command, override
from phalanx.core.errors import Fault, RequestError, StorageLost
from phalanx.core.reading import parse_json
from phalanx.core.redaction import redact, shown
from phalanx.core.sqlite import write_ahead

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

KEY = "hydra.sweeper.storage"
EXAMPLES = "sqlite:///study.db, postgresql://user:password@host/database, journal:///absolute/path/study.log"
BUSY_S = 60.0  # how long a connection waits for an SQLite file that another process writes to
CONNECT_S = 10  # how long a PostgreSQL host may take to answer; its client would wait for minutes
CREATIONS = 20  # tries to create the tables, while other processes create them too
PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)  # between the calls of `with_retries`
PACKAGES = {"psycopg": "'psycopg[binary]'", "psycopg2": "psycopg2-binary", "mysqldb": "mysqlclient"}  # by driver


def open_storage(url: str | None) -> optuna.storages.BaseStorage:
    """Opens the storage at `url`, and creates it if it does not exist; None keeps it in memory.

    Takes the database URLs of SQLAlchemy, and `journal:///absolute/path/study.log` for Optuna's journal in a file.
    Raises `RequestError` for a URL that cannot be parsed and for a storage that cannot be opened.
    """
    if url is None:
        return optuna.storages.InMemoryStorage()
    return _open_journal(url) if is_journal(url) else _open_database(url)


def with_retries(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Returns `call(*args, **kwargs)`, repeated for about 30 s while the connection to the database is lost.

    A call may have done its work before the connection broke, so it has to be one that can be repeated. Raises
    `StorageLost` if the last call fails too.
    """
    for pause in (*PAUSES_S, None):
        try:
            return call(*args, **kwargs)
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
    """Whether the error says that the database did not answer, so that the same call may succeed later."""
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

    cause = error.__cause__ if isinstance(error, (StorageInternalError, RequestError)) else error
    if isinstance(cause, DBAPIError):
        return cause.connection_invalidated or isinstance(cause, (InterfaceError, OperationalError))
    return isinstance(error, StorageInternalError)


def in_memory(url: str | None) -> bool:
    """Whether no other process can see the storage."""
    return url is None or (not is_journal(url) and _is_memory(_parsed(url)))


def is_journal(url: str) -> bool:
    """Whether `url` names a journal file."""
    return url.startswith("journal:")


def journal_path(url: str) -> Path:
    """Returns the file of a `journal:` URL. Raises `RequestError` for a relative path."""
    path = Path(unquote(url.removeprefix("journal:").removeprefix("//")))
    if not path.is_absolute():
        raise RequestError(
            f"{KEY} must name a journal by its absolute path, got {shown(url)!r}: a relative one is another file for "
            f"a driver that starts in another folder; try {override(KEY, f'journal://{path.absolute()}')}"
        )
    return path


def missing_file(url: str) -> Path | None:
    """Returns the file of an SQLite or journal URL if it does not exist; opening the storage would create it."""
    if is_journal(url):
        file = journal_path(url)
    else:
        parsed = _parsed(url)
        if parsed.get_backend_name() != "sqlite" or _is_memory(parsed) or "uri" in parsed.query:
            return None
        file = Path(str(parsed.database))
    return None if file.exists() else file


def engine_for(url: str) -> Engine:
    """Returns an engine for a database URL, with the settings of `open_storage`. Raises `RequestError`."""
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
    """Returns the keyword arguments for SQLAlchemy's `create_engine`; the URL's own query takes precedence."""
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
        parsed.get_dialect()  # fails for an unknown kind
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
    """Opens Optuna's storage and creates its tables; tries again where another process is creating them too."""
    from sqlalchemy.exc import SQLAlchemyError

    template = url.replace("{", "{{").replace("}", "}}")  # Optuna formats the URL
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
    """Raises `RequestError` for an SQLite URL whose file SQLite would misname or could not create."""
    if parsed.get_backend_name() != "sqlite" or _is_memory(parsed):
        return
    if "?" in url and not parsed.query:
        raise _refused(url, "what follows ? is no option; in a file name write ? as %3F")
    folder = Path(str(parsed.database)).parent
    if "uri" not in parsed.query and not folder.is_dir():
        raise _refused(url, f"there is no folder {str(folder)!r}; type: {command('mkdir', '-p', folder)}")


def _refused(url: str, why: str) -> RequestError:
    advice = "" if "type: " in why else f"; other places are null (in memory) or {EXAMPLES}"
    return RequestError(f"{KEY}={shown(url)} cannot be opened: {why}{advice}")


def _open_journal(url: str) -> optuna.storages.JournalStorage:
    path = journal_path(url)
    # This lock is released some time after its holder was killed; Optuna's default lock may never be.
    lock = JournalFileOpenLock(str(path))
    try:
        if not path.exists() or _cut_torn_end(path, lock):
            return optuna.storages.JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise _refused(url, reason(error, url)) from error
    raise _refused(url, "the file is no journal of a study")


def _cut_torn_end(path: Path, lock: JournalFileOpenLock) -> bool:
    """Moves the incomplete lines of a killed writer to a file beside the journal; False if it is no journal.

    Optuna would append to such a line, and one before the last makes the whole study unreadable.
    """
    if not _n_torn(path.read_bytes()):
        return True
    lock.acquire()
    try:
        data = path.read_bytes()
        if not (torn := _n_torn(data)):
            return True  # a process was writing it just then
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
    """Returns how many bytes at the end are no complete lines of JSON."""
    lines = data.splitlines(keepends=True)
    while lines and not _is_complete(lines[-1]):
        lines.pop()
    return len(data) - sum(map(len, lines))


def _is_complete(line: bytes) -> bool:
    try:
        return line.endswith(b"\n") and isinstance(parse_json(line.decode(), "the journal"), dict)
    except ValueError:
        return False


def reason(error: BaseException, url: str = "") -> str:
    """Returns an error in one line, in the database driver's words, without passwords."""
    cause = (isinstance(error, StorageInternalError) and error.__cause__) or error
    cause = getattr(cause, "orig", None) or cause
    text = " ".join(str(cause.strerror if isinstance(cause, OSError) and cause.strerror else cause).split())
    return redact(text, url).rstrip(".") or type(cause).__name__
