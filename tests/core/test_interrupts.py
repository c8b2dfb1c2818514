"""Ctrl-C and SIGTERM: `KeyboardInterrupt` is never lost, and never raised where its traceback would be printed."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import weakref

import pytest
from sqlalchemy import create_engine, event

from phalanx.core import interrupts
from phalanx.core.interrupts import INTERRUPT, SIGNALS, interruptible
from phalanx.training.interrupts import EpochEnd


@pytest.fixture(autouse=True)
def handlers():
    before = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGALRM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def dropped(monkeypatch):
    """What Python could not raise, and would print."""
    found = []
    monkeypatch.setattr(sys, "unraisablehook", lambda broken: found.append(repr(broken.exc_value)))
    return found


def interrupt(number=signal.SIGTERM):
    os.kill(os.getpid(), number)
    for _ in range(10):  # Python runs a handler between two instructions
        time.sleep(0)


def wait(done=lambda: False):
    end = time.monotonic() + 10
    while not done() and time.monotonic() < end:
        time.sleep(0.001)


def then_wait(action):
    action()
    wait()


def inside(package, action):
    """Calls a function from a module of that name."""
    namespace = {"__name__": package, "action": action}
    exec("def call(): action()", namespace)
    namespace["call"]()


class Ends:
    def __del__(self):
        interrupt()


class Weak:
    pass


def by_callback():
    ended = Weak()
    weakref.finalize(ended, interrupt)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_connection_that_goes_back_to_its_pool_logs_no_traceback(number, caplog):
    engine = create_engine("sqlite://")
    event.listen(engine, "reset", lambda *_: interrupt(number))
    with interruptible(), pytest.raises(KeyboardInterrupt):
        then_wait(lambda: engine.connect().close())
    assert caplog.messages == []


@pytest.mark.parametrize("lose", [Ends, by_callback], ids=["__del__", "callback of a weak reference"])
def test_an_interrupt_where_python_drops_it_comes_a_little_later(lose, dropped):
    with interruptible(), pytest.raises(KeyboardInterrupt):
        then_wait(lose)
    assert dropped == []


def test_it_comes_at_once_elsewhere_and_at_the_second_signal():
    reached = []
    with interruptible():
        with pytest.raises(KeyboardInterrupt):
            interrupt()
        assert INTERRUPT.waiting is None
        with pytest.raises(KeyboardInterrupt):
            inside("sqlalchemy.pool", lambda: [interrupt(), reached.append(1), interrupt(), reached.append(2)])
        assert reached == [1]
        wait(lambda: signal.getitimer(signal.ITIMER_REAL)[0] == 0)  # the timer of the first raises nothing


def test_a_call_that_lasts_is_interrupted_after_all(monkeypatch):
    monkeypatch.setattr(interrupts, "WAIT_S", 0.03)
    with interruptible(), pytest.raises(KeyboardInterrupt):
        inside("rich.live", lambda: [interrupt(), wait()])


def test_an_epoch_that_trains_meanwhile_ends_first():
    end = EpochEnd()
    end.last_s = 0.0
    with interruptible():
        inside("sqlalchemy.engine", interrupt)
        with end.awaited(True):
            wait(lambda: end.asked)
    assert end.asked


def test_handlers_of_others_and_other_threads_are_left_alone():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    before = signal.getsignal(signal.SIGTERM)
    with interruptible():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is INTERRUPT
    assert signal.getsignal(signal.SIGTERM) is before
    found = []

    def elsewhere():
        with interruptible():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [before]

    signal.signal(signal.SIGALRM, lambda *_: None)  # of somebody's own
    with interruptible(), pytest.raises(KeyboardInterrupt):
        inside("sqlalchemy.pool", interrupt)
