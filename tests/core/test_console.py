"""What people choose is printed as it is, whatever Rich would make of it."""

from __future__ import annotations

import ast
import io
import logging
import re
import sys
from types import SimpleNamespace

import pytest
from rich.table import Table
from support.forked import train
from support.places import ROOT
from support.run_folders import stored

from phalanx.core.console import busy, plain_console, print_line
from phalanx.jobs.run_progress import RunProgress
from phalanx.jobs.sweep_progress import SweepProgress

TEXTS = ["data.drop=[a],[b]", "data.drop=[/a],[b]", "outputs/my[lr]sweep", "outputs/q[/y]", "a[bold]:cat:", "x\\[b]"]
PARSING = {"Text.from_markup", "rich.print"}


@pytest.mark.parametrize("text", TEXTS)
def test_text_is_printed_as_it_is(text):
    out = io.StringIO()
    console = plain_console(out, 80)
    table = Table(text, title=text)
    table.add_row(text)
    print_line(console, text)
    console.print(text)
    console.print(table)
    assert out.getvalue().count(text) == 5


@pytest.mark.parametrize("text", TEXTS)
def test_a_sweep_on_a_terminal_shows_overrides_and_folders_as_they_are(text):
    out = io.StringIO()
    progress = SweepProgress(plain_console(out, 160, terminal=True), 2, "maximize")
    progress.start(text)
    best = [stored(0.9, number=0, overrides={"data.drop": text}), stored(0.8, number=1, overrides={"data.drop": "[]"})]
    for trial in best:
        progress.add(trial)
    progress.training(text)
    progress.bar.refresh()
    progress.stop()
    progress.summary(best, text)
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue()).splitlines()
    assert lines[0].endswith(f" in {text}")
    assert any(f"·  {text}" in line for line in lines)
    assert any(f"data.drop={text}" in line for line in lines)
    assert lines[-1] == f"files: {text}"


def test_nothing_else_makes_consoles_or_reads_markup():
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if " rich" in text else ():
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            assert name not in PARSING, path
            assert name != "Console" or path.name == "console.py", path
            if name == "TextColumn":
                assert "markup=False" in ast.unparse(node), path
            if name == "Progress":  # whose default is a console of Rich's
                assert any(keyword.arg == "console" for keyword in node.keywords), path


def test_a_terminal_shows_what_was_typed(tmp_path):
    rows = [f"{i % 7},{i % 2},{i % 5},{'no' if i % 2 else 'yes'}" for i in range(60)]
    tmp_path.joinpath("t.csv").write_text("\n".join(["/a,b,c,y", *rows]))
    table = ["data=csv", "data.path=t.csv", "data.target=y", "trainer.epochs=1", "tracking=none"]
    sweep = ["-m", "data.drop=[/a],[b]", "hydra.sweep.dir='outputs/my[lr]sweep'"]
    done = train(*table, *sweep, cwd=tmp_path, check=0, TTY_COMPATIBLE="1")
    for text in ("data.drop=[/a]", "data.drop=[b]", "files: outputs/my[lr]sweep"):
        assert text in done.stdout
    done = train(*table, "hydra.run.dir='outputs/q[/y]'", cwd=tmp_path, check=0, TTY_COMPATIBLE="1")
    assert "files: outputs/q[/y]" in done.stdout
    assert done.stdout.splitlines()[1].startswith("with data=csv data.path=t.csv data.target=y trainer.epochs=1")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def log(monkeypatch):
    """The root logger with one handler, which a run's configuration gives it: to standard error."""
    log = logging.getLogger()
    monkeypatch.setattr(log, "handlers", [])

    def warn():
        log.warning("down: %s", "phalanx sync " + "a/" * 60)

    def configure(stderr):
        monkeypatch.setattr(sys, "stderr", stderr)
        log.addHandler(logging.StreamHandler(sys.stderr))
        return stderr

    return SimpleNamespace(warn=warn, configure=configure)


MESSAGE = "down: phalanx sync " + "a/" * 60 + "\n"
DISPLAYS = [lambda console: busy(console, "drawing"), lambda console: RunProgress(console)]


@pytest.mark.parametrize("what", DISPLAYS)
def test_a_message_stands_above_what_a_terminal_shows_in_place(what, log):
    out, stderr = io.StringIO(), log.configure(Terminal())
    with what(plain_console(out, 80, terminal=True)):
        log.warn()
    assert re.search(r"(^|\x1b\[2K)" + MESSAGE, out.getvalue())
    assert stderr.getvalue() == ""
    log.warn()
    assert (stderr.getvalue(), sys.stderr) == (MESSAGE, stderr)


def test_a_logger_that_is_configured_while_a_bar_is_shown_goes_on_after_it(log, monkeypatch):
    out, stderr = io.StringIO(), Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    with busy(plain_console(out, 80, terminal=True), "training"):
        logging.getLogger().addHandler(logging.StreamHandler(sys.stderr))
    log.warn()
    assert stderr.getvalue() == MESSAGE
    with busy(plain_console(out, 80, terminal=True), "drawing"):
        log.warn()
    assert re.search(r"\x1b\[2K" + MESSAGE, out.getvalue())
    assert stderr.getvalue() == MESSAGE


@pytest.mark.parametrize("what", DISPLAYS)
def test_messages_go_to_a_file_that_takes_standard_error(what, log):
    out, stderr = io.StringIO(), log.configure(io.StringIO())
    with what(plain_console(out, 80, terminal=True)):
        log.warn()
    assert "down" not in out.getvalue()
    assert stderr.getvalue() == MESSAGE


def test_a_line_without_an_end_is_shown_at_the_latest_when_the_bar_goes(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", Terminal())
    with busy(plain_console(out, 80, terminal=True), "drawing"):
        sys.stderr.write("one\ntwo")
        assert "one\n" in out.getvalue()
        assert "two" not in out.getvalue()
    assert "two\n" in out.getvalue()
