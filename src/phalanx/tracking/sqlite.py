"""SQLite as MLflow opens it, written ahead. For the tracking process alone: it changes every engine of its process."""

from __future__ import annotations

import contextlib
import sqlite3
from functools import cache

from phalanx.core.sqlite import write_ahead


@cache
def tune() -> None:
    """Makes this process write SQLite files ahead from now on; what a power cut takes, `phalanx sync` logs again."""
    from sqlalchemy import Engine, event

    @event.listens_for(Engine, "connect")
    def settings(connection: object, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            with contextlib.suppress(sqlite3.DatabaseError):  # locked, or no database: MLflow says so in a moment
                write_ahead(connection, 0.0)
