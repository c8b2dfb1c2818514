"""Faults of the names in a table's header, and of a first line that is no header."""

from __future__ import annotations

import difflib
import itertools
import re

import numpy as np

from phalanx.data.cell_values import Kind
from phalanx.data.table_cells import SHOWN
from phalanx.data.table_faults import MANY, Refusal
from phalanx.data.table_rows import Column

_SMALL_STEP = 10
_HEAD = 1000  # rows by which a header is told from data


def check_names(refusal: Refusal) -> None:
    """Names that are not there, nameless and equal ones, and a first line that is no header."""
    found, asked = list(refusal.cells.frame.columns), refusal.asked
    wanted = {
        "target": (asked.target,),
        "drop": asked.drop,
        "numeric": asked.numeric,
        "categorical": asked.categorical,
        **{option: (name,) for option, name in asked.aside.items()},
    }
    if refusal.cells.header and asked.target not in found and (row := _data_in_header(refusal)):
        likely = _likely_target(refusal)
        refusal.faults.append(
            f"line {refusal.cells.header_line} looks like a row of data and not like a header ({row}), and there is "
            f"no column {asked.target!r}; without a header the columns are called column_1 to column_{len(found)}"
        )
        refusal.conditions.append(f"{likely} holds the class")
        refusal.options |= {"data.header": False, "data.target": likely}
        return
    refusal.faults += [
        f"data.{option}: there is no column {name!r}; {_suggest(name, found)}"
        for option, names in wanted.items()
        for name in names
        if name not in found
    ]
    if refusal.faults and not refusal.cells.kinds and (refusal.cells.hint or len(found) == 1):
        n = "one column" if len(found) == 1 else f"{len(found)} columns"
        refusal.faults.append(f"the file comes out as {n}, separated by {refusal.cells.layout.delimiter!r}")
        if refusal.cells.hint:
            refusal.options["data.delimiter"] = refusal.cells.hint
        return
    if asked.target not in found:
        if near := difflib.get_close_matches(asked.target, found, n=1):
            refusal.options["data.target"] = near[0]
        elif refusal.cells.header and _numbers_in_header(refusal):
            _advise_no_header(refusal)
            return
    _check_features(refusal)


def _advise_no_header(refusal: Refusal) -> None:
    """Advises to leave out a first line with numbers that is neither a row nor a header, such as counts."""
    line, likely = refusal.cells.header_line, _likely_target(refusal)
    if line == refusal.cells.layout.skip_lines + 1:
        refusal.conditions += [f"line {line} is no header", f"{likely} holds the class"]
        refusal.options |= {"data.skip_lines": line, "data.header": False, "data.target": likely}


def _check_features(refusal: Refusal) -> None:
    """Nameless and equal names among the features, and a table without features."""
    found, asked = list(refusal.cells.frame.columns), refusal.asked
    left = [name for name in found if name not in (*asked.drop, asked.target, *asked.aside.values())]
    if nameless := [name for name in left if name.startswith("Unnamed: ")]:
        refusal.faults.append(f"{len(nameless)} column(s) have no name in the header; name them, or leave them out")
        refusal.drop(nameless)
    if twice := [name for name in left if name in refusal.cells.renamed]:
        names = ", ".join(dict.fromkeys(name.rpartition(".")[0] for name in twice))
        refusal.faults.append(
            f"column names that occur more than once: {names}; rename them, or leave out all but the first, which "
            f"are called {', '.join(twice)}"
        )
        refusal.drop(twice)
    if not refusal.faults and not left:
        refusal.faults.append(
            f"no column is left as a feature beside data.target and data.drop; it has {', '.join(found)}"
        )


def _head(refusal: Refusal) -> list[Column]:
    """The columns of the first rows, with their texts alone: what those of a whole file mean takes long to find out."""
    head = refusal.cells.frame.iloc[:_HEAD]
    rows = (head.iloc[:, i].cat.remove_unused_categories() for i in range(len(head.columns)))
    return [Column.of(cells, refusal.asked.notation) for cells in rows]


def _data_in_header(refusal: Refusal) -> str:
    """The cells of the first line where they look like data; else empty."""
    first, head = refusal.cells.header, _head(refusal)
    n_numeric = sum(column.kind is Kind.NUMBER for column in head)
    is_data = len(_numbers_in_header(refusal)) > n_numeric / 2
    known = sum(cell in column.text_U for cell, column in zip(first, head, strict=True) if cell)
    return ", ".join(first[:SHOWN]) if is_data or known > len(first) / 2 else ""


def _numbers_in_header(refusal: Refusal) -> list[str]:
    """The numbers in the first line above columns of numbers, unless they may be names."""
    is_number = ~refusal.asked.notation.no_numbers(np.array(refusal.cells.header, dtype=object))
    numbers = [
        cell
        for cell, is_one, column in zip(refusal.cells.header, is_number, _head(refusal), strict=True)
        if is_one and column.kind is Kind.NUMBER
    ]
    return [] if _is_range(numbers) else numbers


def _likely_target(refusal: Refusal) -> str:
    """The only column of text, else the last one of few different values, of a file without a header."""
    columns = {f"column_{i}": column for i, column in enumerate(_head(refusal), 1)}
    text = [name for name, column in columns.items() if column.kind is Kind.TEXT]
    few = [name for name, column in columns.items() if 2 <= len(column.given_V) <= min(MANY, column.n_given / 2)]
    return text[0] if len(text) == 1 else [f"column_{len(columns)}", *few][-1]


def _is_range(numbers: list[str]) -> bool:
    """Whether numbers may be names: whole ones in equal steps, such as years; two alone only in a small step."""
    if not all(re.fullmatch(r"\d+", text) for text in numbers):
        return False
    steps = {int(b) - int(a) for a, b in itertools.pairwise(numbers)}
    is_even = len(numbers) > 1 and len(steps) == 1 and 0 not in steps
    return is_even and (len(numbers) > 2 or abs(steps.pop()) <= _SMALL_STEP)


def _suggest(name: str, found: list[str]) -> str:
    near = difflib.get_close_matches(name, found, n=1)
    return f"did you mean {near[0]!r}?" if near else f"the columns are {', '.join(map(repr, found))}"
