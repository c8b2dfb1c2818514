"""Leases: which driver owns which running trial, renewed by heartbeat.

Other drivers take over the trials of a driver that was killed, and one that was wrongly taken for dead can no longer
tell its results.
"""

from __future__ import annotations

import json
import logging
import math
import random
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Self

from phalanx.core.errors import PhalanxError
from phalanx.core.process_identity import ProcessIdentity
from phalanx.core.reading import parse_json
from phalanx.study.lease_stores import FileLeaseStore, Lease, LeaseStore, MemoryLeaseStore, SqlLeaseStore
from phalanx.study.storage import in_memory, is_journal, journal_path, reason, with_retries

log = logging.getLogger(__name__)

LEASE_S = 60.0
JOIN_S = 5.0  # how long `close` waits for a heartbeat that is under way
POLL_S = 0.002, 0.25  # pause after the first failed try to enter `exclusive`, and the longest one


class LeaseTimeout(PhalanxError):
    """Other drivers held what was waited for all the time."""


class Leases:
    """One driver's leases on the trials of a study; a thread renews them.

    Another driver may take a lease over when its owner has released it, when the owner's process is known to have
    ended, or when no heartbeat was seen for `lease_s` seconds on the other driver's own clock.
    """

    def __init__(
        self, store: LeaseStore, lease_s: float = LEASE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Creates a driver's view of the leases in a store.

        Args:
            store: The leases of the study, shared by its drivers.
            lease_s: Seconds without a heartbeat after which a driver on another host is taken for dead.
            clock: A monotonic clock in seconds.
        """
        self.lease_s, self._store, self._clock = lease_s, store, clock
        self._owner = json.dumps(asdict(ProcessIdentity.here()))
        self._renewed_until: dict[int, float] = {}  # by number: until when the thread renews it
        self._last_seen: dict[int, tuple[tuple[int, int], float]] = {}  # others' last versions, when first seen
        self._threads: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()  # guards these three; never held while the store is asked
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def of(cls, url: str | None, study_name: str, lease_s: float = LEASE_S) -> Self:
        """Opens the leases of a stored study.

        Args:
            url: The study's storage; in memory, the leases are this object's alone.
            study_name: The study's name in the storage.
            lease_s: Seconds without a heartbeat after which a driver on another host is taken for dead.
        """
        if url is None or in_memory(url):
            return cls(MemoryLeaseStore(), lease_s)
        if is_journal(url):
            path = journal_path(url)
            return cls(FileLeaseStore(path.with_name(f"{path.name}.leases"), study_name), lease_s)
        return cls(SqlLeaseStore(url, study_name), lease_s)

    def __enter__(self) -> Leases:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def claim(self, number: int) -> int | None:
        """Takes the trial; returns the number of this attempt at it, from 1, or None if it cannot be taken.

        The trial may have ended since its state was read; read the state again before evaluating it.
        """
        lease = self._read(number)
        if lease is None or (lease.owner != self._owner and self._is_free(number, lease)):
            new = Lease(1 if lease is None else lease.attempt + 1, self._owner)
            # After a lost connection a write that is tried again finds what it wrote itself.
            lease = new if with_retries(self._store.write, number, lease, new) else self._read(number)
        if lease is None or not self._is_held(lease):
            return None
        self._renew(number, math.inf)
        return lease.attempt

    def claimable(self, numbers: Sequence[int]) -> list[int]:
        """Returns those that `claim` might give: nobody's, our own, and those whose driver is gone."""
        leases = with_retries(self._store.read_many, numbers) if numbers else {}
        known = [(number, leases.get(number)) for number in numbers]
        return [n for n, lease in known if lease is None or lease.owner == self._owner or self._is_free(n, lease)]

    def holds(self, number: int) -> bool:
        """Whether the trial is still ours, and not finalized."""
        lease = self._read(number)
        return lease is not None and self._is_held(lease)

    def finalize(self, number: int) -> bool:
        """Claims the right to tell the trial's result; returns False if another driver has taken the trial over."""
        while (lease := self._read(number)) is not None and lease.owner == self._owner:
            if with_retries(self._store.write, number, lease, replace(lease, final=True)):
                self._renew(number, self._clock() + self.lease_s)
                return True
        self._renew(number, -math.inf)
        return False

    def release(self, number: int) -> bool:
        """Lets others take the trial at once, unless it is finalized.

        Returns False if the storage did not answer, which is no error: the lease then expires by itself.
        """
        self._renew(number, -math.inf)
        try:
            while (lease := self._store.read(number)) is not None and self._is_held(lease):
                if self._store.write(number, lease, replace(lease, owner="")):
                    break
        except Exception as error:
            log.warning("the lease of trial %d could not be released and expires by itself: %s", number, reason(error))
            return False
        return True

    def release_all(self) -> None:
        """Releases all trials that are held and not finalized."""
        held = [number for number, until in self._renewed().items() if until == math.inf]
        all(self.release(number) for number in held)  # a storage that does not answer is not asked again

    def close(self) -> None:
        """Releases all trials and ends the heartbeats."""
        self.release_all()
        self._closed.set()
        if self._thread is not None:
            self._thread.join(timeout=JOIN_S)
        self._store.close()

    @contextmanager
    def exclusive(self, name: str = "ask", timeout_s: float = 600.0) -> Iterator[None]:
        """Keeps all other drivers and threads out of the section `name`; `LeaseTimeout` after `timeout_s`."""
        number, end = -1 - zlib.crc32(name.encode()) % 2**30, self._clock() + timeout_s
        with self._lock:
            threads = self._threads.setdefault(name, threading.Lock())
        if not threads.acquire(timeout=timeout_s):
            raise LeaseTimeout(f"another thread was in {name!r} for {timeout_s:g} s")
        try:
            pause = POLL_S[0]
            while self.claim(number) is None:
                if self._clock() > end:
                    raise LeaseTimeout(f"other drivers of the study were in {name!r} for {timeout_s:g} s")
                time.sleep(random.uniform(pause, 2 * pause))
                pause = min(1.3 * pause, POLL_S[1])
            try:
                yield
            finally:
                self.release(number)
        finally:
            threads.release()

    def _read(self, number: int) -> Lease | None:
        return with_retries(self._store.read, number)

    def _is_held(self, lease: Lease) -> bool:
        return lease.owner == self._owner and not lease.final

    def _is_free(self, number: int, lease: Lease) -> bool:
        """Whether another driver's lease may be taken over."""
        now = self._clock()
        with self._lock:
            version, since = self._last_seen.get(number, (None, now))
            if version != lease.version:
                self._last_seen[number] = lease.version, (since := now)
        if not lease.owner or now - since >= self.lease_s:
            return True
        try:
            return ProcessIdentity(**parse_json(lease.owner, "the owner of a lease")).gone() is True
        except (ValueError, TypeError):  # not written whole, or by another version
            return False

    def _renew(self, number: int, until: float) -> None:
        """Has the thread renew the lease until then, on the own clock; starts the thread at the first claim."""
        with self._lock:
            self._last_seen.pop(number, None)
            self._renewed_until[number] = until
            if self._thread is None and until == math.inf:
                self._thread = threading.Thread(target=self._send_heartbeats, name="phalanx-leases", daemon=True)
                self._thread.start()

    def _renewed(self) -> dict[int, float]:
        now = self._clock()
        with self._lock:
            self._renewed_until = {number: until for number, until in self._renewed_until.items() if until > now}
            return dict(self._renewed_until)

    def _send_heartbeats(self) -> None:
        failing = False
        while not self._closed.wait(self.lease_s / 4):
            try:
                if renewed := self._renewed():
                    self._store.heartbeat(renewed, self._owner)
                failing = False
            except Exception as error:
                if not failing:
                    log.warning("the leases could not be renewed and are tried again: %s", reason(error))
                failing = True
