"""Writes `report.html` from the folder of a run or a sweep."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from phalanx.analysis.compare import Run, compare_runs
from phalanx.analysis.compare.sources import runs_of
from phalanx.analysis.compare.tables import group_table
from phalanx.analysis.final import Finalist, in_order, read_finalists
from phalanx.analysis.statistics import SPLITS
from phalanx.core.errors import PhalanxError, RunFolderError
from phalanx.core.files import write_text
from phalanx.core.reading import read_entry
from phalanx.report.pages.run import config_text, run_html
from phalanx.report.pages.sweep import SeedGroups, SweepContent, sweep_html
from phalanx.runs.config_file import read_values
from phalanx.runs.layout import RunPaths, SweepPaths
from phalanx.runs.manifest import read_manifest
from phalanx.runs.metrics_csv import read_curve
from phalanx.runs.stored_run import StoredRun
from phalanx.runs.sweep_folder import collect, direction_of, front_first, ranked


def write_report(folder: Path, target: Path | None = None) -> Path:
    """Writes the report of a run or a sweep to `target`, by default `report.html` in its folder; returns the path.

    Raises `RunFolderError` for a folder without results.
    """
    target = target or SweepPaths(folder).report
    if RunPaths(folder).result.is_file():
        write_text(target, run_html(RunPaths(folder)))
        return target
    if not folder.is_dir():
        raise RunFolderError(f"{folder} is not a folder; runs are listed by: ls outputs/runs outputs/sweeps")
    paths = SweepPaths(folder)
    trials = collect(paths)
    if not trials:
        raise RunFolderError(
            f"{folder} holds no results that can be read; give a run's folder (outputs/runs/<time>-<id>) or a sweep's "
            "(outputs/sweeps/<name>)"
        )
    return write_sweep_report(paths, trials, target)


def write_sweep_report(
    paths: SweepPaths, trials: Sequence[StoredRun], target: Path | None = None,
    finalists: Sequence[Finalist] | None = None,
) -> Path:  # fmt: skip
    """Writes the report of a sweep whose results have been read already.

    Args:
        paths: The sweep's folder.
        trials: Its trials, as `collect` returns them.
        target: The file to write; None for `report.html` in the folder.
        finalists: The final's points, as `read_finalists` returns them; None to read them here.

    Returns:
        The file that was written.
    """
    target = target or paths.report
    write_text(target, sweep_html(_sweep_content(paths, trials, finalists)))
    return target


def _sweep_content(
    paths: SweepPaths, trials: Sequence[StoredRun], finalists: Sequence[Finalist] | None = None
) -> SweepContent:
    """Reads what the report of a sweep shows."""
    direction = direction_of(trials)
    best = front_first(ranked(trials, direction))
    manifest = read_manifest(paths)
    if finalists is None:
        finalists = read_finalists(paths, best)
    return SweepContent(
        name=paths.root.absolute().name,
        trials=trials,
        best=best,
        curves=_curves(paths, trials),
        configs=_configs(paths, best[:5]),
        finalists=in_order(finalists, direction),
        sentences=read_entry(paths.final_tests, "sentences", list) if paths.final_tests.is_file() else (),
        groups=() if manifest.get("search") else _seed_groups(paths, trials),
        ending=manifest.get("ending"),
        log=_log_keys(paths),
    )


def _log_keys(paths: SweepPaths) -> dict[str, bool]:
    """Whether the search drew each key on a logarithmic scale, according to the request that Hydra stored."""
    file = paths.root / "multirun.yaml"
    hydra = read_values(file).get("hydra", {}) if file.is_file() else {}
    typed = (text.split("=", 1) for text in hydra.get("overrides", {}).get("task", []) if "=" in text)
    sweeper = hydra.get("sweeper") or {}
    asked = {**(sweeper.get("default_params") or {}), **(sweeper.get("params") or {}), **dict(typed)}
    return {key.lstrip("+"): "tag(log" in str(text).replace(" ", "") for key, text in asked.items() if "(" in str(text)}


def _curves(paths: SweepPaths, trials: Sequence[StoredRun]) -> dict[int, tuple[list[int], list[float]]]:
    """The learning curve of the objective of each trial that has one."""
    found = {}
    for trial in trials:
        if trial.objective.name:
            found[trial.number] = read_curve(paths.trial(trial.number), trial.objective.name)
    return found


def _configs(paths: SweepPaths, best: Sequence[StoredRun]) -> dict[int, str]:
    """The configuration of each trial that still has one."""
    found = {trial.number: config_text(paths.trial(trial.number)) for trial in best}
    return {number: text for number, text in found.items() if text}


def _seed_groups(paths: SweepPaths, trials: Sequence[StoredRun]) -> list[SeedGroups]:
    """The groups that differ by more than seed and split, on each data set; none where nothing is repeated, or in a
    sweep with too many groups."""
    several = len({trial.seed for trial in trials if trial.seed is not None}) > 1
    runs: list[Run] = []
    for trial in trials:
        with contextlib.suppress(RunFolderError):  # its configuration is gone
            runs += runs_of(trial, paths.root.name, str(trial.number))
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
