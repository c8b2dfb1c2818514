"""A diff as text: tables for the terminal, and CSV."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from phalanx.analysis.diff.found import Diff
from phalanx.analysis.diff.rows import plain
from phalanx.analysis.diff.samples import SampleDiff
from phalanx.analysis.wording import format_p
from phalanx.core.csv_text import csv_text
from phalanx.core.quantities import counted


def show(diff: Diff, console: Console, most: int) -> None:
    """Prints everything.

    Args:
        diff: What differs.
        console: Where to print.
        most: How many of the samples on which they disagree are shown.
    """
    for side, folder in zip("AB", diff.folders, strict=True):
        console.print(Text(f"{side}  {plain(folder)}"), soft_wrap=True)
    console.print()
    for section, n_keys in diff.n_keys.items():
        _show_section(diff, section, n_keys, console)
    if diff.samples is not None:
        _show_samples(diff.samples, console, most)
    elif diff.no_samples:
        console.print(Text(f"note: samples are not compared: {diff.no_samples}"), style="dim", soft_wrap=True)
    for text in diff.notes:
        console.print(Text(f"note: {text}"), style="dim", soft_wrap=True)


def _show_section(diff: Diff, section: str, n_keys: int, console: Console) -> None:
    rows = diff.section(section)
    if not rows:
        console.print(Text(f"{section}: the same" + (f" ({counted(n_keys, 'key')})" if n_keys else "")))
        return
    changes = any(row.change is not None for row in rows)
    differ = f"{len(rows)} of {counted(n_keys, 'key')} differ{'s' if len(rows) == 1 else ''}"
    table = _table(["key", "A", "B", *(["B - A"] if changes else [])], right=("A", "B", "B - A") if changes else ())
    for row in rows:
        change = [f"{row.change:+.4g}" if row.change is not None else ""] if changes else []
        table.add_row(*map(Text, [row.key, row.a, row.b, *change]))
    console.print(Text(f"{section}: {differ}"), soft_wrap=True)
    console.print(table)


def _table(header: list[str], right: tuple[str, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for cell in header:
        table.add_column(Text(cell), overflow="fold", justify="right" if cell in right else "left")
    return table


def verdict(samples: SampleDiff) -> str:
    """McNemar's test in words."""
    n, (right_a, right_b) = samples.n_samples, samples.right
    shares = f"A is right on {right_a:,} of {n:,} {samples.split} samples, B on {right_b:,}"
    alone = f"A alone on {samples.only_a:,}, B alone on {samples.only_b:,}"
    if not samples.only_a + samples.only_b:
        return f"{shares}: on the same ones"
    p = format_p(samples.p)
    if samples.p >= 0.05:
        return f"{shares}; {alone}: no difference is shown (McNemar's exact test, {p})"
    better, worse = ("A", "B") if samples.only_a > samples.only_b else ("B", "A")
    return f"{shares}; {alone}: {better} is better than {worse} on such samples (McNemar's exact test, {p})"


def _show_samples(samples: SampleDiff, console: Console, most: int) -> None:
    console.print(Text(f"  {verdict(samples)}"), soft_wrap=True)
    console.print(Text("  that holds for these two trained networks; over seeds: phalanx compare"), soft_wrap=True)
    total = len(samples.disagreements)
    if not total:
        console.print(Text("  they put all samples into the same classes"))
        return
    shown = samples.disagreements[:most]
    which = f"the {len(shown)} most confident of {total:,}" if len(shown) < total else f"all {total:,}"
    console.print(Text(f"  {which} disagreements, rows of {samples.rows_of} from 1"), soft_wrap=True)
    table = _table(["row", "true", "A", "p", "B", "p"], right=("row",))
    for d in shown:
        table.add_row(*map(Text, [f"{d.row:,}", d.true, d.a, f"{d.p_a:.3f}", d.b, f"{d.p_b:.3f}"]))
    console.print(table)


def rows_csv(diff: Diff) -> str:
    """One row for each key that differs."""
    rows: list[list[Any]] = [["section", "key", "a", "b", "change"]]
    return csv_text([*rows, *([row.section, row.key, row.a, row.b, row.change] for row in diff.rows)])


def samples_csv(samples: SampleDiff | None) -> str:
    """One row for each sample on which they disagree, the most confident first."""
    rows: list[list[Any]] = [["split", "row", "true", "a", "p_a", "b", "p_b"]]
    for d in samples.disagreements if samples else ():
        rows.append([samples.split if samples else "", d.row, d.true, d.a, d.p_a, d.b, d.p_b])
    return csv_text(rows)
