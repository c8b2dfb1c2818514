"""Standard output that cannot be written any more: the program goes on, and says so at its end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.train_command import environment

CODE = """
import sys
from phalanx.core.output import lasting_output
with lasting_output() as lost:
    for i in range(20_000):
        print("line", i)
    print("an error", file=sys.stderr)
sys.exit(f"lost: {lost[0].strerror}" if lost else 0)
"""


def printed(stdout, **options):
    command = [sys.executable, "-c", CODE]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, env=environment(), **options)


def test_output_that_can_be_written_is_complete():
    done = printed(subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, "an error\n")
    assert done.stdout == "".join(f"line {i}\n" for i in range(20_000))


def test_a_reader_that_stops_ends_nothing():
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = printed(writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "an error\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's always full device")
def test_a_full_device_is_named_at_the_end():
    with open("/dev/full", "w") as full:
        done = printed(full)
    assert (done.returncode, done.stderr) == (1, "an error\nlost: No space left on device\n")


def test_a_stream_without_a_descriptor_stays_as_it_is(capsys):
    from phalanx.core.output import lasting_output

    with lasting_output() as lost:
        print("seen")
    assert (capsys.readouterr().out, lost) == ("seen\n", [])
