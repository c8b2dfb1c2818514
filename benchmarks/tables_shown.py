"""Prints what `tables_side_by_side.py` found: mean ranks with their critical difference, accuracy by table, seconds.

    python benchmarks/tables_shown.py [--results FILE] [--figure FILE.png] [--half judge|choose] [--only WAY ...]
    python benchmarks/tables_shown.py --pair WAY WAY  # the difference of two, on all divisions that both have

A way that lacks a table is left out, which is said. Of each table the splits count that all shown ways have: name those
with more of them by `--only`. Seconds are left out (null) where a network was taken from a cohort that was timed whole.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from scipy.stats import wilcoxon

from phalanx.analysis.compare.found import OverData
from phalanx.analysis.compare.groups import Group
from phalanx.analysis.ranks import RankComparison, compare_ranks
from phalanx.report.run_figures.critical_difference import draw_critical_difference
from phalanx.report.style import save_figure

RESULTS = Path(__file__).resolve().parents[1] / "outputs" / "tables_side_by_side.jsonl"
OURS = ("default", "strong_table")
Row = dict
Values = dict[str, dict[str, float]]  # by way and table


def shown_rows(rows: list[Row]) -> tuple[list[Row], dict[str, int]]:
    """The rows of ways that have every table, on the splits that all of these have; and the tables that others have."""
    tables = {row["table"] for row in rows}
    by_way = {way: {row["table"] for row in rows if row["way"] == way} for way in dict.fromkeys(r["way"] for r in rows)}
    whole = {way for way, found in by_way.items() if found == tables}
    splits = {
        table: set.intersection(
            *({row["split"] for row in rows if (row["table"], row["way"]) == (table, way)} for way in whole)
        )
        for table in tables
    }
    kept = [row for row in rows if row["way"] in whole and row["split"] in splits[row["table"]]]
    return kept, {way: len(found) for way, found in by_way.items() if way not in whole}


def means(rows: list[Row], key: str) -> Values:
    """The mean over splits, by way and table."""
    ways, tables = sorted({row["way"] for row in rows}), sorted({row["table"] for row in rows})
    return {
        way: {
            table: statistics.fmean(found)
            for table in tables
            if (
                found := [
                    row[key] for row in rows if (row["way"], row["table"]) == (way, table) and row[key] is not None
                ]
            )
        }
        for way in ways
    }


def line(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def summary(accuracy: Values, seconds: Values, ranks: RankComparison) -> list[str]:
    """A row a way: mean rank, mean accuracy, tables on which none is better, seconds."""
    best = {table: max(found[table] for found in accuracy.values()) for table in next(iter(accuracy.values()))}
    lines = [line("way", "mean rank", "mean accuracy", "best on", "CPU seconds a table"), line(*["---"] * 5)]
    for way in sorted(accuracy, key=lambda way: ranks.mean_ranks[way]):
        found = accuracy[way]
        n_best = sum(found[table] == best[table] for table in found)
        name = f"**{way}**" if way.startswith(OURS) else way
        mean, cost = statistics.fmean(found.values()), statistics.fmean(seconds[way].values())
        lines.append(line(name, f"{ranks.mean_ranks[way]:.2f}", f"{100 * mean:.2f}", n_best, f"{cost:.1f}"))
    return lines


def said(ranks: RankComparison) -> str:
    """What Friedman's and Nemenyi's tests say."""
    if ranks.p is None or ranks.critical_difference is None:
        return "These are too few tables to test."
    shown = [(d.better, d.b if d.better == d.a else d.a) for d in ranks.differences if d.shown]
    ours = [f"{one} is better than {other}" for one, other in shown if one.startswith(OURS) or other.startswith(OURS)]
    return (
        f"{ranks.n} tables; Friedman's test that no way differs: p = {ranks.p:.2g}; mean ranks that differ by "
        f"{ranks.critical_difference:.2f} or more are shown to differ (Nemenyi, 95 %). That holds for {len(shown)} of "
        f"{len(ranks.differences)} pairs, with ours among them for {len(ours)}: {'; '.join(ours) or 'none'}."
    )


def by_table(rows: list[Row], accuracy: Values, ranks: RankComparison) -> list[str]:
    ways = sorted(accuracy, key=lambda way: ranks.mean_ranks[way])
    lines = [line("table", "rows", "features", "classes", *ways), line(*["---"] * (4 + len(ways)))]
    for table in sorted({row["table"] for row in rows}):
        row = next(row for row in rows if row["table"] == table)
        n_rows = row["n_train"] + row["n_val"] + row["n_test"]
        cells = (f"{100 * accuracy[way][table]:.1f}" for way in ways)
        lines.append(line(table, n_rows, row["n_features"], row["n_classes"], *cells))
    return lines


def figure(accuracy: Values, ranks: RankComparison, file: Path) -> None:
    groups = tuple(Group(way, {}, {}, 0) for way in sorted(accuracy, key=lambda way: ranks.mean_ranks[way]))
    save_figure(draw_critical_difference(OverData((), groups, {}, ranks, (), ())), file)


def pair(rows: list[Row], one: str, other: str) -> str:
    """What `one` has more than `other`, in points: the mean over tables with its standard error."""
    both, _ = shown_rows([row for row in rows if row["way"] in (one, other)])
    accuracy = means(both, "accuracy")
    points = [100 * (accuracy[one][table] - accuracy[other][table]) for table in accuracy[one]]
    error = statistics.stdev(points) / len(points) ** 0.5
    better, worse = sum(value > 0 for value in points), sum(value < 0 for value in points)
    n = len({(row["table"], row["split"]) for row in both})
    return (
        f"{one} against {other}: {statistics.fmean(points):+.2f} ± {error:.2f} points over {len(points)} tables ({n} "
        f"divisions), better on {better} and worse on {worse}, Wilcoxon p = {wilcoxon(points).pvalue:.2g}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="the file that was written")
    parser.add_argument("--half", choices=["judge", "choose"], default="judge", help="the tables to show")
    parser.add_argument("--figure", type=Path, help="write the figure of mean ranks")
    parser.add_argument("--only", nargs="+", metavar="WAY", help="show these ways alone")
    parser.add_argument("--pair", nargs=2, metavar="WAY", help="print how the first differs from the second")
    args = parser.parse_args()
    rows = [row for row in map(json.loads, args.results.read_text().splitlines()) if row["half"] == args.half]
    if args.pair:
        return print(pair(rows, *args.pair))
    rows = [row for row in rows if not args.only or row["way"] in args.only]
    kept, lacking = shown_rows(rows)
    accuracy, seconds = means(kept, "accuracy"), means(kept, "seconds")
    ranks = compare_ranks({way: tuple(found.values()) for way, found in accuracy.items()}, "maximize")
    n_results = len({(row["table"], row["split"]) for row in kept})
    print(f"{len(next(iter(accuracy.values())))} tables, {n_results} divisions of them in all\n")
    print("\n".join(summary(accuracy, seconds, ranks)), said(ranks), sep="\n\n")
    if lacking:
        print("Left out, since they lack tables:", ", ".join(f"{way} ({n})" for way, n in lacking.items()))
    print("", *by_table(kept, accuracy, ranks), sep="\n")
    if args.figure:
        figure(accuracy, ranks, args.figure)


if __name__ == "__main__":
    main()
