"""A process is recognised, and known to have ended, whatever happens to its number, its zombie and the clock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest
from support.processes import ended_process
from support.waiting import until

from phalanx.core import process_identity
from phalanx.core.process_identity import ProcessIdentity


def test_this_process_is_alive():
    assert ProcessIdentity.here().gone() is False
    assert ProcessIdentity.here() != ProcessIdentity.here()


def test_a_process_that_ended_is_gone():
    assert ProcessIdentity(**json.loads(ended_process())).gone() is True


def test_a_zombie_is_gone():
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        started = process_identity._started(psutil.Process(child.pid))
        until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
        assert replace(ProcessIdentity.here(), pid=child.pid, started=started).gone() is True


def test_another_process_with_the_same_number_is_told_apart():
    here = ProcessIdentity.here()
    assert replace(here, started=here.started - 5).gone() is True


@pytest.mark.parametrize("fields", [{"host": "elsewhere"}, {"boot": "earlier"}])
def test_a_process_elsewhere_cannot_be_judged(fields):
    assert replace(ProcessIdentity.here(), pid=2**22 + 1, **fields).gone() is None


def test_a_process_is_recognised_after_the_clock_is_set(monkeypatch):
    here = ProcessIdentity.here()
    created, boot = psutil.Process.create_time, psutil.boot_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: created(self) + 3600 * psutil.LINUX)
    monkeypatch.setattr(psutil, "boot_time", lambda: boot() + 3600)
    assert here.gone() is False


def test_a_hidden_process_of_another_user_cannot_be_judged(monkeypatch):
    def hidden(pid):
        raise psutil.NoSuchProcess(pid)

    def denied(pid, number):
        raise PermissionError

    here = ProcessIdentity.here()
    monkeypatch.setattr(psutil, "Process", hidden)
    assert here.gone() is True
    monkeypatch.setattr(os, "kill", denied)
    assert here.gone() is None
