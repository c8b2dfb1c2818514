"""How the SQLite files of studies and of MLflow are written: ahead (WAL), so that readers and a writer do not wait."""

import contextlib
import random
import sqlite3
import time
from pathlib import Path


def write_ahead(connection: sqlite3.Connection, patience_s: float) -> None:
    """Switches the file to WAL where the file system can, and this connection to wait for the disk at checkpoints only.

    A power cut may lose the last commits and leaves the file whole; see https://sqlite.org/pragma.html. SQLite does not
    wait by itself for another process before it switches. Raises `sqlite3.OperationalError` if the file is still locked
    after `patience_s` seconds, and `sqlite3.DatabaseError` if it is no database.
    """
    connection.execute("PRAGMA synchronous=NORMAL")
    end = time.monotonic() + patience_s
    while connection.execute("PRAGMA journal_mode").fetchone()[0] not in ("wal", "memory"):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
        time.sleep(random.uniform(0.005, 0.05))


def fold_in(file: Path) -> None:
    """Moves what has been written ahead into the file itself, so that a copy of the file alone is complete.

    What another process is reading or writing stays ahead, and is moved by SQLite later. A file that is no database, or
    that cannot be written, is left as it is.
    """
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(file, timeout=1.0)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
