"""What differs between two runs: configuration, data, environment, code, result, curves."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from phalanx.analysis.diff.found import Diff
from phalanx.analysis.diff.rows import Row, differing, measured
from phalanx.analysis.diff.samples import diff_samples
from phalanx.core.errors import RequestError, RunFolderError, all_of
from phalanx.core.reading import read_text
from phalanx.core.result import EpochMetrics
from phalanx.runs.config_file import flat_values, read_values
from phalanx.runs.layout import RunPaths, TrackedPaths
from phalanx.runs.metrics_csv import read_metrics
from phalanx.runs.stored_run import StoredRun, read_stored_run
from phalanx.runs.sweep_folder import is_sweep

SECTIONS = ("configuration", "data", "environment", "code", "result")
RESULT = ("best_epoch", "epochs", "train_seconds", "samples_per_second", "n_parameters")
NOT_KEPT = "some, not kept"


def diff_runs(a: Path, b: Path) -> Diff:
    """What differs between two finished runs.

    Raises:
        RunFolderError: A file of a run is damaged.
    """
    folders = a, b
    stored = all_of(lambda: read_stored_run(a), lambda: read_stored_run(b))
    configs = all_of(lambda: _config(a), lambda: _config(b))
    sides = [_sections(run, config) for run, config in zip(stored, configs, strict=True)]
    rows: list[Row] = []
    for section in SECTIONS:
        find = measured if section == "result" else differing
        rows += find(section, sides[0][section], sides[1][section])
    notes = [*_commits(stored), *_several(stored)]
    if any(configs[0].get(key) != configs[1].get(key) for key in ("loss.name", "loss.label_smoothing")):
        notes.append("their losses are different functions, so the values of loss do not compare")
    if [side["code"]["uncommitted changes"] for side in sides] == [NOT_KEPT, NOT_KEPT]:
        notes.append("whether their uncommitted changes differ is not known: only a run that is tracked keeps them")
    curves = _curve(a, stored[0], notes), _curve(b, stored[1], notes)
    samples, why = None, ""
    try:
        samples = diff_samples(folders, stored)
    except (RequestError, OSError) as error:
        why = str(error)
    n_keys = {section: len({*sides[0][section], *sides[1][section]}) for section in SECTIONS}
    return Diff(folders, tuple(rows), n_keys, curves, names_of(a, b), tuple(notes), samples, why)


def names_of(a: Path, b: Path) -> tuple[str, str]:
    """What the folders are called: by their own names if these differ, else by their paths."""
    own = a.absolute().name, b.absolute().name
    return own if own[0] != own[1] else (str(a), str(b))


def _config(folder: Path) -> dict[str, Any]:
    file = RunPaths(folder).config_resolved
    if not file.is_file():
        raise RunFolderError(f"{file} is gone, so what {folder} trained is not known")
    return flat_values(read_values(file, inside=folder))


def _sections(run: StoredRun, config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The values of one run by section and key."""
    data = {} if run.data is None else {k: v for k, v in asdict(run.data).items() if k != "notes" and v not in ("", ())}
    changes = _changes(run)
    commit = {"commit": run.git.commit} if run.git is not None else {}
    return {
        "configuration": dict(config),
        "data": {"digest": run.data_digest, **data},
        "environment": {**(run.versions or {}), "machine": run.machine, "device": run.device},
        "code": {**commit, "uncommitted changes": changes},
        "result": {"status": run.ending, **run.metrics, **{name: getattr(run, name) for name in RESULT}},
    }


def _changes(run: StoredRun) -> str:
    """The uncommitted changes with which a run was started: files, lines, and a digest that tells two of them apart."""
    folders = [run.folder, *(above for above in list(run.folder.absolute().parents)[:2] if is_sweep(above))]
    file = next((file for folder in folders if (file := TrackedPaths(folder).diff).is_file()), None)
    if file is None:
        return NOT_KEPT if run.git is not None and run.git.dirty else "none"
    text = read_text(file)
    lines = text.splitlines()
    names = [line.partition(" b/")[2] for line in lines if line.startswith("diff --git ")]
    added = sum(line.startswith("+") and not line.startswith("+++") for line in lines)
    removed = sum(line.startswith("-") and not line.startswith("---") for line in lines)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"+{added} -{removed} lines in {', '.join(names) or 'no file'}; digest {digest} ({file.name})"


def _commits(stored: tuple[StoredRun, StoredRun]) -> list[str]:
    commits = [run.git.commit if run.git is not None else None for run in stored]
    if commits[0] == commits[1] or not all(c is not None and c.isalnum() for c in commits):
        return []
    return [f"what changed between the commits: git diff {commits[0]} {commits[1]}"]


def _several(stored: tuple[StoredRun, StoredRun]) -> list[str]:
    several = [
        f"{run.folder} has {len(run.repeats)} seeds: its metrics are their means" for run in stored if run.repeats
    ]
    return several and [*several, "whether a difference is more than chance, over seeds: phalanx compare"]


def _curve(folder: Path, run: StoredRun, notes: list[str]) -> tuple[EpochMetrics, ...]:
    """The epochs of a run; none, with a note, where they cannot be read."""
    try:
        return read_metrics(RunPaths(folder).metrics, run.n_rows)
    except RunFolderError as error:
        notes.append(f"its curves are left out: {error}")
        return ()
