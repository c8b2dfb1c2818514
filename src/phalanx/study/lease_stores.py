"""Stores of leases, shared by all drivers of a study: in memory, in the study's database, in files.

Every change is a compare-and-set: of several drivers that change the same lease, one succeeds. The names on disk, such
as the columns `settled` and `beat`, stay as they are, so that drivers of different versions can share a study.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from phalanx.core.reading import parse_json
from phalanx.study.storage import engine_for, with_retries

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Insert, Update

TABLE = "phalanx_leases"
KEPT = 32  # versions of one lease that stay on disk


@dataclass(frozen=True)
class Lease:
    """Which driver owns a trial, as a store keeps it."""

    attempt: int  # from 1
    owner: str  # a `ProcessIdentity` as JSON; empty: nobody
    final: bool = False  # the owner is about to tell the trial's result, so nobody may take it over
    version: tuple[int, int] = (0, 0)  # another one after every change and every heartbeat; set by the store


class LeaseStore(ABC):
    """The leases of one study, by trial number."""

    @abstractmethod
    def read(self, number: int) -> Lease | None:
        """Returns the lease of that number, None if there is none."""

    def read_many(self, numbers: Collection[int]) -> dict[int, Lease]:
        """Returns those of the leases that exist, by number."""
        return {number: lease for number in numbers if (lease := self.read(number)) is not None}

    @abstractmethod
    def write(self, number: int, seen: Lease | None, new: Lease) -> bool:
        """Replaces a lease if nobody has changed it meanwhile.

        Args:
            number: The trial's number.
            seen: The lease as it was last read; None to create the first one.
            new: What to store; its `version` is ignored.

        Returns:
            False if the store holds something other than `seen`.
        """

    @abstractmethod
    def heartbeat(self, numbers: Collection[int], owner: str) -> None:
        """Renews the owner's leases on these trials."""

    def close(self) -> None:  # noqa: B027 (most have nothing to close)
        """Closes connections to the store."""


class MemoryLeaseStore(LeaseStore):
    """Leases of one process."""

    def __init__(self) -> None:
        self._leases: dict[int, Lease] = {}
        self._lock = threading.Lock()

    def read(self, number: int) -> Lease | None:
        return self._leases.get(number)

    def write(self, number: int, seen: Lease | None, new: Lease) -> bool:
        with self._lock:
            if self._leases.get(number) != seen:
                return False
            self._leases[number] = replace(new, version=(1 + (seen.version[0] if seen else 0), 0))
            return True

    def heartbeat(self, numbers: Collection[int], owner: str) -> None:
        for number, lease in self.read_many(numbers).items():
            if lease.owner == owner:
                self.write(number, lease, lease)


class SqlLeaseStore(LeaseStore):
    """Leases in a table of the study's database; the column `beat` counts changes and heartbeats."""

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
        self._of = self._table.c
        with_retries(self._create)

    def _create(self) -> None:
        try:
            self._table.create(self._engine, checkfirst=True)
        except self._sa.exc.DBAPIError:
            if not self._sa.inspect(self._engine).has_table(TABLE):  # else another process was faster
                raise

    def _at(self, *numbers: int) -> ColumnElement[bool]:
        return self._sa.and_(self._of.study == self._study, self._of.number.in_(numbers))

    def read(self, number: int) -> Lease | None:
        return self.read_many([number]).get(number)

    def read_many(self, numbers: Collection[int]) -> dict[int, Lease]:
        of = self._of
        question = self._sa.select(of.number, of.attempt, of.owner, of.settled, of.beat).where(self._at(*numbers))
        with self._engine.connect() as connection:
            rows = connection.execute(question).all()
        return {number: Lease(attempt, owner, final, (beat, 0)) for number, attempt, owner, final, beat in rows}

    def write(self, number: int, seen: Lease | None, new: Lease) -> bool:
        values = {"attempt": new.attempt, "owner": new.owner, "settled": new.final}
        change: Insert | Update
        if seen is None:
            change = self._table.insert().values(study=self._study, number=number, beat=0, **values)
        else:
            beat = seen.version[0]
            same = (self._of.attempt == seen.attempt) & (self._of.beat == beat)
            change = self._table.update().where(self._at(number), same).values(beat=beat + 1, **values)
        try:
            with self._engine.begin() as connection:
                return connection.execute(change).rowcount == 1
        except self._sa.exc.IntegrityError:  # another driver's insert was first
            return False

    def heartbeat(self, numbers: Collection[int], owner: str) -> None:
        change = self._table.update().where(self._at(*numbers), self._of.owner == owner)
        with self._engine.begin() as connection:
            connection.execute(change.values(beat=self._of.beat + 1))

    def close(self) -> None:
        self._engine.dispose()


class FileLeaseStore(LeaseStore):
    """Leases in a folder: a folder per number, in it a file per version, of which the last one counts.

    Whoever creates a version's file first has made that change. A heartbeat appends a byte to the last version.
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
        while last := self._last(number):
            try:
                text = self._file(number, last).read_text(encoding="utf-8")
            except FileNotFoundError:  # out of date meanwhile, and deleted
                continue
            version = (last, len(text))
            try:
                stored = parse_json(text.partition("\n")[0], "the lease")
                return Lease(stored["attempt"], stored["owner"], stored["settled"], version)
            except (ValueError, TypeError, LookupError):  # its writer was killed or is still writing: owner unknown
                return Lease(last, "?", version=version)
        return None

    def write(self, number: int, seen: Lease | None, new: Lease) -> bool:
        version = 1 + (seen.version[0] if seen else 0)
        file = self._file(number, version)
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(file, "x", encoding="utf-8") as stream:
                stream.write(json.dumps({"attempt": new.attempt, "owner": new.owner, "settled": new.final}) + "\n")
        except FileExistsError:
            return False
        if self._last(number) > version:  # `seen` was so old that the versions after it are deleted
            file.unlink(missing_ok=True)
            return False
        self._file(number, version - KEPT).unlink(missing_ok=True)
        return True

    def heartbeat(self, numbers: Collection[int], owner: str) -> None:
        for number, lease in self.read_many(numbers).items():
            if lease.owner == owner:
                with open(self._file(number, lease.version[0]), "a", encoding="utf-8") as stream:
                    stream.write(".")
