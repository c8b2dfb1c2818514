"""Files that the user names: what each command does with links, modes, pipes, devices, and files that it reads."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.comparisons import A, B
from support.phalanx_command import ENVIRONMENT, phalanx_command
from support.run_folders import write_grid

from phalanx.cli.main import main
from phalanx.core.named_files import write_named

pytest_plugins = ("support.saved_models",)

OPTIONS = {  # of every command that writes a file: arguments, the option, the end of the file's name, how it begins
    "predict": (["predict", "run", "x.npy"], "--output", ".csv", b"row,"),
    "predict, JSON": (["predict", "run", "x.npy"], "--output", ".json", b"[\n"),
    "compare, CSV": (["compare", "grid", "--by", "loss"], "--csv", ".csv", b"data,"),
    "compare, Markdown": (["compare", "grid", "--by", "loss"], "--markdown", ".md", b"**"),
    "compare, SVG": (["compare", "grid", "--by", "loss"], "--figure", ".svg", b"<?xml"),
    "compare, PNG": (["compare", "grid", "--by", "loss"], "--figure", ".png", b"\x89PNG"),
    "diff, CSV": (["diff", "grid/0", "grid/6"], "--csv", ".csv", b"section,"),
    "diff, SVG": (["diff", "grid/0", "grid/6"], "--figure", ".svg", b"<?xml"),
    "inspect": (["inspect", "run"], "--figure", ".svg", b"<?xml"),
    "report": (["report", "grid"], "--output", ".html", b"<!doctype html>"),
}


@pytest.fixture
def place(run: Path, images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder, with a run, a grid and rows to predict."""
    shutil.copytree(run, tmp_path / "run")
    np.save(tmp_path / "x.npy", images)
    write_grid(tmp_path / "grid", {"mse": B, "nll": A})
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o022)
    yield tmp_path
    os.umask(before)


def no_temporary(folder: Path) -> bool:
    return not [path for path in folder.rglob(".*") if path.name.startswith(".") and path.name != ".hydra"]


@pytest.mark.parametrize("name", OPTIONS)
def test_a_link_stays_a_link_and_a_file_keeps_its_mode(name: str, place: Path) -> None:
    arguments, option, end, begin = OPTIONS[name]
    (place / "elsewhere").mkdir()
    target, link = place / "elsewhere" / f"shared{end}", place / f"out{end}"
    target.write_text("before")
    target.chmod(0o640)
    link.symlink_to(f"elsewhere/shared{end}")
    assert main([*arguments, option, str(link)]) == 0
    assert os.readlink(link) == f"elsewhere/shared{end}"
    assert target.read_bytes().startswith(begin)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    target.unlink()
    assert main([*arguments, option, str(link)]) == 0  # a link to a file that is to be made
    assert target.read_bytes().startswith(begin)
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert no_temporary(place)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_pipe_gets_the_content_and_stays(name: str, place: Path, capsys: Any) -> None:
    arguments, option, end, begin = OPTIONS[name]
    os.mkfifo(fifo := place / f"pipe{end}")
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(fifo.read_bytes()), daemon=True)
    reader.start()
    assert main([*arguments, option, str(fifo)]) == 0
    reader.join(20)
    assert found[0].startswith(begin)
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    captured = capsys.readouterr()
    assert f"to {fifo}\n" in captured.err or f"wrote {fifo}\n" in captured.err
    assert no_temporary(place)


@pytest.mark.parametrize("name", OPTIONS)
def test_devices_are_written_to_and_a_full_one_ends_with_1(name: str, place: Path, capsys: Any) -> None:
    arguments, option, end, _ = OPTIONS[name]
    for device, status in (("/dev/null", 0), ("/dev/full", 1)):
        link = place / f"{Path(device).name}{end}"
        link.symlink_to(device)
        assert main([*arguments, option, str(link)]) == status
        assert stat.S_ISCHR(Path(device).lstat().st_mode)
        assert link.is_symlink()
    assert f"phalanx: [Errno 28] No space left on device: '{link}'\n" in capsys.readouterr().err


def test_a_full_disk_leaves_the_file_as_it_was(place: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for arguments, option, end, _ in OPTIONS.values():
        target, link = place / f"kept{end}", place / f"link{end}"
        target.write_text("before")
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        assert main([*arguments, option, str(link)]) == 1
        assert target.read_text() == "before"
        assert "No space left on device" in capsys.readouterr().err
    assert no_temporary(place)


def test_standard_output_as_a_file_gets_the_table_alone(place: Path) -> None:
    wanted = phalanx_command("predict", "run", "x.npy").stdout
    done = phalanx_command("predict", "run", "x.npy", "--output", "/dev/stdout")
    assert (done.returncode, done.stdout, done.stderr) == (0, wanted, "wrote 11 predictions to /dev/stdout\n")
    target = place / "all.csv"
    target.write_text("kept\n")
    with open(target, "a") as file:  # as `>> all.csv` has it
        assert phalanx_command("predict", "run", "x.npy", "--output", "/dev/stdout", stdout=file).returncode == 0
    assert target.read_text() == f"kept\n{wanted}"
    with open("/dev/full", "w") as file:
        done = phalanx_command("predict", "run", "x.npy", "--output", "/dev/stdout", stdout=file)
    assert (done.returncode, done.stderr) == (1, "phalanx: [Errno 28] No space left on device: '/dev/stdout'\n")


@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}", "link"])
def test_an_open_file_is_written_to_where_it_stands(name: str, tmp_path: Path) -> None:
    file = tmp_path / "open.txt"
    with open(file, "w") as opened:
        opened.write("before\n")
        opened.flush()
        path = Path(name.format(opened.fileno()))
        if name == "link":
            path = tmp_path / "link"
            path.symlink_to(f"/dev/fd/{opened.fileno()}")
        write_named(path, "table\n")
        opened.write("after\n")
    assert file.read_text() == "before\ntable\nafter\n"


def test_a_command_of_the_shell_may_read_it(place: Path) -> None:
    line = f"{sys.executable} -m phalanx predict run x.npy --output >(sort > sorted.csv); sleep 0.1"
    line = f"{line}; for i in {{1..100}}; do [ -s sorted.csv ] && break; sleep 0.1; done"
    subprocess.run(["bash", "-c", line], env=ENVIRONMENT, check=True, capture_output=True)
    wanted = phalanx_command("predict", "run", "x.npy").stdout
    assert sorted((place / "sorted.csv").read_text().split()) == sorted(wanted.split())


def test_both_tables_of_a_comparison_go_into_one_pipe(place: Path) -> None:
    done = phalanx_command("compare", "grid", "--by", "loss", "--csv", "/dev/stderr")
    assert done.returncode == 0
    assert main(["compare", "grid", "--by", "loss", "--csv", "t.csv"]) == 0
    both = f"{(place / 't.csv').read_text()}\n{(place / 't_differences.csv').read_text()}"
    assert done.stderr == f"{both}wrote /dev/stderr\n"
    assert not Path("/dev/stderr_differences").exists()


REFUSED = {
    "the rows": (["predict", "run", "x.npy", "--output", "x.npy"], "is what this command reads"),
    "a link to the rows": (["predict", "run", "x.npy", "--output", "link"], "is what this command reads"),
    "another name of the rows": (["predict", "run", "x.npy", "--output", "hard"], "is what this command reads"),
    "an image of the folder": (["predict", "run", "images", "--output", "images/1.png"], "is what this command reads"),
    "the model": (["predict", "run", "x.npy", "--output", "run/model.safetensors"], "is a file of the run or sweep"),
    "a model without a run": (["predict", "m.safetensors", "x.npy", "--output", "m.safetensors"], "what this command reads"),
    "a result": (["report", "grid/0", "--output", "grid/0/result.json"], "is a file of the run or sweep"),
    "a result of another run": (["compare", "grid", "--by", "loss", "--csv", "run/result.json"], "is a file of the run"),
    "overrides": (["compare", "grid", "--markdown", "grid/1/.hydra/overrides.yaml"], "is a file of the run or sweep in"),
    "two tables in one file": (["compare", "grid", "--csv", "t", "--markdown", "./t"], "--csv t and --markdown t are one file"),
    "a table in another's place": (["compare", "grid", "--csv", "a.csv", "--markdown", "a_differences.csv"], "are one file"),
    "a folder in the second table's place": (["compare", "grid", "--csv", "b.csv"], "the table of differences is a folder"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_be_lost_is_refused(case: str, place: Path, images: np.ndarray, capsys: Any) -> None:
    from support.saved_models import write_png

    write_png(place / "images" / "1.png", images[0])
    shutil.copy("run/model.safetensors", "m.safetensors")
    (place / "link").symlink_to("x.npy")
    os.link("x.npy", "hard")
    (place / "b_differences.csv").mkdir()
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    arguments, said = REFUSED[case]
    assert main(arguments) == 2
    assert said in capsys.readouterr().err
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def test_what_a_folder_of_a_run_has_no_name_for_may_be_written_there(place: Path) -> None:
    for arguments, option, name in (
        (["report", "grid/0"], "--output", "grid/0/report.html"), (["predict", "run", "x.npy"], "--output", "run/p.csv"),
    ):  # fmt: skip
        for _ in range(2):
            assert main([*arguments, option, name]) == 0


def test_a_file_that_may_not_be_written_stays(place: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "out.csv").write_text("before")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everything
    assert main(["predict", "run", "x.npy", "--output", "out.csv"]) == 1
    assert capsys.readouterr().err == "phalanx: [Errno 13] Permission denied: 'out.csv'\n"
    assert (place / "out.csv").read_text() == "before"


def test_a_link_to_itself_is_told(place: Path, capsys: Any) -> None:
    (place / "a.csv").symlink_to("b.csv")
    (place / "b.csv").symlink_to("a.csv")
    assert main(["predict", "run", "x.npy", "--output", "a.csv"]) == 1
    assert "Too many levels of symbolic links: 'a.csv'" in capsys.readouterr().err


DISK = next((path for path in Path("/dev").iterdir() if path.is_block_device()), None)


@pytest.mark.parametrize("name", OPTIONS)
def test_what_is_no_file_is_refused_as_such(name: str, place: Path, capsys: Any) -> None:
    arguments, option, end, _ = OPTIONS[name]
    disk = place / f"disk{end}"
    if DISK is not None:
        disk.symlink_to(DISK)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"s{end}")
        for path, what in {"/dev": "a folder", f"s{end}": "a socket", f"disk{end}": "a block device"}.items():
            if Path(path).exists():
                assert main([*arguments, option, path]) == 2
                assert capsys.readouterr().err == f"phalanx: {option} {path} is {what}; give the name of a file\n"
    with pytest.raises(OSError, match="a folder: '/dev'"):
        write_named(Path("/dev"), "text")
