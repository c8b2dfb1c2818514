"""What differs between two sweeps: fixed settings, what was varied, search and budget, best results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phalanx.analysis.compare.run import Run
from phalanx.analysis.compare.sources import read_folder
from phalanx.analysis.compare.values import texts_of
from phalanx.analysis.diff.found import Diff
from phalanx.analysis.diff.rows import Row, differing, measured
from phalanx.core.errors import RunFolderError, all_of
from phalanx.core.result import EpochMetrics
from phalanx.runs.config_file import flat, read_values
from phalanx.runs.layout import RunPaths, SweepPaths
from phalanx.runs.left_out import LeftOut
from phalanx.runs.metrics_csv import read_metrics
from phalanx.runs.stored_run import StoredRun, by_key
from phalanx.runs.sweep_folder import collect, direction_of, front_first, ranked, sweep_summary

SECTIONS = ("fixed settings", "varied settings", "search space", "search and budget", "data and environment",
            "best result", "best configuration")  # fmt: skip
MEASURED = ("best result",)
SPACES = ("params", "default_params", "conditions", "custom_search_space")  # keys of the sweeper
SHOWN = 8  # values of a varied setting


@dataclass(frozen=True)
class _Sweep:
    """One sweep, read."""

    folder: Path
    runs: Sequence[Run]
    trials: Sequence[StoredRun]
    notes: Sequence[str]
    n_damaged: int
    request: Mapping[str, Any]  # Hydra's part of the configuration of the sweep

    @property
    def best(self) -> StoredRun | None:
        return next(iter(front_first(ranked(self.trials, direction_of(self.trials)))), None)


def diff_sweeps(a: Path, b: Path) -> Diff:
    """What differs between two sweeps. Raises `RunFolderError` if one holds no result that can be read."""
    sweeps = all_of(lambda: _read(a), lambda: _read(b))
    sides = _sections(*sweeps)
    rows: list[Row] = []
    for section in SECTIONS:
        find = measured if section in MEASURED else differing
        rows += find(section, sides[0][section], sides[1][section])
    n_keys = {section: len({*sides[0][section], *sides[1][section]}) for section in SECTIONS}
    notes = [note for sweep in sweeps for note in sweep.notes]
    best = [sweep.best for sweep in sweeps]
    if all(best):
        folders = " ".join(str(sweep.folder / str(t.number)) for sweep, t in zip(sweeps, best, strict=True) if t)
        notes.append(f"the best trials, sample by sample: phalanx diff {folders}")
    curves = _curve(sweeps[0], notes), _curve(sweeps[1], notes)
    names = tuple(
        f"{s.folder.absolute().name}, trial {t.number if t else '–'}" for s, t in zip(sweeps, best, strict=True)
    )
    n_damaged = sum(sweep.n_damaged for sweep in sweeps)
    return Diff((a, b), tuple(rows), n_keys, curves, (names[0], names[1]), tuple(notes), n_damaged=n_damaged)


def _read(folder: Path) -> _Sweep:
    found, paths = read_folder(folder), SweepPaths(folder)
    request: Any = {}
    if paths.request.is_file():
        request = read_values(paths.request, inside=folder).get("hydra")
    request = request if isinstance(request, Mapping) else {}
    trials = collect(paths, left_out=LeftOut())  # `read_folder` has noted what cannot be read
    return _Sweep(folder, found.runs, trials, found.notes, found.n_damaged, request)


def _sections(a: _Sweep, b: _Sweep) -> tuple[dict[str, dict[str, Any]], ...]:
    """The values of both sweeps by section and key. A key that one of them varies is told by its values."""
    values = [_values(sweep.runs) for sweep in (a, b)]
    keys = dict.fromkeys(key for found in values for key in found)
    varied = [key for key in keys if any(len(found.get(key, ())) > 1 for found in values)]
    found = []
    for sweep, own in zip((a, b), values, strict=True):
        fixed = {key: next(iter(own[key].values())) for key in keys if key in own and key not in varied}
        found.append({
            "fixed settings": fixed,
            "varied settings": {key: _told(own[key]) for key in varied if key in own},
            **_request(sweep, varied),
            "data and environment": _environment(sweep),
            "best result": _best(sweep),
            "best configuration": _best_configuration(sweep, varied),
        })  # fmt: skip
    return tuple(found)


def _values(runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """The different values of each key among the runs, by their identities."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        for key, same in run.identities.items():
            if key not in ("sweep", "trial"):
                found.setdefault(key, {}).setdefault(same, run.config[key])
        found.setdefault("seed", {}).setdefault(str(run.seed), run.seed)
    return found


def _told(values: Mapping[str, Any]) -> Any:
    """One value itself; of several a text, the numbers in order."""
    if len(values) == 1:
        return next(iter(values.values()))
    numbers = [v for v in values.values() if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(numbers) == len(values) > SHOWN:
        return f"{min(numbers):g} to {max(numbers):g} ({len(numbers)} values)"
    order = sorted(values, key=lambda same: (values[same], "")) if len(numbers) == len(values) else sorted(values)
    texts = texts_of(values)
    more = f" and {len(order) - SHOWN} more" if len(order) > SHOWN else ""
    return ", ".join(texts[same] for same in order[:SHOWN]) + more


def _request(sweep: _Sweep, varied: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What was asked for: the sweeper's spaces and what was typed for a varied key; the sweeper's other keys."""
    sweeper = _mapping(sweep.request.get("sweeper"))
    typed = by_key(map(str, _listed(_mapping(sweep.request.get("overrides")).get("task"))))
    seen: dict[str, set[str]] = {}
    for trial in sweep.trials:
        for key, text in trial.overrides.items():
            seen.setdefault(key, set()).add(text)
    space = {key: text for key, text in typed.items() if len(seen.get(key, ())) > 1 or key in varied}
    for part in SPACES if "default_params" in sweeper else ():
        value = sweeper.get(part)
        if part == "default_params" and sweeper.get("params"):
            continue
        space |= {f"{part}.{key}": inner for key, inner in _flattened(value)} if value else {}
    rest = {key: value for key, value in sweeper.items() if key not in (*SPACES, "study_name", "storage")}
    asked = _flattened({"sweeper": rest, "launcher": _mapping(sweep.request.get("launcher"))})
    budget = {key: value for key, value in asked if value is not None}  # null: not asked for
    return {"search space": space, "search and budget": budget}


def _flattened(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested mappings by dotted key."""
    if not isinstance(value, Mapping):
        yield prefix or "value", value
        return
    for key, inner in value.items():
        yield from _flattened(inner, f"{prefix}.{key}" if prefix else str(key))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _environment(sweep: _Sweep) -> dict[str, Any]:
    """Data, versions, machine and commit of the trials; where these have several, all of them in one text."""
    found: dict[str, set[str]] = {}
    for trial in sweep.trials:
        where = {"machine": trial.machine, "device": trial.device, "commit": trial.git and trial.git.commit}
        for key, text in {**(trial.versions or {}), **where}.items():
            found.setdefault(key, set()).add(str(text))
        digests = [row.data_digest for row in trial.repeats if row.data_digest] or [str(trial.data_digest)]
        found.setdefault("data digest", set()).update(digests)
    return {key: ", ".join(sorted(texts)) for key, texts in found.items()}


def _best(sweep: _Sweep) -> dict[str, Any]:
    """Counts of trials, and what the best one reached."""
    counts: dict[str, Any] = {"trials": len(sweep.trials)}
    for trial in sweep.trials:
        counts[trial.ending] = counts.get(trial.ending, 0) + 1
    counts["train_seconds of all"] = sum(trial.train_seconds for trial in sweep.trials)
    counts["ending"] = str(sweep_summary(sweep.folder).get("status") or "not known")
    best = sweep.best
    if best is None:
        return counts
    own = {"best_epoch": best.best_epoch, "n_parameters": best.n_parameters}
    return {**counts, "best trial": best.number, "objective": best.objective.name, **best.metrics, **own}


def _best_configuration(sweep: _Sweep, varied: Sequence[str]) -> dict[str, Any]:
    """The values of the best trial for the keys that were varied."""
    if sweep.best is None:
        return {}
    values = flat(read_values(RunPaths(sweep.folder / str(sweep.best.number)).config_resolved))
    return {key: values[key] for key in varied if key in values}


def _curve(sweep: _Sweep, notes: list[str]) -> tuple[EpochMetrics, ...]:
    if sweep.best is None:
        return ()
    try:
        return read_metrics(RunPaths(sweep.folder / str(sweep.best.number)).metrics, sweep.best.n_rows)
    except RunFolderError as error:
        notes.append(f"the curves of the best trial are left out: {error}")
        return ()
