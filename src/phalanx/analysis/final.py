"""The final of a search: its best points trained once more on fresh seeds, and judged by the test split.

The validation split chose the points, so their validation metrics are too good, each by another amount that seeds do
not average out. The search never read the test split, which is why it alone says which point is best.
"""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from phalanx.analysis.compare.values import identity, typed
from phalanx.analysis.repeats import repeat_of
from phalanx.analysis.statistics import (
    SEEDS,
    SPLITS,
    Difference,
    Summary,
    Values,
    compare,
    summarise,
)
from phalanx.analysis.student import resolution
from phalanx.analysis.wording import Lost, sentence
from phalanx.core.csv_text import csv_text, override_columns
from phalanx.core.files import write_json, write_text
from phalanx.core.metrics import find_metric, limits_of
from phalanx.core.result import Status
from phalanx.core.specs import Spec, static
from phalanx.runs.layout import FINAL, SweepPaths
from phalanx.runs.left_out import LeftOut
from phalanx.runs.stored_run import SeedResult, StoredRun, find_stored_run
from phalanx.runs.sweep_folder import RESULTS

OBJECTIVE, TEST = "objective", "test_accuracy"


@dataclass(frozen=True)
class FinalSpec(Spec):
    """How many points, and with how many seeds each."""

    config_group: ClassVar[str] = "hydra.sweeper.final"
    top: int = static(3, ge=1)
    seeds: int = static(10, ge=2)


@dataclass(frozen=True)
class Finalist:
    """One point on its fresh seeds."""

    number: int  # the trial it comes from
    overrides: Mapping[str, str]
    objective: str  # the name of the metric that chose it
    metrics: Mapping[str, Values]  # the objective and the test metrics, each by seed or by (split seed, seed)
    n_seeds: int
    lost: Lost | None = None  # the seeds that were not completed

    @property
    def name(self) -> str:
        return f"trial {self.number}"

    @property
    def judge(self) -> str:
        """The metric that says how good the point is: the objective's, on the test split."""
        return judge_of(self.objective)

    @property
    def repeats(self) -> str:
        """What the repeats are: seeds on one split, or splits."""
        return SPLITS if any(isinstance(at, tuple) for at in self.metrics.get(self.objective, ())) else SEEDS

    @property
    def n(self) -> int:
        """The number of seeds that were completed."""
        return len(self.metrics.get(self.objective, ()))

    @functools.cached_property
    def value(self) -> Summary | None:
        """Mean and interval of the objective; None if no seed was completed."""
        return self.summary(self.objective)

    @functools.cached_property
    def test(self) -> Summary | None:
        """Mean and interval of the judging metric; None if no seed was completed."""
        return self.summary(self.judge)

    def summary(self, metric: str) -> Summary | None:
        """Mean and interval of a metric; None if no seed has it."""
        values = self.metrics.get(metric)
        return summarise(values, limits=limits_of(metric)) if values else None


def judge_of(objective: str) -> str:
    """The metric of the test split that belongs to an objective, such as `test_loss` to `val_loss`."""
    return f"test_{objective.removeprefix('val_')}"


def chosen(best: Sequence[StoredRun], top: int) -> list[StoredRun]:
    """The first `top` different points among the trials, which come best first.

    Points are equal if all their values are: `1e-1` is 0.1, and `[64,64]` is `[64, 64]`.
    """
    different = {_point(trial): trial for trial in reversed(best)}
    kept = {trial.number for trial in different.values()}
    return [trial for trial in best if trial.number in kept][:top]


def _point(trial: StoredRun) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, identity(typed(text))) for key, text in trial.overrides.items()))


def read_finalists(
    paths: SweepPaths, trials: Sequence[StoredRun], left_out: LeftOut | None = None
) -> list[Finalist]:  # fmt: skip
    """The finalists that have been trained so far, in the order of `trials`.

    Args:
        paths: The sweep's folder.
        trials: Trials of the search.
        left_out: Takes the results that cannot be read; None raises their errors.
    """
    found: list[Finalist] = []
    if not paths.root.joinpath(FINAL).is_dir():
        return found
    for trial in trials:
        read = functools.partial(find_stored_run, paths.final(trial.number).root)
        final = read() if left_out is None else left_out.attempt(read, None)
        if final is not None and final.repeats:
            found.append(_finalist(trial, final.repeats))
    return found


def _finalist(trial: StoredRun, seeds: Sequence[SeedResult]) -> Finalist:
    name = trial.objective.name
    good = [seed for seed in seeds if seed.status is Status.COMPLETED and seed.value is not None]
    metrics: dict[str, Values] = {name: {repeat_of(seed.place): seed.value for seed in good if seed.value is not None}}
    for metric in dict.fromkeys((judge_of(name), TEST)):
        metrics[metric] = {repeat_of(seed.place): v for seed in good if (v := seed.metrics.get(metric)) is not None}
    by_status = Counter(str(seed.status) for seed in seeds if seed not in good)
    lost = Lost(dict(by_status), len(seeds), "seeds") if by_status else None
    return Finalist(trial.number, trial.overrides, name, metrics, len(seeds), lost)


def write_final(paths: SweepPaths, finalists: Sequence[Finalist], direction: str) -> list[str]:
    """Writes `final.csv` and `final.json`; returns what they say in sentences.

    The best point has the best mean on the test split among those whose every seed was completed. The others are
    tested against it, paired by seed, with Bonferroni's correction over all pairs, since only the values say which
    one is the best.

    Args:
        paths: The sweep's folder.
        finalists: One or more, as `read_finalists` returns them.
        direction: `maximize` or `minimize`, of the objective and so of the judging metric.
    """
    ordered = in_order(finalists, direction)
    write_text(paths.final_table, _table(ordered))
    first = ordered[0]
    best = first.name if first.lost is None else None
    groups = {f.name: values for f in ordered if (values := f.metrics[f.judge])}
    counts = (info := find_metric(first.judge)) is not None and info.counts_samples
    step = resolution(groups.values()) if counts else 0.0
    found = compare(groups, direction, step=step, limits=limits_of(first.judge))
    found = [difference for difference in found if best is None or best in (difference.a, difference.b)]
    sentences = _sentences(ordered, found)
    content = {
        "best": best, "chosen_by": first.objective, "judged_by": first.judge, "sentences": sentences,
        "differences": {first.judge: [asdict(difference) for difference in found]},
    }  # fmt: skip
    write_json(paths.final_tests, content)
    return sentences


def _sentences(ordered: Sequence[Finalist], found: Sequence[Difference]) -> list[str]:
    """What chose and what judged, then a sentence for each pair, then the points of which nothing is left."""
    first = ordered[0]
    lost = {f.name: f.lost for f in ordered if f.lost}
    on_splits = any(f.repeats == SPLITS for f in ordered)
    where = None if on_splits else "on this test split"
    if on_splits:
        judged = f"{first.judge} on {first.n_seeds} fresh splits judges them"
    else:
        judged = f"{first.judge} on the test split judges them"
    return [
        f"{first.objective} on the validation split chose these points; {judged}",
        *(sentence(difference, lost=lost, where=where) for difference in found),
        *(f"{f.name}: {f.lost.of()}" for f in ordered if f.lost and not f.n),
    ]


def in_order(finalists: Sequence[Finalist], direction: str) -> list[Finalist]:
    """The best mean of the judging metric first. Points with seeds that were not completed come last: the mean of the
    seeds that are left is too good."""
    sign = -1 if direction == "maximize" else 1

    def place(finalist: Finalist) -> tuple[bool, bool, float, int]:
        found = finalist.test
        return found is None, finalist.lost is not None, sign * found.mean if found else 0.0, finalist.number

    return sorted(finalists, key=place)


def _table(finalists: Sequence[Finalist]) -> str:
    """One row for each finalist: mean, standard deviation and 95 % interval of objective and test metrics."""
    first = finalists[0]
    keys = list(dict.fromkeys(key for f in finalists for key in f.overrides))
    measures = {OBJECTIVE: first.objective, **{name: name for name in dict.fromkeys((TEST, first.judge))}}
    columns = [f"{measure}{end}" for measure in measures for end in ("", "_std", "_low", "_high")]
    columns = ["number", "n", "diverged", "chosen_by", "judged_by", *columns]
    rows: list[list[Any]] = [[*columns, *override_columns(keys, (*columns, *RESULTS))]]
    for f in finalists:
        found = [f.summary(metric) for metric in measures.values()]
        numbers = [x for s in found for x in ((s.mean, s.std, s.low, s.high) if s else (None,) * 4)]
        own = [f.number, f.n, f.n_seeds - f.n, f.objective, f.judge]
        rows.append([*own, *numbers, *(f.overrides.get(key) for key in keys)])
    return csv_text(rows)
