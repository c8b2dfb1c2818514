"""The final of a search: its best points trained once more on fresh seeds, with intervals, tests and the test split."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import ClassVar

from phalanx.analysis.statistics import Summary, compare, resolution, summarise
from phalanx.analysis.wording import sentence
from phalanx.core.files import write_json, write_text
from phalanx.core.result import limits_of
from phalanx.core.specs import Spec, static
from phalanx.runs.layout import FINAL, SweepPaths
from phalanx.runs.stored_run import StoredRun, find_stored_run

OBJECTIVE, TEST = "objective", "test_accuracy"


@dataclass(frozen=True)
class FinalSpec(Spec):
    """How many points, and with how many seeds each."""

    group: ClassVar[str] = "hydra.sweeper.final"
    top: int = static(3, ge=1)
    seeds: int = static(10, ge=2)


@dataclass(frozen=True)
class Finalist:
    """One point on its fresh seeds."""

    number: int  # the trial it comes from
    overrides: Mapping[str, str]
    values: Mapping[int, float]  # the objective by seed; a seed that diverged has none
    tests: Mapping[int, float]  # the test accuracy by seed
    n_seeds: int
    objective: str  # its name

    @property
    def name(self) -> str:
        return f"trial {self.number}"

    @property
    def n_diverged(self) -> int:
        return self.n_seeds - len(self.values)

    @cached_property
    def value(self) -> Summary:
        """Mean and interval of the objective."""
        return summarise(self.values, limits=limits_of(self.objective))

    @cached_property
    def test(self) -> Summary:
        """Mean and interval of the test accuracy."""
        return summarise(self.tests, limits=limits_of(TEST))


def chosen(best: Sequence[StoredRun], top: int) -> list[StoredRun]:
    """The first `top` different points among the trials, which come best first."""
    different = {tuple(sorted(trial.overrides.items())): trial for trial in reversed(best)}
    kept = {trial.number for trial in different.values()}
    return [trial for trial in best if trial.number in kept][:top]


def read_finalists(paths: SweepPaths, trials: Sequence[StoredRun]) -> list[Finalist]:
    """The finalists that have been trained so far; a point whose every seed diverged is left out."""
    found: list[Finalist] = []
    if not paths.root.joinpath(FINAL).is_dir():
        return found
    for trial in trials:
        final = find_stored_run(paths.final(trial.number).root)
        seeds = () if final is None else final.repeats
        values = {row.seed: row.value for row in seeds if row.value is not None}
        tests = {row.seed: test for row in seeds if row.seed in values and (test := row.metrics[TEST]) is not None}
        if values:
            name = trial.objective.name
            found.append(Finalist(trial.number, trial.overrides, values, tests, len(seeds), name))
    return found


def write_final(paths: SweepPaths, finalists: Sequence[Finalist], direction: str) -> list[str]:
    """Writes `final.csv` and `final.json`; returns what they say in sentences.

    The best is the one with the best mean objective on the fresh seeds; the others are tested against it, paired by
    seed, with Holm's correction over all pairs, since only the values say which one is the best. The test split
    chooses nothing.
    """
    ordered = in_order(finalists, direction)
    write_text(paths.final_table, _table(ordered))
    best = ordered[0].name if ordered else None
    differences = {}
    for measure, way in ((OBJECTIVE, direction), (TEST, "maximize")):
        groups = {f.name: (f.values if measure == OBJECTIVE else f.tests) for f in ordered}
        metric = ordered[0].objective if measure == OBJECTIVE and ordered else TEST
        found = compare(groups, way, step=resolution(groups.values()), limits=limits_of(metric))
        differences[measure] = [difference for difference in found if best in (difference.a, difference.b)]
    sentences = [sentence(difference) for difference in differences[OBJECTIVE]]
    content = {measure: [asdict(d) for d in found] for measure, found in differences.items()}
    write_json(paths.final_tests, {"best": best, "sentences": sentences, "differences": content})
    return sentences


def in_order(finalists: Sequence[Finalist], direction: str) -> list[Finalist]:
    """The best mean objective first."""
    sign = -1 if direction == "maximize" else 1
    return sorted(finalists, key=lambda f: (sign * f.value.mean, f.number))


def _table(finalists: Sequence[Finalist]) -> str:
    """One row for each finalist: mean, standard deviation and 95 % interval of objective and test accuracy."""
    keys = list(dict.fromkeys(key for f in finalists for key in f.overrides))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [f"{measure}{end}" for measure in (OBJECTIVE, TEST) for end in ("", "_std", "_low", "_high")]
    writer.writerow(["number", "n", "diverged", *columns, *keys])
    for f in finalists:
        numbers = [number for s in (f.value, f.test) for number in (s.mean, s.std, s.low, s.high)]
        writer.writerow([f.number, f.value.n, f.n_diverged, *numbers, *(f.overrides.get(key) for key in keys)])
    return text.getvalue()
