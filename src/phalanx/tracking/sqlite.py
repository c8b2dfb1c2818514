"""SQLite as MLflow opens it, made to wait for the disk less often. Called in the delivering process alone."""

from __future__ import annotations

import sqlite3
from functools import cache
from typing import Any


@cache
def tune() -> None:
    """From now on this process writes SQLite ahead (WAL), where the file system can, and syncs at checkpoints only.

    A power cut may take the last commits and leaves the file whole; what it took is delivered again by `replay`.
    Uses SQLAlchemy's documented hook for all engines; https://sqlite.org/pragma.html says what the two settings do.
    """
    from sqlalchemy import Engine, event

    @event.listens_for(Engine, "connect")
    def settings(connection: Any, _: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            try:
                connection.execute("pragma journal_mode=wal")
                connection.execute("pragma synchronous=normal")
            except sqlite3.DatabaseError:
                pass  # it is locked, or is no database: MLflow says so in a moment
