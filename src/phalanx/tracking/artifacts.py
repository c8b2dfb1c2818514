"""Files of a run as MLflow artifacts: into a folder of this machine directly, weights and plots without a copy."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import phalanx.tracking.content as content
from phalanx.core.redaction import redact
from phalanx.runs.stored_run import StoredRun

LINKED = (".safetensors", ".png")  # never written in place, so two names may share the bytes


class Run(Protocol):
    run_id: str
    artifact_uri: str


def local(artifact_uri: str) -> Path | None:
    """The artifacts' folder, where it is one of this machine."""
    parts = urlsplit(artifact_uri)
    return Path(unquote(parts.path)) if parts.scheme in ("", "file") else None


def upload(
    client: Any, run: Run, files: Iterable[tuple[Path, str | None]], result: StoredRun | None = None
) -> None:  # fmt: skip
    """The files, each into its artifact folder, texts without passwords; `result` is written as result.json."""
    folder = local(run.artifact_uri)
    if folder is not None:
        _stage(run, files, result, folder)
        return
    with tempfile.TemporaryDirectory() as scratch:
        _stage(run, files, result, Path(scratch))
        client.log_artifacts(run.run_id, scratch)


def _stage(
    run: Run, files: Iterable[tuple[Path, str | None]], result: StoredRun | None, target: Path
) -> None:  # fmt: skip
    for path, folder in files:
        place = target / folder if folder else target
        place.mkdir(parents=True, exist_ok=True)
        _put(path, place / path.name)
    if result is not None:
        target.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**result.to_json(), "mlflow_run_id": run.run_id}, indent=2)
        (target / "result.json").write_text(redact(text) + "\n", encoding="utf-8")


def _put(path: Path, target: Path) -> None:
    if path.suffix in content.TEXT:
        target.write_text(redact(path.read_text(encoding="utf-8", errors="replace")), encoding="utf-8")
        return
    target.unlink(missing_ok=True)
    if path.suffix in LINKED:
        with contextlib.suppress(OSError):  # another file system, or one without links
            os.link(path, target)
            return
    shutil.copyfile(path, target)
