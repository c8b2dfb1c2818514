"""Who evaluates which trial now: a killed driver's trials are taken up by others, and a driver that was taken for dead
can no longer tell what it found."""

from __future__ import annotations

import json
import logging
import math
import random
import threading
import time
import zlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace

from phalanx.core.errors import PhalanxError
from phalanx.core.process_identity import ProcessIdentity
from phalanx.study.lease_stores import FileLeaseStore, Lease, LeaseStore, MemoryLeaseStore, SqlLeaseStore
from phalanx.study.storage import in_memory, is_journal, journal_path, reason, with_retries

log = logging.getLogger(__name__)

LEASE_S = 60.0
JOIN_S = 5.0  # how long the end waits for a beat that is under way
POLL_S = 0.002, 0.25  # between the first two looks at a lease that somebody else holds, and at most


class LeaseTimeout(PhalanxError):
    """Other drivers held what was waited for all the time."""


class Leases:
    """The trials of one study that this driver evaluates, out of those that all its drivers share.

    A lease is kept by beats from a thread. It can be taken over when its owner has released it, when its process is
    known to have ended, or when no beat was seen for `lease_s` seconds, measured here: clocks need not agree.
    """

    def __init__(
        self, store: LeaseStore, lease_s: float = LEASE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.lease_s, self._store, self._clock = lease_s, store, clock
        self._me = json.dumps(asdict(ProcessIdentity.here()))
        self._until: dict[int, float] = {}  # until when the trial of that number is kept by beats
        self._marks: dict[int, tuple[Hashable, float]] = {}  # the last mark of another one's, when it was first seen
        self._inside: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()  # for these three; never held while the book is asked
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def of(cls, url: str | None, study_name: str, lease_s: float = LEASE_S) -> Leases:
        """The leases of a study in the storage at `url`. In memory they are this object's alone."""
        if in_memory(url):
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
        """Takes the trial and returns which attempt at it this is, from 1; None if another one has it, or told it.

        The trial may have been told since its state was read; read it again before evaluating it.
        """
        lease = self._read(number)
        if lease is None or (lease.owner != self._me and self._free(number, lease)):
            new = Lease(1 if lease is None else lease.attempt + 1, self._me)
            # After a lost connection a write that is tried again finds what it wrote itself.
            lease = new if with_retries(self._store.write, number, lease, new) else self._read(number)
        if lease is None or lease.owner != self._me or lease.settled:
            return None
        self._keep(number, math.inf)
        return lease.attempt

    def claimable(self, numbers: Sequence[int]) -> list[int]:
        """Those that `claim` might give: nobody's, our own, and those whose driver is gone. One question for all."""
        found = with_retries(self._store.read_many, numbers) if numbers else {}
        known = [(number, found.get(number)) for number in numbers]
        return [n for n, lease in known if lease is None or lease.owner == self._me or self._free(n, lease)]

    def holds(self, number: int) -> bool:
        """Whether the trial is ours still, and not settled."""
        lease = self._read(number)
        return lease is not None and lease.owner == self._me and not lease.settled

    def settle(self, number: int) -> bool:
        """Whether our result is the one to be told; from then on nobody takes the trial over while we tell it."""
        while (lease := self._read(number)) is not None and lease.owner == self._me:
            if with_retries(self._store.write, number, lease, replace(lease, settled=True)):
                self._keep(number, self._clock() + self.lease_s)
                return True
        self._keep(number, -math.inf)
        return False

    def release(self, number: int) -> bool:
        """Lets others take the trial at once, unless it is settled. False if the storage did not answer: not an error,
        the lease then lapses by itself."""
        self._keep(number, -math.inf)
        try:
            while (lease := self._store.read(number)) is not None and lease.owner == self._me and not lease.settled:
                if self._store.write(number, lease, replace(lease, owner="")):
                    break
        except Exception as error:
            log.warning("the lease of trial %d could not be released and lapses by itself: %s", number, reason(error))
            return False
        return True

    def release_all(self) -> None:
        """Releases all trials that are held and not settled."""
        held = [number for number, until in self._kept().items() if until == math.inf]
        all(self.release(number) for number in held)  # a storage that does not answer is not asked again

    def close(self) -> None:
        """Releases all and ends the beats."""
        self.release_all()
        self._closed.set()
        if self._thread is not None:
            self._thread.join(timeout=JOIN_S)
        self._store.close()

    @contextmanager
    def alone(self, name: str = "ask", timeout_s: float = 600.0) -> Iterator[None]:
        """Keeps all other drivers of the study out of the parts of that name; `LeaseTimeout` after `timeout_s`."""
        number, end = -1 - zlib.crc32(name.encode()) % 2**30, self._clock() + timeout_s
        with self._lock:
            inside = self._inside.setdefault(name, threading.Lock())
        if not inside.acquire(timeout=timeout_s):
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
            inside.release()

    def _read(self, number: int) -> Lease | None:
        return with_retries(self._store.read, number)

    def _free(self, number: int, lease: Lease) -> bool:
        """Whether another one's entry may be taken over."""
        now = self._clock()
        with self._lock:
            mark, since = self._marks.get(number, (None, now))
            if mark != lease.mark:
                self._marks[number] = lease.mark, (since := now)
        if not lease.owner or now - since >= self.lease_s:
            return True
        try:
            return ProcessIdentity(**json.loads(lease.owner)).gone() is True
        except (ValueError, TypeError):  # not written whole, or by another version
            return False

    def _keep(self, number: int, until: float) -> None:
        with self._lock:
            self._marks.pop(number, None)
            self._until[number] = until
            if self._thread is None and until == math.inf:
                self._thread = threading.Thread(target=self._beat, name="phalanx-leases", daemon=True)
                self._thread.start()

    def _kept(self) -> dict[int, float]:
        now = self._clock()
        with self._lock:
            self._until = {number: until for number, until in self._until.items() if until > now}
            return dict(self._until)

    def _beat(self) -> None:
        failing = False
        while not self._closed.wait(self.lease_s / 4):
            try:
                if kept := self._kept():
                    self._store.heartbeat(kept, self._me)
                failing = False
            except Exception as error:
                if not failing:
                    log.warning("the leases could not be renewed and are tried again: %s", reason(error))
                failing = True
