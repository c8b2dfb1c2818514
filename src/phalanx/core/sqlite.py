"""How the SQLite files of studies and of MLflow are written: ahead (WAL), so that readers and a writer do not wait."""

import random
import sqlite3
import time


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
