"""Writes `report.html` from the folder of a run or a sweep."""

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from phalanx.analysis.compare import Run, compare_runs
from phalanx.analysis.compare.sources import runs_of
from phalanx.analysis.compare.tables import group_table, titled
from phalanx.analysis.final import Finalist, in_order, read_finalists
from phalanx.analysis.nested import Nested, read_nested
from phalanx.analysis.statistics import SEEDS
from phalanx.core.errors import PhalanxError, RunFolderError, UnreadableFile
from phalanx.core.files import write_text
from phalanx.core.named_files import write_named
from phalanx.core.reading import MAX_TABLE, read_entry, read_text
from phalanx.core.result import Status
from phalanx.report.context import command_of, facts, mlflow_fact, read_config, study_fact
from phalanx.report.differences import Row, differences
from phalanx.report.pages.models_made import with_models
from phalanx.report.pages.nested import nested_html
from phalanx.report.pages.place_tables import out_of_fold_table, place_tables
from phalanx.report.pages.run import config_text, run_html
from phalanx.report.pages.sweep import SeedGroups, SweepContent, sweep_html
from phalanx.report.pages.tracked import with_place
from phalanx.runs.config_file import read_values
from phalanx.runs.final_folder import chosen_by_final, decided
from phalanx.runs.layout import NestedPaths, RunPaths, SweepPaths
from phalanx.runs.left_out import LeftOut
from phalanx.runs.manifest import read_manifest
from phalanx.runs.metrics_csv import read_curve
from phalanx.runs.stored_run import StoredRun
from phalanx.runs.sweep_folder import collect, direction_of, front_first, is_sweep, ranked
from phalanx.tracking.links import Place, read_place

MOST_GROUPS = 200  # of seeds in a report: their pairs take a second


def write_report(
    folder: Path, target: Path | None = None, left_out: LeftOut | None = None, refresh_s: float | None = None
) -> Path:  # fmt: skip
    """Writes the report of a run or a sweep to `target`, by default `report.html` in its folder; returns the path.

    Args:
        folder: The folder of the run or the sweep.
        target: The file to write, as a user named it.
        left_out: Takes the files that cannot be read, which the report names too.
        refresh_s: After how many seconds the page of a sweep that still runs loads itself again; None for never.

    Raises:
        RunFolderError: The folder has no results.
    """
    left_out = LeftOut() if left_out is None else left_out
    if NestedPaths(folder).summary.exists():
        return write_nested_report(NestedPaths(folder), read_nested(NestedPaths(folder)), target)
    if RunPaths(folder).result.exists():
        html = run_html(RunPaths(folder), left_out)
        return _write(SweepPaths(folder), target, with_place(html, left_out.attempt(lambda: read_place(folder), None)))
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
    return write_sweep_report(paths, trials, target, left_out=left_out, refresh_s=refresh_s)


def write_nested_report(paths: NestedPaths, found: Nested, target: Path | None = None) -> Path:
    """Writes the report of a nested search, which links to those of its searches; returns the file.

    Args:
        paths: Its folder.
        found: What its outer folds reached.
        target: The file to write, as a user named it; None for `report.html` in the folder.
    """
    return _write(SweepPaths(paths.root), target, nested_html(paths.root.absolute().name, found))


def write_sweep_report(
    paths: SweepPaths, trials: Sequence[StoredRun], target: Path | None = None,
    finalists: Sequence[Finalist] | None = None, left_out: LeftOut | None = None, refresh_s: float | None = None,
) -> Path:  # fmt: skip
    """Writes the report of a sweep whose results have been read already.

    Args:
        paths: The sweep's folder.
        trials: Its trials, as `collect` returns them.
        target: The file to write, as a user named it; None for `report.html` in the folder.
        finalists: The final's points, as `read_finalists` returns them; None to read them here.
        left_out: Takes the files that cannot be read; the report names them, and those that it has already.
        refresh_s: As of `write_report`.

    Returns:
        The file that was written.
    """
    left_out = LeftOut() if left_out is None else left_out
    place = left_out.attempt(lambda: read_place(paths.root), None)
    html = with_place(sweep_html(_sweep_content(paths, trials, finalists, left_out, refresh_s)), place)
    return _write(paths, target, with_models(html, paths.root, left_out))


def _write(paths: SweepPaths, target: Path | None, html: str) -> Path:
    if target is not None:
        write_named(target, html)
        return target
    write_text(paths.report, html)
    return paths.report


def add_place(paths: SweepPaths, place: Place) -> None:
    """Adds to the report of a sweep, if there is one, where MLflow has it."""
    if paths.report.is_file():
        write_text(paths.report, with_place(read_text(paths.report, limit=MAX_TABLE), place))


def list_model(folder: Path, left_out: LeftOut) -> Path | None:
    """Has the report of a sweep list an ensemble or a refit in the sweep's folder; returns the report, if there is one.

    Args:
        folder: The folder of the ensemble or the refit.
        left_out: Takes the folders beside it that cannot be read.
    """
    paths = SweepPaths(folder.absolute().parent)
    if not is_sweep(paths.root) or not paths.report.is_file():
        return None
    write_text(paths.report, with_models(read_text(paths.report, limit=MAX_TABLE), paths.root, left_out))
    return paths.report


def _sweep_content(
    paths: SweepPaths, trials: Sequence[StoredRun], finalists: Sequence[Finalist] | None, left_out: LeftOut,
    refresh_s: float | None,
) -> SweepContent:  # fmt: skip
    """Reads what the report of a sweep shows, each file by itself."""
    direction = direction_of(trials)
    searched = front_first(ranked(trials, direction))
    chosen = left_out.attempt(lambda: chosen_by_final(paths), None)
    best = decided(searched, chosen)
    manifest: dict[str, Any] = left_out.attempt(lambda: read_manifest(paths), {})
    if finalists is None:
        finalists = read_finalists(paths, searched, left_out)
    groups, groups_note = ([], "") if manifest.get("search") else _seed_groups(paths, trials, left_out)
    command = left_out.attempt(lambda: command_of(paths.root / "multirun.yaml", multirun=True), "")
    study = left_out.attempt(lambda: study_fact(paths.root), None) if manifest.get("search") else None
    shared = read_config(paths.trial(trials[0].number).config_resolved) if trials else {}
    known = left_out.attempt(lambda: read_place(paths.root), None)  # then the page has a line of its own
    mlflow = mlflow_fact(manifest.get("mlflow_run_id"), shared) if known is None else None
    content = SweepContent(
        name=paths.root.absolute().name,
        trials=trials,
        best=best,
        chosen=chosen,
        curves=_curves(paths, trials, left_out),
        configs=_configs(paths, best[:5], left_out),
        differences=_differences(paths, best[:5]),
        finalists=in_order(finalists, direction),
        sentences=left_out.attempt(lambda: _sentences(paths), ()),
        groups=groups,
        groups_note=groups_note,
        out_of_fold=left_out.attempt(lambda: out_of_fold_table(paths), None),
        search=bool(manifest.get("search")),
        facts=facts(trials, command, [mlflow, study]),
        refresh_s=refresh_s,
        ending=manifest.get("ending"),
        log=left_out.attempt(lambda: _log_keys(paths), {}),
        baselines={name: value for name, value in manifest.get("baselines", {}).items() if isinstance(value, float)},
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
    if not paths.request.exists():
        return {}
    hydra = _mapping(read_values(paths.request).get("hydra"))
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
            found[trial.number] = left_out.attempt(functools.partial(read_curve, run, name, trial.n_rows), ([], []))
    return found


def _configs(paths: SweepPaths, best: Sequence[StoredRun], left_out: LeftOut) -> dict[int, str]:
    """The configuration of each trial that still has one."""
    texts = [left_out.attempt(functools.partial(config_text, paths.trial(trial.number)), "") for trial in best]
    found = {trial.number: text for trial, text in zip(best, texts, strict=True)}
    return {number: text for number, text in found.items() if text}


def _differences(paths: SweepPaths, best: Sequence[StoredRun]) -> list[Row]:
    """How the best trials differ from the defaults and from the best one."""
    return differences([(read_config(paths.trial(t.number).config_resolved), t.overrides) for t in best])


def _seed_groups(
    paths: SweepPaths, trials: Sequence[StoredRun], left_out: LeftOut
) -> tuple[list[SeedGroups], str]:  # fmt: skip
    """The groups that differ by more than seed and split, on each data set, and why there are none: nothing is
    repeated, or there are too many groups."""
    several = len({trial.seed for trial in trials if trial.seed is not None}) > 1
    runs: list[Run] = []
    for trial in trials:
        if trial.status is Status.COMPLETED and not RunPaths(trial.folder).config_resolved.exists():
            continue  # what it trained is not known
        read = functools.partial(runs_of, trial, paths.root.name, str(trial.number))
        runs += left_out.attempt(read, [])
    try:
        found = compare_runs(runs, most_groups=MOST_GROUPS)
    except PhalanxError as error:
        return [], f"The groups are not compared: {error}." if several else ""
    parts = [part for part in found.parts if several or part.repeats != SEEDS]
    tables = [(part, *group_table(found.measure, part)) for part in parts]
    return [
        SeedGroups(
            titled(found, part),
            [*header[:2], found.measure.title, *header[3:]],
            rows,
            part.sentences,
            part.notes,
            place_tables(found.measure, part),
        )
        for part, header, rows in tables
    ], ""
