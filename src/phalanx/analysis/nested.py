"""What a whole search reaches on rows that none of it saw: one search for each outer fold, tested on that fold.

The best validation value of a search is too good, because the search chose by it. Each outer fold is kept from a search
of its own, which is then judged by it; the mean over them estimates what the same search would reach on all data.
Varma and Simon (2006), BMC Bioinformatics 7:91.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from phalanx.analysis.final import Finalist, read_finalists
from phalanx.analysis.statistics import Summary, Values, summarise
from phalanx.analysis.student import evaluated_share
from phalanx.core.csv_text import csv_text, override_columns
from phalanx.core.errors import RunFolderError, UnreadableFile
from phalanx.core.files import write_json, write_text
from phalanx.core.metrics import limits_of
from phalanx.core.quantities import counted, number
from phalanx.core.reading import read_entry
from phalanx.runs.final_folder import chosen_by_final, decided
from phalanx.runs.layout import NestedPaths, SweepPaths
from phalanx.runs.stored_run import StoredRun
from phalanx.runs.sweep_folder import collect, direction_of, front_first, ranked

COLUMNS = ("outer_fold", "trial", "n_seeds", "searched", "tested", "tested_std", "n_test")


@dataclass(frozen=True)
class OuterFold:
    """One outer fold: the trial that its search chose, and what that reached on the outer fold."""

    number: int
    folder: str  # of its search, beside the table
    trial: StoredRun
    finalist: Finalist  # the trial's point on fresh seeds, tested on the outer fold

    @property
    def searched(self) -> float | None:
        """The objective in the search, by which the trial was chosen."""
        return self.trial.value

    @property
    def tested(self) -> Summary | None:
        """The judging metric on the outer fold, over the fresh seeds that were completed; None if none was."""
        return self.finalist.test


@dataclass(frozen=True)
class Nested:
    """All outer folds that have been tested."""

    folds: tuple[OuterFold, ...]
    n_folds: int  # of the request
    direction: str

    @property
    def chosen_by(self) -> str:
        """The metric of the searches."""
        return self.folds[0].finalist.objective

    @property
    def judged_by(self) -> str:
        """The metric of the outer folds."""
        return self.folds[0].finalist.judge

    @property
    def estimate(self) -> Summary | None:
        """The mean over the outer folds, each the mean over its seeds, with its 95 % interval. The training rows of any
        two outer folds overlap, for which the interval is corrected (Nadeau and Bengio 2003). None without a value."""
        values: Values = {
            (fold.number, repeat[-1] if isinstance(repeat, tuple) else repeat): value
            for fold in self.folds
            for repeat, value in fold.finalist.metrics.get(self.judged_by, {}).items()
        }
        if not values:
            return None
        sizes = [fold.trial.data for fold in self.folds if fold.trial.data is not None]
        shares = [evaluated_share(data.n_train + data.n_val, data.n_test) for data in sizes]
        return summarise(values, limits=limits_of(self.judged_by), correlation=max(shares, default=0.0))

    @property
    def optimism(self) -> float | None:
        """By how much the searches' own best values are better than the estimate; None without these."""
        found, own = self.estimate, [fold.searched for fold in self.folds if fold.searched is not None]
        if found is None or not own or self.chosen_by.partition("_")[2] != self.judged_by.partition("_")[2]:
            return None
        return (statistics.fmean(own) - found.mean) * (-1 if self.direction == "minimize" else 1)

    def sentences(self) -> list[str]:
        """What the outer folds say."""
        found, optimism = self.estimate, self.optimism
        if found is None:
            return [f"no outer fold has {self.judged_by}, since no seed was completed"]
        ends = "" if found.low is None else f" [{number(found.low)}, {number(found.high)}]"
        over = f"95 % interval over {counted(found.n, 'outer fold')}, corrected for the training rows that they share"
        text = f"{self.judged_by} of what such a search chooses: {number(found.mean)}{ends}"
        lines = [f"{text}, {over}" if ends else text]
        if optimism is not None:
            own = statistics.fmean(fold.searched for fold in self.folds if fold.searched is not None)
            lines.append(
                f"the searches' own best {self.chosen_by} is {number(own)} on average, "
                f"{number(abs(optimism))} {'better' if optimism >= 0 else 'worse'}: they chose by it"
            )
        if lost := [
            f"outer fold {fold.number}: {fold.finalist.lost.of()}" for fold in self.folds if fold.finalist.lost
        ]:
            lines += lost
        if len(self.folds) < self.n_folds:
            lines.append(f"{len(self.folds)} of {counted(self.n_folds, 'outer fold')} have been tested so far")
        return lines


def read_nested(paths: NestedPaths) -> Nested:
    """Reads the outer folds whose searches have trained their final.

    Raises:
        RunFolderError: There is none.
        UnreadableFile: A file is damaged.
    """
    n_folds = read_entry(paths.summary, "outer_folds", int)
    if n_folds < 2:
        raise UnreadableFile(paths.summary, f"is damaged: outer_folds must be 2 or more, got {n_folds}")
    found = [(i, sweep) for i in range(n_folds) if (sweep := paths.outer(i)).manifest.is_file()]
    folds = [fold for i, sweep in found if (fold := _outer_fold(i, sweep)) is not None]
    if not folds:
        raise RunFolderError(f"{paths.root} has no outer fold that was tested; type the command of the search again")
    return Nested(tuple(folds), n_folds, direction_of([fold.trial for fold in folds]))


def _outer_fold(number: int, paths: SweepPaths) -> OuterFold | None:
    trials = collect(paths)
    best = decided(front_first(ranked(trials, direction_of(trials))), chosen_by_final(paths)) if trials else []
    finalists = read_finalists(paths, best[:1])
    return OuterFold(number, paths.root.name, best[0], finalists[0]) if finalists else None


def write_nested(paths: NestedPaths, found: Nested) -> None:
    """Writes `nested.csv`, a row for each outer fold, and `nested.json`, the estimate and its sentences."""
    keys = list(dict.fromkeys(key for fold in found.folds for key in fold.trial.overrides))
    rows: list[list[object]] = [[*COLUMNS, *override_columns(keys, COLUMNS)]]
    for fold in found.folds:
        tested, data = fold.tested, fold.trial.data
        own = [fold.number, fold.trial.number, fold.finalist.n, fold.searched]
        own += [tested.mean, tested.std] if tested else [None, None]
        rows.append([*own, data.n_test if data else None, *(fold.trial.overrides.get(key) for key in keys)])
    write_text(paths.table, csv_text(rows))
    content: Mapping[str, object] = {
        "outer_folds": found.n_folds, "chosen_by": found.chosen_by, "judged_by": found.judged_by,
        "estimate": asdict(estimate) if (estimate := found.estimate) else None, "optimism": found.optimism,
        "sentences": found.sentences(),
    }  # fmt: skip
    write_json(paths.summary, content)


def shared_keys(folds: Sequence[OuterFold]) -> set[str]:
    """The keys in which the chosen trials do not differ, and that of the outer fold."""
    shared = set.intersection(*(set(fold.trial.overrides.items()) for fold in folds)) if len(folds) > 1 else set()
    return {"data.outer_fold", "data.outer_folds", *(key for key, _ in shared)}
