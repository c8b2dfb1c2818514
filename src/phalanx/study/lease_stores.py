"""Who holds which trial, written down where all drivers of a study see it: in memory, in a database, in files.

Every change is a compare-and-set: of several that act on the same entry, one succeeds.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import threading
from collections.abc import Collection, Hashable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from phalanx.study.storage import engine_for, with_retries

log = logging.getLogger(__name__)

TABLE = "phalanx_leases"
KEPT = 32  # versions of one entry that stay on disk


@dataclass(frozen=True)
class Lease:
    """What a book says about a trial. `mark` is another one after every change and every beat."""

    attempt: int  # from 1
    owner: str  # an `ProcessIdentity` as JSON; empty: nobody
    settled: bool = False  # its owner is about to tell its result
    mark: Hashable = None


class LeaseStore(Protocol):
    """The entries of one study, by trial number, shared by all its drivers."""

    def read(self, number: int) -> Lease | None: ...

    def read_many(self, numbers: Collection[int]) -> dict[int, Lease]:
        """Those of the entries that there are, by number."""
        return {number: lease for number in numbers if (lease := self.read(number)) is not None}

    def write(self, number: int, seen: Lease | None, new: Lease) -> bool:
        """Puts `new` in the place of `seen`; False if by now something else stands there."""
        ...

    def heartbeat(self, numbers: Collection[int], owner: str) -> None:
        """Gives those of the entries that are the owner's another mark."""
        ...

    def close(self) -> None: ...


class MemoryLeaseStore(LeaseStore):
    """A book for one process."""

    def __init__(self) -> None:
        self._entries: dict[int, Lease] = {}
        self._lock = threading.Lock()

    def read(self, number: int) -> Lease | None:
        return self._entries.get(number)

    def write(self, number: int, seen: Lease | None, new: Lease) -> bool:
        with self._lock:
            if self._entries.get(number) != seen:
                return False
            self._entries[number] = replace(new, mark=object())
            return True

    def heartbeat(self, numbers: Collection[int], owner: str) -> None:
        for number in numbers:
            if (lease := self.read(number)) and lease.owner == owner:
                self.write(number, lease, lease)

    def close(self) -> None:
        pass


class SqlLeaseStore(LeaseStore):
    """A book in a table of the study's database; the beats count the changes too."""

    def __init__(self, url: str, study: str) -> None:
        import sqlalchemy as sa

        self._sa, self._study, self._engine = sa, study, engine_for(url)
        # fmt: off
        self._table = sa.Table(
            TABLE, sa.MetaData(),
            sa.Column("study", sa.String(512), primary_key=True),
            sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("attempt", sa.Integer, nullable=False),
            sa.Column("owner", sa.String(1024), nullable=False),
            sa.Column("settled", sa.Boolean, nullable=False),
            sa.Column("beat", sa.Integer, nullable=False),
        )
        # fmt: on
        with_retries(self._create)

    def _create(self) -> None:
        try:
            self._table.create(self._engine, checkfirst=True)
        except self._sa.exc.DBAPIError:
            if not self._sa.inspect(self._engine).has_table(TABLE):  # else another process was faster
                raise

    def _at(self, *numbers: int) -> Any:
        return self._sa.and_(self._table.c.study == self._study, self._table.c.number.in_(numbers))

    def read(self, number: int) -> Lease | None:
        columns = (self._table.c[name] for name in ("attempt", "owner", "settled", "beat"))
        with self._engine.connect() as connection:
            row = connection.execute(self._sa.select(*columns).where(self._at(number))).one_or_none()
        return None if row is None else Lease(*row)

    def read_many(self, numbers: Collection[int]) -> dict[int, Lease]:
        columns = (self._table.c[name] for name in ("number", "attempt", "owner", "settled", "beat"))
        with self._engine.connect() as connection:
            rows = connection.execute(self._sa.select(*columns).where(self._at(*numbers))).all()
        return {number: Lease(*rest) for number, *rest in rows}

    def write(self, number: int, seen: Lease | None, new: Lease) -> bool:
        values = {"attempt": new.attempt, "owner": new.owner, "settled": new.settled}
        change = self._table.insert().values(study=self._study, number=number, beat=0, **values)
        if seen is not None:
            same = (self._table.c.attempt == seen.attempt) & (self._table.c.beat == seen.mark)
            change = self._table.update().where(self._at(number), same).values(beat=seen.mark + 1, **values)
        try:
            with self._engine.begin() as connection:
                return connection.execute(change).rowcount == 1
        except self._sa.exc.IntegrityError:  # another one's insert was first
            return False

    def heartbeat(self, numbers: Collection[int], owner: str) -> None:
        change = self._table.update().where(self._at(*numbers), self._table.c.owner == owner)
        with self._engine.begin() as connection:
            connection.execute(change.values(beat=self._table.c.beat + 1))

    def close(self) -> None:
        self._engine.dispose()


class FileLeaseStore(LeaseStore):
    """A book in a folder: a folder a number, in it a file a version of its entry, of which the last one holds.

    Whoever creates a version first has made that change. A beat is a byte more at the end of the last version.
    """

    def __init__(self, folder: Path, study: str) -> None:
        digest = hashlib.sha256(study.encode()).hexdigest()[:12]
        self._folder = folder / f"{re.sub(r'[^A-Za-z0-9_-]', '_', study)[:60]}-{digest}"

    def _file(self, number: int, version: int) -> Path:
        return self._folder / str(number) / str(version)

    def _last(self, number: int) -> int:
        try:
            return max(map(int, os.listdir(self._folder / str(number))), default=0)
        except FileNotFoundError:
            return 0

    def read(self, number: int) -> Lease | None:
        while version := self._last(number):
            try:
                text = self._file(number, version).read_text(encoding="utf-8")
            except FileNotFoundError:  # long outdated meanwhile
                continue
            mark = (version, len(text))
            try:
                return Lease(**json.loads(text.partition("\n")[0]), mark=mark)
            except (ValueError, TypeError):  # its writer was killed, or is not done: whose it is, nobody knows
                return Lease(version, "?", mark=mark)
        return None

    def write(self, number: int, seen: Lease | None, new: Lease) -> bool:
        version = 1 + (seen.mark[0] if seen else 0)
        file = self._file(number, version)
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(file, "x", encoding="utf-8") as stream:
                stream.write(json.dumps({"attempt": new.attempt, "owner": new.owner, "settled": new.settled}) + "\n")
        except FileExistsError:
            return False
        if self._last(number) > version:  # `seen` was so old that its successors are cleared away
            file.unlink(missing_ok=True)
            return False
        self._file(number, version - KEPT).unlink(missing_ok=True)
        return True

    def heartbeat(self, numbers: Collection[int], owner: str) -> None:
        for number in numbers:
            lease = self.read(number)
            if lease is not None and lease.owner == owner:
                with open(self._file(number, lease.mark[0]), "a", encoding="utf-8") as stream:
                    stream.write(".")

    def close(self) -> None:
        pass
