"""Files of runs and sweeps as MLflow artifacts; in a local artifact folder, weights and plots are links, not copies."""

import contextlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from phalanx.core.reading import MAX_DATA, MAX_TABLE, check_file, read_bytes
from phalanx.core.redaction import redact
from phalanx.runs.layout import RunPaths, SweepPaths, TrackedPaths

File = tuple[Path, str]  # a file, and the artifact folder that it goes to: "" the topmost
TEXT = (".json", ".yaml", ".csv", ".log", ".html", ".md", ".diff")
LINKED = (".safetensors", ".png")  # never written in place, so two names may share the bytes


def run_files(paths: RunPaths, *, with_log: bool) -> list[File]:
    """Returns the small files of a run that exist. Raises `UnreadableFile` for a pipe or a link out of the folder."""
    names = [paths.result, paths.metrics, paths.seeds, paths.config_resolved, *([paths.log] if with_log else [])]
    return _present(names, paths.root) + _present(sorted(paths.config.parent.glob("*.yaml")), paths.root, "hydra")


def late_files(paths: RunPaths) -> list[File]:
    """Returns the log, the uncommitted changes, and what only a kept run has, weights and plots; those that exist.

    Raises `UnreadableFile` for a pipe or a link out of the folder.
    """
    own = _present([paths.log, paths.model, TrackedPaths(paths.root).diff], paths.root)
    return own + _present(sorted(paths.plots.glob("*.png")), paths.root, "plots")


def sweep_files(root: Path) -> list[File]:
    """Returns the files of a sweep that exist, without those of its trials, which are runs of their own, and without
    out-of-fold predictions larger than `MAX_TABLE`.

    Raises `UnreadableFile` for a pipe or a link out of the folder.
    """
    kinds, aside = (".csv", ".yaml", ".html", ".json", ".md", ".png", ".diff"), ("sweep.json", "multirun.yaml")
    names = sorted(path for path in root.iterdir() if path.suffix in kinds and path.name not in aside)
    predictions = SweepPaths(root).out_of_fold
    if predictions.is_file() and predictions.stat().st_size > MAX_TABLE:
        names.remove(predictions)
    return _present((path for path in names if not path.name.startswith(".")), root)


def local_folder(artifact_uri: str) -> Path | None:
    """Returns the folder of the artifacts if it is one of this machine."""
    parts = urlsplit(artifact_uri)
    return Path(unquote(parts.path)) if parts.scheme in ("", "file") else None


def place(files: Iterable[File], root: Path) -> None:
    """Writes the files into the artifact folders below `root`, texts without the passwords in their URLs."""
    for path, folder in files:
        target = root / folder / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in TEXT:
            text = read_bytes(path.resolve(), limit=MAX_TABLE).decode("utf-8", errors="replace")
            target.write_text(redact(text), encoding="utf-8")
        else:
            _link(path, target)


def _link(path: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    if path.suffix in LINKED:
        with contextlib.suppress(OSError):  # another file system, or one without links
            os.link(path, target)
            return
    shutil.copyfile(path, target)


def _present(paths: Iterable[Path], root: Path, folder: str = "") -> list[File]:
    """The files that exist below `root`, for the artifact folder `folder`."""
    found = [path for path in paths if path.exists() and not path.is_dir()]
    for path in found:
        check_file(path, inside=root, limit=MAX_TABLE if path.suffix in TEXT else MAX_DATA)
    return [(path, folder) for path in found]
