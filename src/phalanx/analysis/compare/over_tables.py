"""A comparison over data sets as tables: for the terminal, Markdown and CSV."""

from collections.abc import Iterator, Sequence
from typing import Any

from phalanx.analysis.compare.found import Comparison, OverData
from phalanx.analysis.compare.keys import short_names
from phalanx.analysis.compare.over_data import ABOUT_DATA

DATA_SETS = "data sets"  # what the repeats are
MEAN_RANK = "mean rank"
MOST_COLUMNS = 6  # groups beside each other in the table of values


def over_title(comparison: Comparison, over: OverData) -> str:
    """What is compared over which data sets."""
    by = ", ".join(short_names(comparison.by).values()) or "nothing that varies"
    return f"{ABOUT_DATA} ({', '.join(over.data)}): {comparison.measure.title} by {by}"


def rank_table(over: OverData) -> tuple[list[str], list[list[str]]]:
    """Header and rows: every group with its mean rank, and on how many data sets it is the best or among the best."""
    lost = any(group.lost for group in over.groups)
    rows = [[group.label, str(over.ranks.n), f"{over.ranks.mean_ranks[group.label]:.2f}",
             *([group.lost.counts if group.lost else "0"] if lost else [])] for group in over.groups]  # fmt: skip
    return ["group", DATA_SETS, MEAN_RANK, *(["not completed"] if lost else [])], rows


def value_table(over: OverData, places: int) -> tuple[list[str], list[list[str]]]:
    """Header and rows: every data set with the value of every group.

    Args:
        over: The comparison.
        places: Decimals.
    """
    labels = [group.label for group in over.groups]
    columns = [[f"{value:.{places}f}" for value in over.values[label]] for label in labels]
    return ["data set", *labels], [[name, *cells] for name, *cells in zip(over.data, *columns, strict=True)]


def rank_rows(comparison: Comparison, over: OverData) -> Iterator[list[Any]]:
    """The groups as rows of `groups_csv`: n data sets, and the mean rank as their mean."""
    for group in over.groups:
        mean = over.ranks.mean_ranks[group.label]
        lost = sum(group.lost.by_status.values()) if group.lost else 0
        numbers = [over.ranks.n, mean, None, None, None, group.n_runs, lost]
        yield [_where(over), *group.keys.values(), MEAN_RANK, *numbers, "", DATA_SETS]


def rank_difference_rows(over: OverData, n_columns: int) -> Iterator[list[Any]]:
    """The pairs as rows of `differences_csv`: the mean rank of a minus that of b, with Nemenyi's interval.

    Args:
        over: The comparison.
        n_columns: The length of a row.
    """
    half = over.ranks.critical_difference
    for d in over.ranks.differences:
        away = d.ranks[0] - d.ranks[1]
        ends: Sequence[float | None] = (None, None) if half is None else (away - half, away + half)
        row = [_where(over), MEAN_RANK, d.a, d.b, over.ranks.n, away, *ends, d.p, d.p_adjusted, None, DATA_SETS]
        yield [*row, *[None] * (n_columns - len(row))]


def _where(over: OverData) -> str:
    return f"over {over.ranks.n} data sets"
