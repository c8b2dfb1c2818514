"""Writes `report.html` from the folder of a run or a sweep."""

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from phalanx.analysis.compare import Run, compare_runs
from phalanx.analysis.compare.sources import runs_of
from phalanx.analysis.compare.tables import group_table
from phalanx.analysis.final import Finalist, in_order, read_finalists
from phalanx.analysis.statistics import SPLITS
from phalanx.core.errors import PhalanxError, RunFolderError, UnreadableFile
from phalanx.core.files import write_text
from phalanx.core.reading import read_entry
from phalanx.core.result import Status
from phalanx.report.pages.run import config_text, run_html
from phalanx.report.pages.sweep import SeedGroups, SweepContent, sweep_html
from phalanx.runs.config_file import read_values
from phalanx.runs.layout import RunPaths, SweepPaths
from phalanx.runs.left_out import LeftOut
from phalanx.runs.manifest import read_manifest
from phalanx.runs.metrics_csv import read_curve
from phalanx.runs.stored_run import StoredRun
from phalanx.runs.sweep_folder import collect, direction_of, front_first, ranked


def write_report(folder: Path, target: Path | None = None, left_out: LeftOut | None = None) -> Path:
    """Writes the report of a run or a sweep to `target`, by default `report.html` in its folder; returns the path.

    Args:
        folder: The folder of the run or the sweep.
        target: The file to write.
        left_out: Takes the files that cannot be read, which the report names too.

    Raises:
        RunFolderError: The folder has no results.
    """
    left_out = LeftOut() if left_out is None else left_out
    target = target or SweepPaths(folder).report
    if RunPaths(folder).result.exists():
        write_text(target, run_html(RunPaths(folder), left_out))
        return target
    if not folder.is_dir():
        raise RunFolderError(f"{folder} is not a folder; runs are listed by: ls outputs/runs outputs/sweeps")
    paths = SweepPaths(folder)
    trials = collect(paths, left_out=left_out)
    if not trials:
        faults = "".join(f"\n  - {fault}" for fault in left_out.faults)
        raise RunFolderError(
            f"{folder} holds no results (result.json) that can be read; give a run's folder "
            f"(outputs/runs/<time>-<id>) or a sweep's (outputs/sweeps/<name>){faults}"
        )
    return write_sweep_report(paths, trials, target, left_out=left_out)


def write_sweep_report(
    paths: SweepPaths, trials: Sequence[StoredRun], target: Path | None = None,
    finalists: Sequence[Finalist] | None = None, left_out: LeftOut | None = None,
) -> Path:  # fmt: skip
    """Writes the report of a sweep whose results have been read already.

    Args:
        paths: The sweep's folder.
        trials: Its trials, as `collect` returns them.
        target: The file to write; None for `report.html` in the folder.
        finalists: The final's points, as `read_finalists` returns them; None to read them here.
        left_out: Takes the files that cannot be read; the report names them, and those that it has already.

    Returns:
        The file that was written.
    """
    target = target or paths.report
    left_out = LeftOut() if left_out is None else left_out
    write_text(target, sweep_html(_sweep_content(paths, trials, finalists, left_out)))
    return target


def _sweep_content(
    paths: SweepPaths, trials: Sequence[StoredRun], finalists: Sequence[Finalist] | None, left_out: LeftOut
) -> SweepContent:
    """Reads what the report of a sweep shows, each file by itself."""
    direction = direction_of(trials)
    best = front_first(ranked(trials, direction))
    manifest: dict[str, Any] = left_out.attempt(lambda: read_manifest(paths), {})
    if finalists is None:
        finalists = left_out.attempt(lambda: read_finalists(paths, best), [])
    content = SweepContent(
        name=paths.root.absolute().name,
        trials=trials,
        best=best,
        curves=_curves(paths, trials, left_out),
        configs=_configs(paths, best[:5], left_out),
        finalists=in_order(finalists, direction),
        sentences=left_out.attempt(lambda: _sentences(paths), ()),
        groups=() if manifest.get("search") else _seed_groups(paths, trials, left_out),
        ending=manifest.get("ending"),
        log=left_out.attempt(lambda: _log_keys(paths), {}),
    )
    return replace(content, left_out=left_out.faults)


def _sentences(paths: SweepPaths) -> Sequence[str]:
    """What the final's tests say."""
    if not paths.final_tests.exists():
        return ()
    found: list[Any] = read_entry(paths.final_tests, "sentences", list)
    if not all(isinstance(text, str) for text in found):
        raise UnreadableFile(paths.final_tests, "is damaged: its sentences must be text")
    return found


def _log_keys(paths: SweepPaths) -> dict[str, bool]:
    """Whether the search drew each key on a logarithmic scale, according to the request that Hydra stored."""
    file = paths.root / "multirun.yaml"
    if not file.exists():
        return {}
    hydra = _mapping(read_values(file).get("hydra"))
    task, sweeper = _mapping(hydra.get("overrides")).get("task"), _mapping(hydra.get("sweeper"))
    texts = task if isinstance(task, list) else []
    typed = (text.split("=", 1) for text in texts if isinstance(text, str) and "=" in text)
    asked = {**_mapping(sweeper.get("default_params")), **_mapping(sweeper.get("params")), **dict(typed)}
    return {key.lstrip("+"): "tag(log" in str(text).replace(" ", "") for key, text in asked.items() if "(" in str(text)}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _curves(
    paths: SweepPaths, trials: Sequence[StoredRun], left_out: LeftOut
) -> dict[int, tuple[list[int], list[float]]]:
    """The learning curve of the objective of each trial that has one."""
    found: dict[int, tuple[list[int], list[float]]] = {}
    for trial in trials:
        if name := trial.objective.name:
            run = paths.trial(trial.number)
            found[trial.number] = left_out.attempt(functools.partial(read_curve, run, name), ([], []))
    return found


def _configs(paths: SweepPaths, best: Sequence[StoredRun], left_out: LeftOut) -> dict[int, str]:
    """The configuration of each trial that still has one."""
    texts = [left_out.attempt(functools.partial(config_text, paths.trial(trial.number)), "") for trial in best]
    found = {trial.number: text for trial, text in zip(best, texts, strict=True)}
    return {number: text for number, text in found.items() if text}


def _seed_groups(paths: SweepPaths, trials: Sequence[StoredRun], left_out: LeftOut) -> list[SeedGroups]:
    """The groups that differ by more than seed and split, on each data set; none where nothing is repeated, or in a
    sweep with too many groups."""
    several = len({trial.seed for trial in trials if trial.seed is not None}) > 1
    runs: list[Run] = []
    for trial in trials:
        if trial.status is Status.COMPLETED and not RunPaths(trial.folder).config_resolved.exists():
            continue  # what it trained is not known
        read = functools.partial(runs_of, trial, paths.root.name, str(trial.number))
        runs += left_out.attempt(read, [])
    try:
        found = compare_runs(runs)
    except PhalanxError:  # a search by many parameters makes no groups
        return []
    parts = [part for part in found.parts if several or part.repeats == SPLITS]
    tables = [(part, *group_table(found.measure, part)) for part in parts]
    return [
        SeedGroups(part.data, [*header[:2], found.measure.title, *header[3:]], rows, part.sentences, part.notes)
        for part, header, rows in tables
    ]
