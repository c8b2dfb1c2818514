"""The metric that is compared: which one, its unit, its range."""

from collections.abc import Sequence
from dataclasses import dataclass

from phalanx.analysis.compare.run import FOLD, MEASURED, OUTER, SPLIT, Run
from phalanx.analysis.student import Limits
from phalanx.core.errors import RequestError
from phalanx.core.metrics import direction_of, find_metric, limits_of, names_of, split_name, tested

TEST = "test_accuracy"
POINTS = "points"


@dataclass(frozen=True)
class Measure:
    """The metric that is compared. Accuracies are shown in percent, their differences in points."""

    metric: str
    direction: str

    @property
    def scale(self) -> float:
        return 100.0 if self.in_percent else 1.0

    @property
    def unit(self) -> str:
        return POINTS if self.in_percent else ""

    @property
    def in_percent(self) -> bool:
        return (info := find_metric(self.metric)) is not None and info.in_percent

    @property
    def counts_samples(self) -> bool:
        return (info := find_metric(self.metric)) is not None and info.counts_samples

    @property
    def limits(self) -> Limits:
        """The range of the metric, in the unit that is shown."""
        low, high = limits_of(self.metric)
        return self.scale * low, self.scale * high

    @property
    def title(self) -> str:
        return f"{self.metric}, %" if self.in_percent else self.metric


def find_measure(runs: Sequence[Run], metric: str | None) -> tuple[Measure, list[str]]:
    """The metric to compare, and notes on the choice. Raises `RequestError` if no run has one."""
    completed = [run for run in runs if run.status == "completed"]
    if not completed:
        ends = ", ".join(sorted({run.status for run in runs}))
        raise RequestError(f"none of the {len(runs)} runs was completed (they are {ends}), so there is no metric")
    counts = {name: sum(run.values.get(name) is not None for run in completed)
              for name in dict.fromkeys(name for run in completed for name in run.values)}  # fmt: skip
    there = [name for name, count in counts.items() if count]
    if metric is not None:
        if metric not in there:
            raise RequestError(f"--metric {metric} is in none of the runs; there are {', '.join(there)}")
        return Measure(metric, _direction(metric)), []
    objectives = {run.objective for run in completed}
    name = completed[0].objective
    if _over_folds(completed) and len(objectives) == 1 and counts.get(name) == len(completed):
        return Measure(name, _direction(name)), [f"{name} is compared: each fold has validation rows of its own, and "
                                                 "all have the same test rows"]  # fmt: skip
    own = [tested(name)] if len(objectives) == 1 and not name.endswith("_loss") else []
    for found in (*own, TEST):
        if found in names_of("test") and counts.get(found) == len(completed):
            return Measure(found, _direction(found)), []
    if len(objectives) > 1:
        raise RequestError(
            f"the runs have different objectives ({', '.join(sorted(objectives))}); say which metric: --metric NAME"
        )
    if not counts.get(name):
        raise RequestError(f"the runs have no {name or 'objective'}; say which metric: --metric {there[0]}")
    missing = len(completed) - counts.get(TEST, 0)
    why = "a search leaves the test split alone" if missing == len(completed) else "some runs left it alone"
    return Measure(name, _direction(name)), [f"{name} is compared: {TEST} is missing in {missing} of "
                                             f"{len(completed)} runs ({why})"]  # fmt: skip


def _over_folds(runs: Sequence[Run]) -> bool:
    """Whether all runs are on folds, of which there are several, and have an objective of the validation split."""
    resampled = all(run.config.get("data.resampling", "holdout") != "holdout" for run in runs)
    splits = {run.number(SPLIT) for run in runs}
    several = len({(run.number(SPLIT), run.number(FOLD)) for run in runs}) > len(splits)
    same_test = len({run.number(OUTER) for run in runs}) == 1
    return resampled and several and same_test and all(split_name(run.objective)[0] == "val" for run in runs)


def _direction(metric: str) -> str:
    """`maximize` or `minimize`, by the name of a metric or of another number of a run."""
    return "minimize" if metric in MEASURED and metric != "samples_per_second" else direction_of(metric)
