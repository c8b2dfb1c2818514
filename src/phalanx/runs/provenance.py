"""Where a run comes from: machine, versions, git commit, uncommitted changes."""

import contextlib
import os
import platform
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from phalanx.core.files import write_text
from phalanx.core.redaction import redact_source
from phalanx.runs.layout import TrackedPaths

PACKAGES = ("phalanx", "torch", "numpy", "hydra-core", "omegaconf", "optuna", "mlflow")
DIFF_BYTES = 1_000_000  # more of the uncommitted changes is left out


@cache
def versions() -> dict[str, str | None]:
    """Versions of Python and of the packages that the numbers depend on; None for one that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


@cache
def machine() -> str:
    """The processor, its cores and the operating system, without the name of the host."""
    models = (line.partition(":")[2].strip() for line in _cpu_info() if line.startswith("model name"))
    processor = next(models, "") or platform.processor() or platform.machine()
    return f"{processor}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"


def _cpu_info() -> list[str]:
    """The lines of Linux's description of the processors; none elsewhere."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return Path("/proc/cpuinfo").read_text().splitlines()
    return []


@dataclass(frozen=True)
class GitState:
    """The commit of the working folder and whether it has uncommitted changes; None outside a repository."""

    commit: str | None = None
    dirty: bool | None = None


@cache
def git_state() -> GitState:
    """The state of the working folder's repository, looked up once a process."""
    commit = _git("rev-parse", "HEAD")
    status = _git("status", "--porcelain") if commit is not None else None
    return GitState(commit, None if status is None else bool(status))


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def write_diff(root: Path) -> None:
    """Writes the uncommitted changes of the working folder, once a folder, without secrets."""
    paths = TrackedPaths(root)
    if paths.diff.exists() or paths.identity.is_file():
        return
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(["git", "diff", "HEAD", "--no-color", "--no-ext-diff"], capture_output=True, timeout=10)
        text = redact_source(done.stdout[:DIFF_BYTES].decode("utf-8", "replace"))
        if done.returncode == 0 and text:
            more = len(done.stdout) - DIFF_BYTES
            write_text(paths.diff, text + (f"\n# {more} more bytes were left out\n" if more > 0 else ""))
