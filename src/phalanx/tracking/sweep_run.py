"""A sweep's own run in MLflow: started, shown as it gets on, and ended with the numbers of its best trial."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path

from phalanx.runs.layout import relative
from phalanx.runs.sweep_folder import sweep_summary
from phalanx.tracking.artifacts import sweep_files
from phalanx.tracking.limits import Point, finite, named
from phalanx.tracking.links import sweep_path
from phalanx.tracking.notes import sweep_note
from phalanx.tracking.records import OBJECTIVE, RESULT, STATES, VALUE, RunRecord
from phalanx.tracking.store import BEST, KIND, SWEEP, MlflowStore


def start_sweep(store: MlflowStore, root: Path, *, running: bool) -> str:
    """Returns the id of the run of a sweep, created or, if the sweep is `running` again, set to running."""
    known, name = store.logged.get(""), root.absolute().name
    if known is None:
        note = f"**[The trials of this sweep]({sweep_path(store.experiment, store.identity)})**"
        tags = {KIND: SWEEP, "phalanx.study": name, "phalanx.folder": relative(root), "mlflow.note.content": note}
        known = store.logged[""] = store.create("", name, tags, int(time.time() * 1000), None)
    elif running:
        store.client.update_run(known.run_id, status="RUNNING")
    store.start_monitor()
    return known.run_id


def show_progress(store: MlflowStore, trials: Sequence[RunRecord | None]) -> None:
    """Logs the data set, the objective and the best value so far of a sweep, as far as they are not logged yet.

    Args:
        store: Where the sweep's run is.
        trials: All trials in order of their numbers; None for one that has not ended.
    """
    ended = [trial for trial in trials if trial is not None]
    first = next((trial for trial in ended if trial.data is not None and trial.tags.get(OBJECTIVE)), None)
    if first is None:
        return
    known = store.logged[""]
    points = [point for point in best_so_far(trials, first.tags[OBJECTIVE]) if (point[0], point[3]) not in known.points]
    if first.data is not None and not known.has_inputs:
        store.log_inputs(known, first.data, first.tags.get("phalanx.data_digest", ""))
    if points:
        params = {} if "objective" in known.params else {"objective": first.tags[OBJECTIVE].split()[-1]}
        store.batch(known, points, params, {OBJECTIVE: first.tags[OBJECTIVE]} if params else {})
        known.params |= set(params)
        known.points |= {(point[0], point[3]) for point in points}


def best_so_far(trials: Sequence[RunRecord | None], objective: str) -> list[Point]:
    """Returns a point for each trial up to the first one that has not ended, so that no point changes later.

    Args:
        trials: As of `show_progress`.
        objective: `maximize val_accuracy` or `minimize val_loss`.
    """
    direction, name = objective.split()
    better, best, points = (max if direction == "maximize" else min), None, list[Point]()
    (metric,) = named({f"{BEST}{name}": None})
    for trial in trials:
        if trial is None:
            break
        if trial.ending == "completed" and VALUE in trial.tags:
            value = float(trial.tags[VALUE])
            best = value if best is None else better(best, value)
        if best is not None:
            points.append((metric, best, trial.end_ms or 0, int(trial.tags["phalanx.trial"])))
    return points


def end_sweep(store: MlflowStore, root: Path, status: str | None) -> None:
    """Ends the run of a sweep with the numbers of its best trial; `status` is None if its process was killed."""
    summary, known, now = sweep_summary(root), store.logged[""], int(time.time() * 1000)
    status = status or summary.get("status") or "interrupted"
    metrics, params = summary.get("metrics") or {}, summary.get("params") or {}
    digest = hashlib.sha256(json.dumps([status, metrics, params], sort_keys=True).encode()).hexdigest()[:16]
    if known.result != digest:
        # Tags, because MLflow's params are written once, and a sweep that is continued may find a better trial.
        tags = {f"best.{key}": value for key, value in params.items()}
        note = sweep_note(root, summary, status, sweep_path(store.experiment, store.identity))
        tags |= {"phalanx.status": status, "mlflow.note.content": note, RESULT: digest}
        store.batch(known, [(key, value, now, 0) for key, value in finite(metrics).items()], {}, tags)
        store.upload(known, sweep_files(root))
    if known.result != digest or store.client.get_run(known.run_id).info.status == "RUNNING":
        store.client.set_terminated(known.run_id, STATES.get(status, "FAILED"), now)
    known.result = digest
