"""The command `phalanx`: help, exit status, and outputs that fail, with `predict` as the example."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.phalanx_command import ENVIRONMENT, phalanx_command
from support.saved_models import N_FEATURES

import phalanx
from phalanx.cli.main import COMMANDS, main

pytest_plugins = ("support.saved_models",)


def test_failure_to_write_is_status_1(run: Path, images: np.ndarray, tmp_path: Path, capsys: Any) -> None:
    np.save(tmp_path / "x.npy", images)
    (tmp_path / "file").write_text("")
    blocked = tmp_path / "file" / "below" / "out.csv"
    assert main(["predict", str(run), str(tmp_path / "x.npy"), "--output", str(blocked)]) == 1
    out, err = capsys.readouterr()
    assert (out, err[:9]) == ("", "phalanx: ")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's always full device")
def test_full_output_is_status_1_without_traceback(run: Path, images: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", images)
    with open("/dev/full", "w") as full:
        done = phalanx_command("predict", run, tmp_path / "x.npy", stdout=full)
    assert done.returncode == 1
    assert done.stderr == "phalanx: [Errno 28] No space left on device\n"


@pytest.mark.parametrize("n_rows", [1, 20_000])
def test_closed_pipe_is_tolerated(n_rows: int, run: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((n_rows, N_FEATURES)))
    command = [sys.executable, "-m", "phalanx", "predict", str(run), str(tmp_path / "x.npy")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=ENVIRONMENT, **pipes) as process:
        if n_rows > 1:
            assert process.stdout.readline().startswith(b"row,predicted")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_error_in_a_fresh_process_has_no_traceback(run: Path, tmp_path: Path) -> None:
    done = phalanx_command("predict", run, tmp_path / "absent.csv")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"phalanx: {tmp_path / 'absent.csv'}: there is no such file or folder\n"


def test_help_is_quick_and_has_examples() -> None:
    code = (
        "import sys; from phalanx.cli.main import COMMANDS, main\n"
        "try: main(['predict', '--help'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "print([name for name in ('torch', 'numpy', 'pandas', 'rich', 'matplotlib') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=True)
    assert done.stdout.endswith("[]\n")
    assert "examples:" in done.stdout
    assert "--top 3" in done.stdout


def test_command_alone_prints_help(capsys: Any) -> None:
    assert main([]) == 0
    assert "predict" in capsys.readouterr().out


def test_version(capsys: Any) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"phalanx {phalanx.__version__}\n"


@pytest.mark.parametrize("command", [module.__name__.rsplit(".", 1)[-1] for module in COMMANDS])
def test_help_has_examples(command: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    example = "my_project" if command == "new" else "outputs/sweeps/my_"
    assert f"  phalanx {command} {example}" in capsys.readouterr().out
