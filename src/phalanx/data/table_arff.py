"""Advises how to read the table in a file of Weka's format ARFF, whose names stand one a line above the rows."""

from __future__ import annotations

import re

from phalanx.core.advice import override
from phalanx.core.errors import DataError

_BEGINS = re.compile(r"(\s*(%.*)?\n)*\s*@relation\b", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"\s*@attribute\s+('(?:[^'\\]|\\.)*'|\"[^\"]*\"|\S+)", re.IGNORECASE)
_MISSING = re.compile(r"(^|,)[ \t]*\?[ \t]*(,|\r?$)", re.MULTILINE)


def refuse_arff(text: str, source: str, target: str, *, may_type: bool) -> None:
    """Raises `DataError` with all that has to be typed if a text is ARFF.

    Args:
        text: The text of the file.
        source: What messages call the file.
        target: The column that was asked for.
        may_type: Whether the message may advise options of `data=csv`.
    """
    if not _BEGINS.match(text):
        return
    lines = text.split("\n")
    begin = next((i for i, line in enumerate(lines, 1) if line.strip().lower() == "@data"), 0)
    names = [found[1].strip("'\"") for line in lines[:begin] if (found := _ATTRIBUTE.match(line))]
    if not may_type or not begin or not names:
        raise DataError(f"{source} is an ARFF file; save its table as CSV")
    asked = [i for i, name in enumerate(names, 1) if name.lower() == target.lower()]
    number = asked[0] if asked else len(names)
    class_is = f"{names[number - 1]!r} is" if asked else f"there is no {target!r}, and the last, {names[-1]!r}, may be"
    options = {
        "data.skip_lines": begin, "data.header": False, "data.comment": "%", "data.target": f"column_{number}"
    }  # fmt: skip
    typed = [override(key, value) for key, value in options.items()]
    if _MISSING.search("\n".join(lines[begin:])):
        typed += [override("data.missing_markers", ["?"]), "data.missing=drop_rows"]
    raise DataError(
        f"{source} is an ARFF file: its rows begin below line {begin} without a header, and its columns are "
        f"called column_1 to column_{len(names)}; {class_is} the class; type {' '.join(typed)}"
    )
