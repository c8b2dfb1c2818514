"""Who evaluates which trial: real processes that race, are killed and are stopped, over each kind of book."""

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
from support.waiting import PATIENCE_S, until

from phalanx.core import process_identity
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
    """Makes drivers of one study, whose threads never beat while a test lasts."""
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
    """A process that has ended, as it had written itself down."""
    script = "import json; from dataclasses import asdict; from phalanx.core.process_identity import ProcessIdentity; print(json.dumps(asdict(ProcessIdentity.here())))"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


def test_a_trial_has_one_owner(drivers):
    a, b = drivers(), drivers()
    assert a.claim(7) == 1
    assert a.claim(7) == 1
    assert b.claim(7) is None
    assert b.claim(8) == 1
    assert a.holds(7)
    assert not b.holds(7)
    assert not a.holds(9)


def test_what_may_be_claimed_is_told_at_one_look(drivers, store, ended, monkeypatch):
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


def test_what_is_released_is_free_at_once(drivers):
    a, b = drivers(), drivers()
    assert [a.claim(n) for n in range(3)] == [1, 1, 1]
    assert a.release(0)
    assert [b.claim(n) for n in range(3)] == [2, None, None]
    a.release_all()
    assert [b.claim(n) for n in range(3)] == [2, 2, 2]
    assert not a.holds(1)
    assert not a.settle(1)
    assert a.release(1)
    assert b.holds(1)


def test_what_is_settled_is_nobodys(drivers):
    a, b = drivers(), drivers()
    a.claim(0)
    assert not b.settle(0)
    assert a.settle(0)
    assert a.settle(0)  # a call that is repeated after a lost connection
    assert not a.holds(0)
    a.release_all()
    a.release(0)
    assert a.claim(0) is None
    assert b.claim(0) is None
    assert not b.settle(0)


def test_the_end_of_a_driver_releases_what_it_held(drivers):
    with drivers() as a:
        a.claim(0)
        a.claim(1)
        a.settle(1)
    assert [drivers().claim(n) for n in range(2)] == [2, None]


@pytest.mark.parametrize("settled", [False, True])
def test_a_dead_process_is_followed_at_once(settled, drivers, store, ended):
    store.write(0, None, Lease(4, ended, settled))
    a = drivers()
    assert a.claim(0) == 5
    assert a.settle(0)


@pytest.mark.parametrize("settled", [False, True])
def test_a_foreign_host_is_followed_when_no_beat_was_seen_for_long(settled, drivers, store, clock):
    owner = foreign(pid=1)
    store.write(0, None, Lease(1, owner, settled))
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
    assert a.settle(0)


def test_each_driver_waits_by_itself(drivers, store, clock):
    store.write(0, None, Lease(1, foreign()))
    a, b = drivers(60), drivers(60)
    assert a.claim(0) is None
    clock.now += 60
    assert b.claim(0) is None
    assert a.claim(0) == 2


def test_a_process_that_lives_and_does_not_beat_is_followed_too(drivers, clock):
    a, b = drivers(), drivers(60)
    a.claim(0)
    assert b.claim(0) is None
    clock.now += 60
    assert b.claim(0) == 2
    assert not a.holds(0)
    assert not a.settle(0)
    assert a.claim(0) is None
    assert b.settle(0)


def test_a_beat_keeps_only_what_is_ones_own(drivers, store):
    a, b = drivers(), drivers()
    a.claim(0)
    b.claim(1)
    before = [store.read(n) for n in range(2)]
    store.heartbeat([0, 1, 2], a._me)
    after = [store.read(n) for n in range(2)]
    assert after[0].mark != before[0].mark
    assert replace(after[0], mark=None) == replace(before[0], mark=None)
    assert after[1] == before[1]
    assert a.settle(0)


def test_a_change_based_on_an_old_look_fails(store):
    assert store.write(0, None, Lease(1, "a"))
    assert not store.write(0, None, Lease(1, "b"))
    seen = store.read(0)
    assert store.write(0, seen, Lease(1, "a", True))
    assert not store.write(0, seen, Lease(2, "b"))
    assert replace(store.read(0), mark=None) == Lease(1, "a", True)


def test_an_owner_nobody_can_read_is_followed_when_its_time_is_over(drivers, store, clock):
    store.write(0, None, Lease(3, '{"a later": "version"}'))
    a = drivers(60)
    assert a.claim(0) is None
    clock.now += 60
    assert a.claim(0) == 4


def test_one_of_many_follows(drivers, store, ended):
    for number in range(20):
        store.write(number, None, Lease(1, ended))
    each = [drivers() for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda driver: [driver.claim(n) for n in range(20)], each))
    assert [sorted(map(str, attempts)) for attempts in zip(*found, strict=True)] == [["2"] + ["None"] * 5] * 20


@pytest.mark.parametrize("kind", ["sql", "files"])
def test_studies_are_apart(kind, tmp_path):
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
def test_studies_in_memory_are_apart(url):
    with Leases.of(url, "s") as a, Leases.of(url, "s") as b:
        assert [a.claim(0), b.claim(0)] == [1, 1]


# The thread that beats.


def test_what_is_held_is_kept_by_beats(store):
    with Leases(store, lease_s=0.04) as a:
        a.claim(0)
        for _ in range(3):
            before = store.read(0).mark
            until(lambda before=before: store.read(0).mark != before)
        a.release(0)
        released = store.read(0).mark
        a.claim(1)
        before = store.read(1).mark
        until(lambda: store.read(1).mark != before)
        assert store.read(0).mark == released


def test_what_is_settled_is_kept_while_it_is_told(store, clock):
    with Leases(store, 0.04, clock) as a:
        a.claim(0)
        a.claim(1)
        a.settle(0)
        before = store.read(0).mark
        until(lambda: store.read(0).mark != before)
        clock.now += 0.04
        for _ in range(2):  # the second of these beats began after the clock was set
            before = store.read(1).mark
            until(lambda before=before: store.read(1).mark != before)
        told = store.read(0).mark
        before = store.read(1).mark
        until(lambda: store.read(1).mark != before)
        assert store.read(0).mark == told


class Broken(MemoryLeaseStore):
    failures = 0
    beats = 0

    def heartbeat(self, numbers, owner):
        if self.failures < 3:
            self.failures += 1
            raise OperationalError("UPDATE", {}, Exception("server closed the connection"))
        self.beats += 1


def test_a_storage_that_is_away_does_not_end_the_beats(caplog):
    store = Broken()
    with Leases(store, lease_s=0.04) as a:
        a.claim(0)
        until(lambda: store.beats > 1)
    assert caplog.text.count("could not be renewed") == 1
    assert "server closed the connection" in caplog.text


def test_the_end_is_no_error_when_the_storage_is_away(caplog, monkeypatch):
    store, asked = MemoryLeaseStore(), []

    def down(number):
        asked.append(number)
        raise OperationalError("SELECT", {}, Exception("server closed the connection"))

    with Leases(store) as a:
        a.claim(0)
        a.claim(1)
        monkeypatch.setattr(store, "read", down)
    assert len(asked) == 1  # each further trial would cost as much time again
    assert "lapses by itself" in caplog.text


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
    assert a.settle(0)
    assert drivers().claim(0) is None


# Owners.


def test_an_owner_here_is_known_to_live():
    assert ProcessIdentity.here().gone() is False
    assert ProcessIdentity.here() != ProcessIdentity.here()


def test_an_owner_that_ended_is_gone(ended):
    assert ProcessIdentity(**json.loads(ended)).gone() is True


def test_a_zombie_is_gone():
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        started = process_identity._started(psutil.Process(child.pid))
        until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
        assert replace(ProcessIdentity.here(), pid=child.pid, started=started).gone() is True


def test_another_process_with_the_same_number_is_not_the_owner():
    here = ProcessIdentity.here()
    assert replace(here, started=here.started - 5).gone() is True


@pytest.mark.parametrize("fields", [{"host": "elsewhere"}, {"boot": "earlier"}])
def test_what_ran_elsewhere_cannot_be_known(fields):
    assert replace(ProcessIdentity.here(), pid=2**22 + 1, **fields).gone() is None


def test_an_owner_is_the_same_after_the_clock_is_set(monkeypatch):
    here = ProcessIdentity.here()
    created, boot = psutil.Process.create_time, psutil.boot_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: created(self) + 3600 * psutil.LINUX)
    monkeypatch.setattr(psutil, "boot_time", lambda: boot() + 3600)
    assert here.gone() is False


def test_a_process_of_another_user_cannot_be_known_where_they_are_hidden(monkeypatch):
    def hidden(pid):
        raise psutil.NoSuchProcess(pid)

    def denied(pid, number):
        raise PermissionError

    here = ProcessIdentity.here()
    monkeypatch.setattr(psutil, "Process", hidden)
    assert here.gone() is True
    monkeypatch.setattr(os, "kill", denied)
    assert here.gone() is None


# Processes.

CHILD = """
import os, sys, time
from pathlib import Path
from phalanx.study.leases import Leases

url, what = sys.argv[1:3]
if what == "race":  # from the very start: they also create the book together
    import sqlalchemy
    print("ready", flush=True)
    sys.stdin.readline()
leases = Leases.of(url, "s")


def say(*words):
    print(*words, flush=True)


def count(file, times):
    for _ in range(times):
        with leases.alone():
            number = int(file.read_text())
            time.sleep(0.001)
            file.write_text(str(number + 1))


if what == "hold":
    leases.claim(-5)  # starts the beats
    say("holds", [leases.claim(n) for n in range(3)])
    sys.stdin.readline()
    say("settles", [leases.settle(n) for n in range(3)])
elif what == "inside":
    with leases.alone():
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


def test_a_killed_driver_is_followed_at_once(child, url):
    holder = child("hold")
    assert holder.hear() == "holds [1, 1, 1]"
    with Leases.of(url, "s") as own:
        assert [own.claim(n) for n in range(3)] == [None] * 3
        os.kill(holder.process.pid, signal.SIGKILL)
        until(
            lambda: ProcessIdentity(**json.loads(own._store.read(0).owner)).gone()
        )  # dead, though not waited for: a zombie
        assert [own.claim(n) for n in range(3)] == [2, 2, 2]
        assert [own.settle(n) for n in range(3)] == [True] * 3


def test_a_stopped_driver_is_followed_when_its_time_is_over_and_then_cannot_settle(child, url, clock):
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
        assert holder.hear() == "settles [False, False, True]"
        assert [own.settle(n) for n in range(2)] == [True, True]


def test_one_process_at_a_time_is_inside(child, tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    counting = [child(counter) for _ in range(4)]
    assert [each.hear() for each in counting] == ["ready"] * 4
    for each in counting:
        each.go()
    assert [each.hear() for each in counting] == ["counted"] * 4
    assert counter.read_text() == "100"


def test_one_that_is_killed_inside_is_followed(child, url):
    holder = child("inside")
    assert holder.hear() == "inside"
    with Leases.of(url, "s") as own:
        with pytest.raises(LeaseTimeout, match="'ask' for 0 s"), own.alone(timeout_s=0):
            pass
        with own.alone("another part"):
            pass
        os.kill(holder.process.pid, signal.SIGKILL)
        with own.alone(timeout_s=PATIENCE_S):
            pass


def test_one_thread_at_a_time_is_inside(drivers):
    both, inside = [drivers(), drivers()], []

    def enter(driver):
        for _ in range(10):
            with driver.alone():
                inside.append(1)
                assert len(inside) == 1
                inside.pop()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(enter, both * 3))


def test_a_thread_that_waits_too_long_is_told(drivers):
    driver = drivers()
    with driver.alone(), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: driver.alone(timeout_s=0).__enter__())
        with pytest.raises(LeaseTimeout, match="another thread"):
            waiting.result()


def test_an_error_inside_lets_others_in(drivers):
    with pytest.raises(ZeroDivisionError), drivers().alone():
        _ = 1 / 0
    with drivers().alone(timeout_s=0):
        pass


# Files.


@pytest.mark.parametrize("text", ["", '[2, "{', "3\n", '{"a": 1}\n'])
def test_a_file_that_was_not_written_whole_is_waited_for(text, tmp_path, clock):
    store = FileLeaseStore(tmp_path, "s")
    store.write(0, None, Lease(1, ""))
    store._file(0, 2).write_text(text)
    with Leases(store, 60, clock) as a:
        assert a.claim(0) is None
        clock.now += 60
        assert a.claim(0) == 3
        assert a.settle(0)


def test_old_versions_are_cleared_away_and_cannot_be_written_again(tmp_path, clock):
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
