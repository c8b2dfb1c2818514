"""How often a comparison says what is not so: by simulation, with the code that `phalanx compare` and a final run.

    python benchmarks/error_rates.py [--comparisons 4000] [--quick]

First all groups are equal in truth, so every difference that is shown is a false alarm. The rate is family-wise: the
share of comparisons with one false alarm or more among all their pairs. It should be at most 5 %. With N comparisons a
true rate of 5 % is seen within 1.96 * sqrt(0.05 * 0.95 / N) in 95 % of simulations; what lies above that is printed
with a mark. A second table gives the share of intervals that hold the truth, and of real differences that are found; a
third the share of comparisons of unequal groups in which all intervals hold the truth at once; a fourth how intervals
of a mean accuracy do near 1, where a t interval leaves the range: cut there, and by ways that stay in it. The others
show four mistakes, each beside what is done instead: survivors that win, a final that is judged by the split that chose
its points, seeds on one split taken for splits, and equality of many pairs without correction. The last three are about
folds, about several data sets, and about the probabilities of `--relevant`.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import date

import numpy as np
from overlapping import at_the_edge, folds_rates, one_differs, over_data

from phalanx.analysis.equivalence import equivalence
from phalanx.analysis.statistics import Difference, compare, paired, summarise
from phalanx.analysis.student import resolution
from phalanx.analysis.wording import Lost, sentence

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]

NOISE: dict[str, Draw] = {
    "normal": lambda r, shape: r.normal(size=shape),
    "heavy tails (t, 3 df)": lambda r, shape: r.standard_t(3, size=shape),
    "skewed (log-normal)": lambda r, shape: r.lognormal(0, 1, size=shape),
    "accuracy of 10,000 samples": lambda r, shape: r.binomial(10_000, 0.98, shape) / 10_000,
    "accuracy of 360 samples": lambda r, shape: r.binomial(360, 0.965, shape) / 360,
    "accuracy of 40 samples": lambda r, shape: r.binomial(40, 0.965, shape) / 40,
}
GROUPS, SEEDS = (2, 3, 6), (3, 5, 10)


def false_alarms(draw: Draw, n_groups: int, n_seeds: int, n: int, stream: np.random.Generator) -> float:
    """The family-wise rate among `n` comparisons of equal groups, all pairs."""
    false = 0
    for table in draw(stream, (n, n_groups, n_seeds)).tolist():
        groups = {str(i): dict(enumerate(row)) for i, row in enumerate(table)}
        false += any(d.shown for d in compare(groups, "maximize", step=resolution(groups.values())))
    return false / n


def coverage_and_power(n_seeds: int, shift: float, n: int, stream: np.random.Generator) -> tuple[float, float]:
    """How often the 95 % interval of a pair holds a true difference of `shift` standard deviations, and how often
    that difference is shown."""
    covered = shown = 0
    for a, b in stream.normal(size=(n, 2, n_seeds)) * math.sqrt(0.5):  # so the differences have a spread of 1
        found = paired(dict(enumerate(a + shift)), dict(enumerate(b)))
        covered += found.low <= shift <= found.high
        shown += found.shown
    return covered / n, shown / n


def covered_together(n_groups: int, n_seeds: int, n: int, stream: np.random.Generator) -> tuple[float, float, float]:
    """The share of comparisons of groups that differ in truth, all pairs, in which every interval holds the true
    difference; the same of intervals that hold for one pair each; and that of a sentence whose interval and verdict
    contradict each other."""
    truth = np.arange(n_groups) * 0.5
    together = alone = contradict = 0
    for table in stream.normal(size=(n, n_groups, n_seeds)) * np.linspace(1, 2, n_groups)[:, None]:
        found = compare(by_seed(table + truth[:, None]), "maximize")
        together += all(d.low <= difference(truth, d) <= d.high for d in found)
        singly = [replace(d, pairs=1).at(0.95) for d in found]
        alone += all(d.low <= difference(truth, d) <= d.high for d in singly)
        contradict += any(d.shown == (d.low <= 0 <= d.high) for d in found)
    return together / n, alone / n, contradict / n


def cut(row: np.ndarray, samples: int, stream: np.random.Generator) -> tuple[float, float]:
    found = summarise(row.tolist(), limits=(0.0, 1.0))
    return found.low, found.high


def logit(row: np.ndarray, samples: int, stream: np.random.Generator) -> tuple[float, float]:
    """Student's interval of the log odds, half a sample added to right and wrong ones so that there always are some."""
    found = summarise(np.log((samples * row + 0.5) / (samples * (1 - row) + 0.5)).tolist())
    return 1 / (1 + math.exp(-found.low)), 1 / (1 + math.exp(-found.high))


def bootstrap(row: np.ndarray, samples: int, stream: np.random.Generator) -> tuple[float, float]:
    return tuple(np.quantile(stream.choice(row, (500, len(row))).mean(1), (0.025, 0.975)))


WAYS = {"t, cut at 1": cut, "t of the logit": logit, "bootstrap": bootstrap}
NEAR_ONE = ((10_000, 0.98), (360, 0.965), (360, 0.99), (36, 0.965), (36, 0.99), (36, 0.999))


def held(samples: int, true: float, n: int, stream: np.random.Generator) -> list[float]:
    """The share of `n` intervals of ten seeds that hold the true mean, by each way; then of those of no width."""
    rows = stream.binomial(samples, true, (n, SEEDS[-1])) / samples
    ends = [[way(row, samples, stream) for row in rows] for way in WAYS.values()]
    return [*(np.mean([low <= true <= high for low, high in found]) for found in ends), np.mean(np.ptp(rows, 1) == 0)]


def by_seed(table: np.ndarray) -> dict[str, dict[int, float]]:
    return {str(i): dict(enumerate(row)) for i, row in enumerate(table.tolist())}


def survivors_win(n_left: int, n: int, stream: np.random.Generator) -> dict[str, float]:
    """How often one of two equal settings wins, if only its best `n_left` of ten seeds do not diverge."""
    wins = {"counted by the seeds left": 0, "now": 0}
    for a, b in stream.normal(size=(n, 2, 10)):
        left = {int(seed): float(b[seed]) for seed in np.argsort(b)[-n_left:]}
        (found,) = compare({"sound": dict(enumerate(a.tolist())), "diverging": left}, "maximize")
        wins["counted by the seeds left"] += found.shown and found.better == "diverging"
        lost = {"diverging": Lost({"diverged": 10 - n_left}, 10)}
        wins["now"] += sentence(found, lost=lost).startswith("diverging beats")
    return {way: count / n for way, count in wins.items()}


EFFECT, NOISE_OF_SEEDS = 0.3, 0.5  # points: what a split does to a configuration, and the spread of its seeds


def finals(n: int, stream: np.random.Generator) -> dict[str, tuple[float, float]]:
    """Finals among equals: three of sixteen points, chosen by one seed on the validation split, on ten fresh seeds.

    Returns for each way to judge them how often a difference is shown that is not so, and the share of intervals that
    hold the true difference: that on the split itself, or that over all splits, which is zero.
    """
    same = np.zeros(3)
    counts = {way: np.zeros(2) for way in FINALS}
    for _ in range(n):
        effects = stream.normal(0, EFFECT, 16)
        best = np.argsort(effects + stream.normal(0, NOISE_OF_SEEDS, 16))[-3:]
        test, fresh = stream.normal(0, EFFECT, (3, 1)), stream.normal(0, EFFECT, (3, 10))
        noise = stream.normal(0, NOISE_OF_SEEDS, (3, 10))
        judges = (effects[best][:, None], same), (test, same), (test, test[:, 0]), (fresh, same)
        for way, (there, truth) in zip(FINALS, judges, strict=True):
            found = compare(by_seed(there + noise), "maximize")
            wrong = any(d.shown and np.sign(d.mean) != np.sign(difference(truth, d)) for d in found)
            counts[way] += wrong, np.mean([d.low <= difference(truth, d) <= d.high for d in found])
    return {way: (float(wrong) / n, float(held) / n) for way, (wrong, held) in counts.items()}


FINALS = (
    "the validation split that chose, taken for all splits", "one test split, taken for all splits",
    "one test split, for that split", "ten fresh splits, for all splits",
)  # fmt: skip


def difference(truth: np.ndarray, d: Difference) -> float:
    return float(truth[int(d.a)] - truth[int(d.b)])


def one_split_or_several(n: int, stream: np.random.Generator) -> dict[str, tuple[float, float]]:
    """How often two settings that are equal over splits differ, and how often the interval holds their difference over
    splits. On one split there are ten seeds; on six splits five each, and either each run or each split is a repeat."""
    counts = {way: np.zeros(2) for way in ("ten seeds on one split", "30 runs as repeats", "six splits as repeats")}
    for _ in range(n):
        one = stream.normal(0, EFFECT, (2, 1)) + stream.normal(0, NOISE_OF_SEEDS, (2, 10))
        several = stream.normal(0, EFFECT, (2, 6, 1)) + stream.normal(0, NOISE_OF_SEEDS, (2, 6, 5))
        runs = by_seed(several.reshape(2, -1))
        pooled = {name: {divmod(i, 5): value for i, value in values.items()} for name, values in runs.items()}
        for way, groups in zip(counts, (by_seed(one), runs, pooled), strict=True):
            (found,) = compare(groups, "maximize")
            counts[way] += found.shown, found.low <= 0 <= found.high
    return {way: (float(shown) / n, float(held) / n) for way, (shown, held) in counts.items()}


def false_equalities(n_groups: int, n: int, stream: np.random.Generator) -> dict[str, float]:
    """How often "any difference is smaller than SIZE" is false for one pair or more: half of the groups are better by
    just SIZE. Ten seeds; SIZE is two standard deviations of a difference."""
    size, false = 2 * math.sqrt(2), {"each pair for itself": 0, "corrected for all pairs": 0}
    truth = np.where(np.arange(n_groups) % 2, size, 0.0)
    for _ in range(n):
        found = compare(by_seed(stream.normal(size=(n_groups, 10)) + truth[:, None]), "maximize")
        different = [difference(truth, d) != 0 for d in found]
        alone = [equivalence([d], size)[0] for d in found]
        for way, judged in zip(false, (alone, equivalence(found, size)), strict=True):
            false[way] += any(d.equivalent for d, apart in zip(judged, different, strict=True) if apart)
    return {way: count / n for way, count in false.items()}


def overlapping_rates(n: int, stream: np.random.Generator) -> None:
    """The tables of folds, data sets and probabilities; see `overlapping.py`."""
    table("| equal learners | own rows, folds taken for independent | own rows, Nadeau and Bengio | own rows "
          "| test split, independent | test split, corrected as own rows | test split |",
          dict(folds_rates(n, stream)))  # fmt: skip
    sizes = [(groups, data) for groups in (2, 4) for data in (3, 6, 8, 15)]
    rates = {f"{groups}, {data}": (*over_data(groups, data, n // 4, stream),
                                   *(one_differs(groups, data, n // 4, stream) if groups > 2 else (math.nan,) * 2))
             for groups, data in sizes}  # fmt: skip
    table(
        "| groups, data sets | all pairs | with a baseline | all pairs, one group is worse | with a baseline |", rates
    )
    table("| seeds | better by SIZE, in truth by just SIZE | in truth by nothing | neither, in truth by just SIZE |",
          {str(seeds): at_the_edge(seeds, n, stream) for seeds in SEEDS})  # fmt: skip


def table(head: str, rows: dict[str, tuple[float, ...]]) -> None:
    print(f"\n{head}\n|" + " --- |" * (head.count("|") - 1))
    for name, shares in rows.items():
        cells = ["–" if math.isnan(share) else f"{100 * share:.1f} %" for share in shares]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def mistakes(n: int, stream: np.random.Generator) -> None:
    """The tables of four mistakes, each beside what is done instead."""
    wins = {f"{left} of 10": survivors_win(left, n, stream) for left in (3, 5, 8)}
    table("| seeds left | the diverging one wins, counted by the seeds left | now |",
          {name: tuple(rates.values()) for name, rates in wins.items()})  # fmt: skip
    table("| a final judged by | difference shown that is not so | intervals that hold the truth |", finals(n, stream))
    table("| settings equal over splits | difference shown | intervals that hold the difference over splits |",
          one_split_or_several(n, stream))  # fmt: skip
    table("| groups | a false \"any is smaller\", each pair for itself | corrected for all pairs |",
          {str(groups): tuple(false_equalities(groups, n, stream).values()) for groups in (2, 4, 10)})  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=4000)
    parser.add_argument("--quick", action="store_true", help="40 comparisons each: does it still run?")
    arguments = parser.parse_args()
    n = 40 if arguments.quick else arguments.comparisons
    stream = np.random.default_rng(0)
    tolerance = 1.96 * math.sqrt(0.05 * 0.95 / n)
    print(f"{date.today()}, {n} comparisons each: 5 % is seen within ± {100 * tolerance:.1f} points\n")
    print("| groups | seeds | " + " | ".join(NOISE) + " |\n|" + " --- |" * (len(NOISE) + 2))
    for n_groups in GROUPS:
        for n_seeds in SEEDS:
            rates = [false_alarms(draw, n_groups, n_seeds, n, stream) for draw in NOISE.values()]
            cells = [f"{100 * rate:.1f} %{' (!)' if rate > 0.05 + tolerance else ''}" for rate in rates]
            print(f"| {n_groups} | {n_seeds} | " + " | ".join(cells) + " |", flush=True)
    print("\n| seeds | coverage of 95 % intervals | a difference of 1 sd found | of 2 sd found |")
    print("| --- | --- | --- | --- |")
    for n_seeds in SEEDS:
        (share, one), (_, two) = (coverage_and_power(n_seeds, shift, n, stream) for shift in (1.0, 2.0))
        print(f"| {n_seeds} | {100 * share:.1f} % | {100 * one:.0f} % | {100 * two:.0f} % |", flush=True)
    table("| groups, seeds | all intervals of a comparison hold | if each is for its pair alone | interval against p |",
          {f"{groups}, {seeds}": covered_together(groups, seeds, n, stream)
           for groups in GROUPS for seeds in SEEDS})  # fmt: skip
    print("\n| true accuracy | samples | " + " | ".join(WAYS) + " | all seeds alike |\n|" + " --- |" * (len(WAYS) + 3))
    for samples, true in NEAR_ONE:
        cells = [f"{100 * share:.1f} %" for share in held(samples, true, n, stream)]
        print(f"| {true} | {samples:,} | " + " | ".join(cells) + " |", flush=True)
    mistakes(n, np.random.default_rng(1))
    overlapping_rates(n, np.random.default_rng(2))


if __name__ == "__main__":
    main()
