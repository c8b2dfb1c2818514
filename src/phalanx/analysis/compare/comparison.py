"""Groups of runs compared on one metric: means with intervals, paired differences by seed, sentences and notes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from phalanx.analysis.compare.groups import Group, grouped, usable, without_followers
from phalanx.analysis.compare.keys import parse_filters, resolve, value_of, varying
from phalanx.analysis.compare.run import MEASURED, Run
from phalanx.analysis.statistics import FEWEST, Difference, Limits, Summary, compare, resolution, summarise
from phalanx.analysis.wording import sentence
from phalanx.core.errors import RequestError, all_of
from phalanx.core.result import limits_of

TEST = "test_accuracy"
ALL_PAIRS = 10  # up to so many pairs each gets its sentence, else those with the best group
LARGEST = 20  # groups that are made without being asked for
POINTS = "points"


@dataclass(frozen=True)
class Measure:
    """The metric that is compared. Accuracies are shown in percent, their differences in points."""

    metric: str
    direction: str

    @property
    def scale(self) -> float:
        return 100.0 if self.counts_samples else 1.0

    @property
    def unit(self) -> str:
        return POINTS if self.counts_samples else ""

    @property
    def counts_samples(self) -> bool:
        return self.metric.endswith("accuracy")

    @property
    def limits(self) -> Limits:
        """The range of the metric, in the unit that is shown."""
        low, high = limits_of(self.metric)
        return self.scale * low, self.scale * high

    @property
    def title(self) -> str:
        return f"{self.metric}, %" if self.counts_samples else self.metric


@dataclass(frozen=True)
class Part:
    """The comparison on one data set. Groups come best first, their values in the unit that is shown."""

    data: str
    groups: tuple[Group, ...]
    summaries: tuple[Summary | None, ...]  # None for a group without a single value
    differences: tuple[Difference, ...]
    sentences: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """The result of `phalanx compare`."""

    measure: Measure
    by: tuple[str, ...]
    parts: tuple[Part, ...]
    notes: tuple[str, ...]


def compare_runs(
    runs: Sequence[Run], by: Sequence[str] = (), metric: str | None = None, baseline: str | None = None,
    relevant: float | None = None, where: Sequence[str] = (), notes: Sequence[str] = (),
) -> Comparison:  # fmt: skip
    """Compares groups of runs. Runs on different data are compared separately.

    Args:
        runs: The runs.
        by: The keys that make the groups; none for all that vary.
        metric: The metric; None for test_accuracy if all runs have it, else the objective.
        baseline: The label of the group that the others are tested against; None for all pairs.
        relevant: A difference that matters, in the unit shown.
        where: Conditions `key=value` that runs have to meet.
        notes: Notes to add to the comparison's own.

    Raises:
        RequestError: A key, metric or group does not exist.
    """
    runs = _matching(runs, where)
    keys, (measure, said) = all_of(lambda: resolve(by, runs) if by else _what_varies(runs),
                                   lambda: _measure(runs, metric))  # fmt: skip
    by_data: dict[str | None, list[Run]] = {}
    for run in runs:
        by_data.setdefault(run.data, []).append(run)
    kept = {data: found for data, found in by_data.items() if any(usable(run, measure.metric) for run in found)}
    names = _data_names(kept)
    parts = tuple(_part(names[data], found, keys, measure, baseline, relevant) for data, found in kept.items())
    if baseline is not None and not any(baseline == g.label for part in parts for g in part.groups):
        known = ", ".join(dict.fromkeys(repr(g.label) for part in parts for g in part.groups))
        raise RequestError(f"--baseline {baseline!r} is not one of the groups: {known}")
    lost = len(runs) - sum(map(len, kept.values()))
    if lost:
        said.append(f"{lost} run{'s' if lost > 1 else ''} left out, on data for which there is no value")
    if len(parts) > 1:
        said.append(f"{len(parts)} data sets ({', '.join(p.data for p in parts)}): compared apart, never averaged")
    return Comparison(measure, tuple(keys), parts, (*notes, *said))


def _what_varies(runs: Sequence[Run]) -> list[str]:
    """The keys that vary, except those of the data. Raises `RequestError` if they make too many groups."""
    keys = {key: values for key, values in varying(runs).items() if not key.startswith("data.")}
    chosen = list(without_followers([runs], list(keys)))
    if len({tuple(value_of(run, key) for key in chosen) for run in runs}) > LARGEST:
        options = [key.removesuffix(".name") for key in sorted(keys, key=lambda key: len(keys[key]))]
        raise RequestError(
            f"these {len(runs)} runs are nearly all different; say what to group them by: --by {options[0]}"
            + (f" (what varies: {', '.join(options)})" if len(options) > 1 else "")
        )
    return chosen


def _matching(runs: Sequence[Run], where: Sequence[str]) -> list[Run]:
    conditions = parse_filters(where, runs)
    found = [run for run in runs if all(value_of(run, key) == value for key, value in conditions.items())]
    if not found:
        values = {key: ", ".join(dict.fromkeys(value_of(run, key) for run in runs)) for key in conditions}
        raise RequestError(f"no run is left by --where {' '.join(where)}; there are {values}")
    return found


def _measure(runs: Sequence[Run], metric: str | None) -> tuple[Measure, list[str]]:
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
        return Measure(metric, direction_of(metric)), []
    if counts.get(TEST) == len(completed):
        return Measure(TEST, "maximize"), []
    objectives = {run.objective for run in completed}
    if len(objectives) > 1:
        raise RequestError(
            f"the runs have different objectives ({', '.join(sorted(objectives))}); say which metric: --metric NAME"
        )
    name = objectives.pop()
    if not counts.get(name):
        raise RequestError(f"the runs have no {name or 'objective'}; say which metric: --metric {there[0]}")
    missing = len(completed) - counts.get(TEST, 0)
    why = "a search leaves the test split alone" if missing == len(completed) else "some runs left it alone"
    return Measure(name, direction_of(name)), [f"{name} is compared: {TEST} is missing in {missing} of "
                                               f"{len(completed)} runs ({why})"]  # fmt: skip


def direction_of(metric: str) -> str:
    """`maximize` or `minimize`, by the metric's name."""
    lower = metric.endswith("loss") or (metric in MEASURED and metric != "samples_per_second")
    return "minimize" if lower else "maximize"


def _part(
    data: str, runs: Sequence[Run], by: Sequence[str], measure: Measure, baseline: str | None, relevant: float | None
) -> Part:  # fmt: skip
    made = grouped(runs, by, measure.metric)
    sign = -1 if measure.direction == "maximize" else 1
    scaled = [replace(g, seeds={seed: measure.scale * v for seed, v in g.seeds.items()}) for g in made.groups]
    summaries = {g.label: summarise(g.seeds, limits=measure.limits) if g.seeds else None for g in scaled}
    scaled.sort(key=lambda g: (False, sign * found.mean) if (found := summaries[g.label]) else (True, 0.0))
    tested = {g.label: g.seeds for g in scaled if g.seeds}
    step = resolution(tested.values()) if measure.counts_samples else 0.0
    fixed = baseline if baseline in tested else None
    notes = [*made.notes, *_other_losses(runs, measure)]
    fair = made.fair and notes == [*made.notes]
    pairs = compare(tested, measure.direction, fixed, step=step, limits=measure.limits) if fair else []
    return Part(
        data, tuple(scaled), tuple(summaries[g.label] for g in scaled), tuple(pairs),
        tuple(_sentences(pairs, measure, relevant)), (*notes, *_too_few(scaled, by, runs, pairs)),
    )  # fmt: skip


def _other_losses(runs: Sequence[Run], measure: Measure) -> list[str]:
    """A loss is another quantity for each loss function, and for each of its options."""
    differing = [key for key in varying(runs) if key.startswith("loss.")] if measure.metric.endswith("_loss") else []
    if not differing:
        return []
    split = measure.metric.removesuffix("loss")
    return [f"{measure.metric} means something else where {differing[0]} differs, so nothing is tested on it; "
            f"--metric {split}likelihood and {split}accuracy mean the same for all"]  # fmt: skip


def _sentences(found: Sequence[Difference], measure: Measure, relevant: float | None) -> list[str]:
    """A sentence for each pair, or where they are many, for those with the best group, which stands first."""
    best = found[0].a if found else None
    chosen = [d for d in found if len(found) <= ALL_PAIRS or best in (d.a, d.b)]
    texts = [sentence(d, measure.unit, relevant=relevant) for d in chosen]
    if len(chosen) < len(found):
        texts.append(f"({len(found)} pairs were compared, all counted in p; phalanx compare --csv FILE has them all)")
    return texts


def _too_few(groups: Sequence[Group], by: Sequence[str], runs: Sequence[Run], found: Sequence[Difference]) -> list[str]:
    notes = []
    seeds = sorted({seed for group in groups for seed in group.seeds})
    if len(seeds) == 1:
        notes.append(
            f"one seed only ({seeds[0]}): single runs differ by chance alone, train the groups with 'seed=range(10)'"
        )
    elif any(0 < len(group.seeds) < FEWEST for group in groups):
        notes.append(f"fewer than {FEWEST} seeds tell nothing; train again with 'seed=range(10)'")
    if any(d.n == 0 for d in found):
        notes.append("groups that share no seed are not paired: train them with the same seeds")
    if len(groups) == 1:
        keys = list(varying(runs, by))[:5]
        other = f"; what varies: {', '.join(keys)}" if keys else ""
        notes.append(f"one group only, so nothing is compared{other}")
    return notes


def _data_names(by_data: dict[str | None, list[Run]]) -> dict[str | None, str]:
    """A name for each data set: its own, where that is not enough with its other keys, else with its digest."""
    names = {data: value_of(runs[0], "data.name") for data, runs in by_data.items()}
    keys = [key for key in varying([runs[0] for runs in by_data.values()]) if key.startswith("data.")]
    for data in _alike(names):
        others = [f"{key}={value_of(by_data[data][0], key)}" for key in keys if key in by_data[data][0].config]
        names[data] = " ".join([names[data], *others])
    return names | {data: f"{names[data]} ({data})" for data in _alike(names)}


def _alike(names: Mapping[str | None, str]) -> list[str | None]:
    return [data for data, name in names.items() if list(names.values()).count(name) > 1]
