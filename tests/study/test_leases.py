"""Leases under real processes that race, are killed and are stopped, with each kind of store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import psutil
import pytest
from sqlalchemy import Table, event
from sqlalchemy.exc import OperationalError
from support.processes import ended_process
from support.waiting import PATIENCE_S, until

from phalanx.core.process_identity import ProcessIdentity
from phalanx.study import lease_stores, storage
from phalanx.study.lease_stores import FileLeaseStore, Lease, MemoryLeaseStore, SqlLeaseStore
from phalanx.study.leases import Leases, LeaseTimeout

KINDS = ["memory", "sql", "files"]


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def url_for(kind, tmp_path):
    return {"sql": f"sqlite:///{tmp_path / 'study.db'}", "files": f"journal://{tmp_path / 'study.log'}"}[kind]


@pytest.fixture(params=KINDS)
def store(request, tmp_path):
    if request.param == "memory":
        return MemoryLeaseStore()
    if request.param == "files":
        return FileLeaseStore(tmp_path / "study.log.leases", "s")
    return SqlLeaseStore(url_for("sql", tmp_path), "s")


@pytest.fixture
def drivers(store, clock):
    """Makes drivers of one study, whose threads send no heartbeat while a test lasts."""
    made = []

    def make(lease_s=1000.0):
        made.append(Leases(store, lease_s, clock))
        return made[-1]

    yield make
    for driver in made:
        driver.close()


def foreign(**fields):
    return json.dumps(asdict(replace(ProcessIdentity.here(), host="elsewhere", **fields)))


@pytest.fixture(scope="module")
def ended():
    return ended_process()


def test_a_trial_has_one_owner(drivers):
    a, b = drivers(), drivers()
    assert a.claim(7) == 1
    assert a.claim(7) == 1
    assert b.claim(7) is None
    assert b.claim(8) == 1
    assert a.holds(7)
    assert not b.holds(7)
    assert not a.holds(9)


def test_claimable_trials_are_found_in_one_read(drivers, store, ended, monkeypatch):
    a, b = drivers(), drivers()
    for driver, number in ((a, 0), (b, 1), (b, 2)):
        driver.claim(number)
    b.release(2)
    store.write(3, None, Lease(1, ended))
    assert a.claimable([0, 1, 2, 3, 4]) == [0, 2, 3, 4]
    assert b.claimable([0, 1]) == [1]
    look, looks = store.read_many, []

    def losing(numbers):
        looks.append(numbers)
        if len(looks) == 1:
            raise OperationalError("SELECT", {}, Exception("server closed the connection"))
        return look(numbers)

    monkeypatch.setattr(storage, "PAUSES_S", (0,))
    monkeypatch.setattr(store, "read_many", losing)
    assert a.claimable([0, 1]) == [0]
    assert len(looks) == 2
    assert a.claimable([]) == []
    assert len(looks) == 2  # nobody is asked about nothing


def test_a_released_trial_can_be_claimed_at_once(drivers):
    a, b = drivers(), drivers()
    assert [a.claim(n) for n in range(3)] == [1, 1, 1]
    assert a.release(0)
    assert [b.claim(n) for n in range(3)] == [2, None, None]
    a.release_all()
    assert [b.claim(n) for n in range(3)] == [2, 2, 2]
    assert not a.holds(1)
    assert not a.finalize(1)
    assert a.release(1)
    assert b.holds(1)


def test_a_finalized_trial_cannot_be_claimed(drivers):
    a, b = drivers(), drivers()
    a.claim(0)
    assert not b.finalize(0)
    assert a.finalize(0)
    assert a.finalize(0)  # a call that is repeated after a lost connection
    assert not a.holds(0)
    a.release_all()
    a.release(0)
    assert a.claim(0) is None
    assert b.claim(0) is None
    assert not b.finalize(0)


def test_closing_a_driver_releases_its_trials(drivers):
    with drivers() as a:
        a.claim(0)
        a.claim(1)
        a.finalize(1)
    assert [drivers().claim(n) for n in range(2)] == [2, None]


@pytest.mark.parametrize("final", [False, True])
def test_the_trial_of_a_dead_process_is_taken_over_at_once(final, drivers, store, ended):
    store.write(0, None, Lease(4, ended, final))
    a = drivers()
    assert a.claim(0) == 5
    assert a.finalize(0)


@pytest.mark.parametrize("final", [False, True])
def test_a_lease_from_another_host_expires_without_heartbeats(final, drivers, store, clock):
    owner = foreign(pid=1)
    store.write(0, None, Lease(1, owner, final))
    clock.now += 5000  # how old it was before it was first seen does not count
    a = drivers(60)
    assert a.claim(0) is None
    clock.now += 59
    assert a.claim(0) is None
    store.heartbeat([0], owner)
    clock.now += 2
    assert a.claim(0) is None
    clock.now += 59
    assert a.claim(0) is None
    clock.now += 1
    assert a.claim(0) == 2
    store.heartbeat([0], owner)  # it was only suspended
    assert a.finalize(0)


def test_each_driver_measures_the_expiry_by_its_own_clock(drivers, store, clock):
    store.write(0, None, Lease(1, foreign()))
    a, b = drivers(60), drivers(60)
    assert a.claim(0) is None
    clock.now += 60
    assert b.claim(0) is None
    assert a.claim(0) == 2


def test_the_lease_of_a_live_process_without_heartbeats_expires_too(drivers, clock):
    a, b = drivers(), drivers(60)
    a.claim(0)
    assert b.claim(0) is None
    clock.now += 60
    assert b.claim(0) == 2
    assert not a.holds(0)
    assert not a.finalize(0)
    assert a.claim(0) is None
    assert b.finalize(0)


def test_a_heartbeat_renews_the_owners_leases_only(drivers, store):
    a, b = drivers(), drivers()
    a.claim(0)
    b.claim(1)
    before = [store.read(n) for n in range(2)]
    store.heartbeat([0, 1, 2], a._owner)
    after = [store.read(n) for n in range(2)]
    assert after[0].version != before[0].version
    assert replace(after[0], version=(0, 0)) == replace(before[0], version=(0, 0))
    assert after[1] == before[1]
    assert a.finalize(0)


def test_a_write_based_on_an_old_read_fails(store):
    assert store.write(0, None, Lease(1, "a"))
    assert not store.write(0, None, Lease(1, "b"))
    seen = store.read(0)
    assert store.write(0, seen, Lease(1, "a", True))
    assert not store.write(0, seen, Lease(2, "b"))
    assert replace(store.read(0), version=(0, 0)) == Lease(1, "a", True)


def test_a_lease_with_an_unreadable_owner_expires(drivers, store, clock):
    store.write(0, None, Lease(3, '{"a later": "version"}'))
    a = drivers(60)
    assert a.claim(0) is None
    clock.now += 60
    assert a.claim(0) == 4


def test_one_of_many_drivers_takes_a_trial_over(drivers, store, ended):
    for number in range(20):
        store.write(number, None, Lease(1, ended))
    each = [drivers() for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda driver: [driver.claim(n) for n in range(20)], each))
    assert [sorted(map(str, attempts)) for attempts in zip(*found, strict=True)] == [["2"] + ["None"] * 5] * 20


@pytest.mark.parametrize("kind", ["sql", "files"])
def test_studies_in_one_storage_have_separate_leases(kind, tmp_path):
    names = ["a/b", "a_b", "ä" * 300, "../up"]
    url = url_for(kind, tmp_path)
    with Leases.of(url, names[0]) as first, Leases.of(url, names[0]) as same:
        assert first.claim(0) == 1
        assert same.claim(0) is None
        for name in names[1:]:
            with Leases.of(url, name) as other:
                assert other.claim(0) == 1
    assert {file.name.partition(".")[0] for file in tmp_path.iterdir()} == {"study"}


def test_another_driver_may_create_the_table_just_before(tmp_path, monkeypatch):
    url, others = url_for("sql", tmp_path), []
    monkeypatch.setattr(storage, "PAUSES_S", ())

    def meanwhile(table, connection, **_):
        if not others:
            others.append(1)
            SqlLeaseStore(url, "s").write(0, None, Lease(1, "a"))

    event.listen(Table, "before_create", meanwhile)
    try:
        assert SqlLeaseStore(url, "s").read(0).owner == "a"
    finally:
        event.remove(Table, "before_create", meanwhile)
    assert others


@pytest.mark.parametrize("url", [None, "sqlite://"])
def test_studies_in_memory_have_separate_leases(url):
    with Leases.of(url, "s") as a, Leases.of(url, "s") as b:
        assert [a.claim(0), b.claim(0)] == [1, 1]


# The thread that sends heartbeats.


def test_claimed_trials_are_renewed_by_heartbeats(store):
    with Leases(store, lease_s=0.04) as a:
        a.claim(0)
        for _ in range(3):
            before = store.read(0).version
            until(lambda before=before: store.read(0).version != before)
        a.release(0)
        released = store.read(0).version
        a.claim(1)
        before = store.read(1).version
        until(lambda: store.read(1).version != before)
        assert store.read(0).version == released


def test_a_finalized_trial_is_renewed_while_it_is_told(store, clock):
    with Leases(store, 0.04, clock) as a:
        a.claim(0)
        a.claim(1)
        a.finalize(0)
        before = store.read(0).version
        until(lambda: store.read(0).version != before)
        clock.now += 0.04
        for _ in range(2):  # the second of these heartbeats began after the clock was set
            before = store.read(1).version
            until(lambda before=before: store.read(1).version != before)
        told = store.read(0).version
        before = store.read(1).version
        until(lambda: store.read(1).version != before)
        assert store.read(0).version == told


class Broken(MemoryLeaseStore):
    failures = 0
    heartbeats = 0

    def heartbeat(self, numbers, owner):
        if self.failures < 3:
            self.failures += 1
            raise OperationalError("UPDATE", {}, Exception("server closed the connection"))
        self.heartbeats += 1


def test_a_storage_that_does_not_answer_does_not_end_the_heartbeats(caplog):
    store = Broken()
    with Leases(store, lease_s=0.04) as a:
        a.claim(0)
        until(lambda: store.heartbeats > 1)
    assert caplog.text.count("could not be renewed") == 1
    assert "server closed the connection" in caplog.text


def test_closing_is_no_error_when_the_storage_does_not_answer(caplog, monkeypatch):
    store, asked = MemoryLeaseStore(), []

    def down(number):
        asked.append(number)
        raise OperationalError("SELECT", {}, Exception("server closed the connection"))

    with Leases(store) as a:
        a.claim(0)
        a.claim(1)
        monkeypatch.setattr(store, "read", down)
    assert len(asked) == 1  # each further trial would cost as much time again
    assert "expires by itself" in caplog.text


def test_a_lost_answer_costs_no_lease(store, drivers, monkeypatch):
    """The change was made, the connection broke before that was known, and the change is tried again."""
    monkeypatch.setattr(storage, "PAUSES_S", (0,))
    write, lost = store.write, []

    def losing(*args):
        done = write(*args)
        if len(lost) < 2 and not lost.append(1) and len(lost) % 2:
            raise OperationalError("COMMIT", {}, Exception("server closed the connection"))
        return done

    monkeypatch.setattr(store, "write", losing)
    a = drivers()
    assert a.claim(0) == 1
    lost.clear()
    assert a.finalize(0)
    assert drivers().claim(0) is None


# Processes.

CHILD = """
import os, sys, time
from pathlib import Path
from phalanx.study.leases import Leases

url, what = sys.argv[1:3]
if what == "race":  # from the very start: they also create the store together
    import sqlalchemy
    print("ready", flush=True)
    sys.stdin.readline()
leases = Leases.of(url, "s")


def say(*words):
    print(*words, flush=True)


def count(file, times):
    for _ in range(times):
        with leases.exclusive():
            number = int(file.read_text())
            time.sleep(0.001)
            file.write_text(str(number + 1))


if what == "hold":
    leases.claim(-5)  # starts the heartbeats
    say("holds", [leases.claim(n) for n in range(3)])
    sys.stdin.readline()
    say("finalizes", [leases.finalize(n) for n in range(3)])
elif what == "inside":
    with leases.exclusive():
        say("inside")
        sys.stdin.readline()
elif what == "race":
    say("took", [n for n in range(20) if leases.claim(n)])
    sys.stdin.readline()
else:
    say("ready")
    sys.stdin.readline()
    count(Path(what), 25)
    say("counted")
"""


class Child:
    """Another driver, in a process of its own."""

    def __init__(self, url, what):
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, url, str(what)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def hear(self):
        return self.process.stdout.readline().strip()

    def go(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def end(self):
        self.process.kill()
        self.process.communicate(timeout=PATIENCE_S)


@pytest.fixture(params=["sql", "files"])
def url(request, tmp_path):
    return url_for(request.param, tmp_path)


@pytest.fixture
def child(url):
    made = []

    def make(what):
        made.append(Child(url, what))
        return made[-1]

    yield make
    for each in made:
        each.end()


def test_processes_that_race_for_trials_get_each_one_once(child):
    racers = [child("race") for _ in range(4)]
    assert [racer.hear() for racer in racers] == ["ready"] * 4
    for racer in racers:
        racer.go()
    took = [json.loads(racer.hear().removeprefix("took ")) for racer in racers]
    assert sorted(number for each in took for number in each) == list(range(20))


def test_the_trials_of_a_killed_driver_are_taken_over_at_once(child, url):
    holder = child("hold")
    assert holder.hear() == "holds [1, 1, 1]"
    with Leases.of(url, "s") as own:
        assert [own.claim(n) for n in range(3)] == [None] * 3
        os.kill(holder.process.pid, signal.SIGKILL)
        until(
            lambda: ProcessIdentity(**json.loads(own._store.read(0).owner)).gone()
        )  # dead, though not waited for: a zombie
        assert [own.claim(n) for n in range(3)] == [2, 2, 2]
        assert [own.finalize(n) for n in range(3)] == [True] * 3


def test_the_trials_of_a_stopped_driver_expire_and_it_cannot_finalize_them(child, url, clock):
    holder = child("hold")
    assert holder.hear() == "holds [1, 1, 1]"
    os.kill(holder.process.pid, signal.SIGSTOP)
    until(lambda: psutil.Process(holder.process.pid).status() == psutil.STATUS_STOPPED)
    with Leases.of(url, "s") as own:
        own._clock = clock
        assert [own.claim(n) for n in range(3)] == [None] * 3
        clock.now += 59
        assert own.claim(0) is None
        clock.now += 1
        assert [own.claim(n) for n in range(2)] == [2, 2]
        os.kill(holder.process.pid, signal.SIGCONT)
        holder.go()
        assert holder.hear() == "finalizes [False, False, True]"
        assert [own.finalize(n) for n in range(2)] == [True, True]


def test_one_process_at_a_time_is_in_an_exclusive_section(child, tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    counting = [child(counter) for _ in range(4)]
    assert [each.hear() for each in counting] == ["ready"] * 4
    for each in counting:
        each.go()
    assert [each.hear() for each in counting] == ["counted"] * 4
    assert counter.read_text() == "100"


def test_a_process_killed_in_an_exclusive_section_lets_others_in(child, url):
    holder = child("inside")
    assert holder.hear() == "inside"
    with Leases.of(url, "s") as own:
        with pytest.raises(LeaseTimeout, match="'ask' for 0 s"), own.exclusive(timeout_s=0):
            pass
        with own.exclusive("another part"):
            pass
        os.kill(holder.process.pid, signal.SIGKILL)
        with own.exclusive(timeout_s=PATIENCE_S):
            pass


def test_one_thread_at_a_time_is_in_an_exclusive_section(drivers):
    both, inside = [drivers(), drivers()], []

    def enter(driver):
        for _ in range(10):
            with driver.exclusive():
                inside.append(1)
                assert len(inside) == 1
                inside.pop()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(enter, both * 3))


def test_a_thread_that_waits_too_long_gets_an_error(drivers):
    driver = drivers()
    with driver.exclusive(), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: driver.exclusive(timeout_s=0).__enter__())
        with pytest.raises(LeaseTimeout, match="another thread"):
            waiting.result()


def test_an_error_in_an_exclusive_section_lets_others_in(drivers):
    with pytest.raises(ZeroDivisionError), drivers().exclusive():
        _ = 1 / 0
    with drivers().exclusive(timeout_s=0):
        pass


# Files.


@pytest.mark.parametrize("text", ["", '[2, "{', "3\n", '{"a": 1}\n'])
def test_a_lease_file_that_was_not_written_whole_expires(text, tmp_path, clock):
    store = FileLeaseStore(tmp_path, "s")
    store.write(0, None, Lease(1, ""))
    store._file(0, 2).write_text(text)
    with Leases(store, 60, clock) as a:
        assert a.claim(0) is None
        clock.now += 60
        assert a.claim(0) == 3
        assert a.finalize(0)


def test_old_versions_are_deleted_and_cannot_be_written_again(tmp_path, clock):
    store = FileLeaseStore(tmp_path, "s")
    store.write(0, None, Lease(1, "a"))
    old = store.read(0)
    for attempt in range(2, 100):
        assert store.write(0, store.read(0), Lease(attempt, "a"))
    assert len(list(store._file(0, 1).parent.iterdir())) <= lease_stores.KEPT
    assert not store.write(0, old, Lease(2, "b"))
    assert not store.write(0, None, Lease(1, "b"))
    assert store.read(0).attempt == 99
    assert len(list(store._file(0, 1).parent.iterdir())) <= lease_stores.KEPT
