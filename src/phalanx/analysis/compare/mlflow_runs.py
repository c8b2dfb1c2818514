"""Runs for a comparison, from an MLflow experiment; MLflow itself stays in `phalanx.tracking`."""

from typing import Any

from phalanx.analysis.class_scores import scores_of
from phalanx.analysis.compare.run import Run
from phalanx.analysis.compare.values import typed
from phalanx.core.baselines import without_unused
from phalanx.core.errors import RequestError
from phalanx.tracking.class_tag import read_class_tag
from phalanx.tracking.records import OVERRIDE

TOP_LEVEL = ("seed", "objective")


def read_tracked(experiment: str, uri: str | None) -> tuple[list[Run], list[str]]:
    """The runs of an experiment that trained one seed each: parents only hold others. Raises `RequestError`."""
    from phalanx.tracking import read_experiment

    tracked = read_experiment(experiment, uri)
    parents = {run.parent for run in tracked}
    names = {run.run_id: run.name for run in tracked}
    ours = [run for run in tracked if "phalanx.seed" in run.tags and run.run_id not in parents]
    runs = [_run(run, names) for run in ours]
    if not runs:
        raise RequestError(f"the MLflow experiment {experiment!r} holds no run of Phalanx")
    means = sum("phalanx.seeds" in run.tags for run in ours)
    notes = [f"{means} runs of MLflow hold the mean of several seeds; compare their folders instead"] if means else []
    return runs, notes


def _run(tracked: Any, names: dict[str, str]) -> Run:
    params = {key: typed(text) for key, text in tracked.params.items() if not key.startswith(OVERRIDE)}
    config = {key: value for key, value in params.items() if key not in TOP_LEVEL and not key.startswith("device.")}
    objective = params.get("objective", "")
    if "phalanx.study" in tracked.tags:
        config |= {"sweep": tracked.tags["phalanx.study"], "trial": tracked.tags.get("phalanx.trial")}
    return Run(
        place=f"MLflow run {tracked.run_id}",
        config=without_unused(config),
        seed=int(tracked.tags["phalanx.seed"]),
        status=tracked.tags.get("phalanx.status", "completed" if tracked.status == "FINISHED" else "failed"),
        values={key: value for key, value in tracked.metrics.items() if "/" not in key},
        objective=str(objective[0] if isinstance(objective, list) and objective else objective),  # the first chooses
        data=tracked.tags.get("phalanx.data_digest"),
        classes=scores_of(*read_class_tag(tracked.tags)),
        typed={key.removeprefix(OVERRIDE): text for key, text in tracked.params.items() if key.startswith(OVERRIDE)},
    )
