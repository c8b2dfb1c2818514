"""The command `phalanx` in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import phalanx
from phalanx.cli.main import main

# Without PYTHONUNBUFFERED, under which a broken pipe or a full disk shows itself in another way.
ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"},
    "PYTHONPATH": str(Path(phalanx.__file__).parents[1]),
    "PYTHONUTF8": "1",
}


def phalanx_command(
    *arguments: Any, variables: dict[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with these environment variables beside its usual ones."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    command = [sys.executable, "-m", "phalanx", *map(str, arguments)]
    return subprocess.run(command, text=True, env=ENVIRONMENT | (variables or {}), check=False, **options)


def refusal(capsys: Any, *arguments: Any) -> str:
    """What the command says, its lines joined, when it ends with 2 and prints nothing else."""
    assert main([*map(str, arguments)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    return " ".join(said.err.split())


def assert_refused(capsys: Any, arguments: list[Any], message: str) -> None:
    """The command ends with 2 and one message, without output and without a traceback."""
    assert main(["predict", *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("phalanx: ")
    assert message in err
    assert err.count("\n") <= 9
