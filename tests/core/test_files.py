"""Files are written whole or not at all, and nothing temporary stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from support.processes import ended_process

from phalanx.core import files
from phalanx.core.files import replacing, write_json, write_text
from phalanx.core.process_identity import ProcessIdentity, labelled_gone, own_label

KILLED = """
import os, signal, sys
from pathlib import Path
from phalanx.core.files import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half a")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def ended_label() -> str:
    return ProcessIdentity(**json.loads(ended_process())).label


def test_what_a_killed_writer_left_is_deleted_by_the_next_one(tmp_path):
    file = tmp_path / "trials.csv"
    subprocess.run([sys.executable, "-c", KILLED, file], check=False)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".trials.csv.")
    write_text(tmp_path / "another.json", "{}")
    assert [path.name for path in tmp_path.iterdir()] == ["another.json"]


def test_what_a_living_writer_is_writing_stays(tmp_path):
    with replacing(tmp_path / "a.csv") as one:
        one.write_text("one")
        write_text(tmp_path / "a.csv", "two")
        assert one.read_text() == "one"
    assert (tmp_path / "a.csv").read_text() == "one"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("age_s", "stays"), [(files.DAY_S - 60, True), (files.DAY_S + 60, False)])
def test_what_another_host_left_is_deleted_after_a_day(tmp_path, age_s, stays):
    left = tmp_path / ".a.csv.00000000-1-1-abcdef01.csv"
    left.write_text("half a")
    written = left.stat().st_mtime - age_s
    os.utime(left, (written, written))
    write_text(tmp_path / "a.csv", "whole")
    assert left.exists() is stays


def test_files_of_other_programs_stay(tmp_path):
    names = [".a.csv.swp", ".a.csv", f".a.csv.{ended_label()}", f"a.csv.{ended_label()}-abcdef01.csv", ".train.lock"]
    for name in names:
        (tmp_path / name).write_text("theirs")
    write_text(tmp_path / "b.csv", "ours")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names, "b.csv"])


def test_an_error_names_the_file_and_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "trials.csv").mkdir()
    with pytest.raises(IsADirectoryError) as refused:
        write_text(tmp_path / "trials.csv", "text")
    assert str(refused.value).endswith(f"Is a directory: '{tmp_path / 'trials.csv'}'")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*best\.json'"):
        write_json(tmp_path / "best.json", {})
    assert [path.name for path in tmp_path.iterdir()] == ["trials.csv"]


def test_an_error_about_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="source"), replacing(tmp_path / "target"):
        (tmp_path / "source").read_text()


def test_a_name_as_long_as_the_system_allows_is_written(tmp_path):
    write_text(tmp_path / ("n" * 250 + ".csv"), "text")
    assert (tmp_path / ("n" * 250 + ".csv")).read_text() == "text"


def test_a_label_says_of_its_process_whether_it_has_ended():
    assert labelled_gone(own_label()) is False
    assert labelled_gone(ended_label()) is True
    assert labelled_gone("00000000-1-1") is None
    assert labelled_gone("no label") is None


def test_a_fork_has_a_label_of_its_own():
    own, (reads, writes) = own_label(), os.pipe()
    if (child := os.fork()) == 0:
        os.write(writes, own_label().encode())
        os._exit(0)
    os.waitpid(child, 0)
    told = os.read(reads, 100).decode()
    assert told != own
    assert labelled_gone(told) is True
