"""One table in several files of equal columns: `data.path=glob(parts/*.csv)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from phalanx.core.errors import DataError, listed
from phalanx.core.patterns import matching
from phalanx.data.cell_values import PLAIN_NUMBER, Kind
from phalanx.data.table_cells import SHOWN, Cells


def read_files(pattern: str, source: str, read: Callable[[str], Cells]) -> Cells:
    """The rows of all files that match a pattern, in the order of their names.

    Args:
        pattern: Of their names.
        source: What messages call them, e.g. `data.path=glob(parts/*.csv)`.
        read: Reads one file.

    Raises:
        DataError: No file matches, some cannot be read, or their columns differ; lists all of these.
    """
    files = matching(pattern)
    if not files:
        raise DataError(f"{source}: no file matches {pattern} in {Path.cwd()}")
    parts, faults = [], []
    for file in files:
        try:
            parts.append(read(file))
        except DataError as error:
            faults.append(str(error))
    faults = faults or [fault for part in parts[1:] for fault in _differences(parts[0], part)]
    if faults:
        more = [f"and {len(faults) - SHOWN} more"] * (len(faults) > SHOWN)
        raise DataError("\n  - ".join([f"{source} cannot be read as one table:", *faults[:SHOWN], *more]))
    return _joined(parts, [Path(file).name for file in files], source)


def _differences(first: Cells, other: Cells) -> list[str]:
    """How the columns of a file differ from those of the first one."""
    names, others = list(first.frame.columns), list(other.frame.columns)
    lacking = [repr(name) for name in names if name not in others]
    further = [repr(name) for name in others if name not in names]
    said = [f"lacks {listed(lacking)}"] * bool(lacking) + [f"has {listed(further)} besides"] * bool(further)
    if said:
        is_row = first.header and any(PLAIN_NUMBER.fullmatch(name) for name in set(names) ^ set(others))
        advice = "; if the files have no header, type data.header=false" if is_row else ""
        return [f"{other.source} {' and '.join(said)}, compared with {first.source}{advice}"]
    return [
        f"{other.source}: column {name!r} holds {other.kinds[name]}, and {first.kinds[name]} in {first.source}"
        for name in first.kinds
        if other.kinds[name] is not first.kinds[name] and not (_is_empty(first, name) or _is_empty(other, name))
    ]


def _is_empty(cells: Cells, name: str) -> bool:
    return list(cells.frame[name].cat.categories) == [""]


def _joined(parts: Sequence[Cells], names: Sequence[str], source: str) -> Cells:
    import pandas as pd

    first = parts[0]
    columns = {
        name: pd.api.types.union_categoricals([part.frame[name] for part in parts]) for name in first.frame.columns
    }
    frame = pd.DataFrame(dict(enumerate(columns.values())))
    frame.columns = pd.Index(list(columns), dtype=object)
    kinds: dict[str, Kind] = {}
    for part in parts:
        kinds |= {name: kind for name, kind in part.kinds.items() if name not in kinds or not _is_empty(part, name)}
    begins = np.cumsum([0, *(len(part.frame) for part in parts)])[:-1]
    about = dict.fromkeys([f"{len(parts)} files: {listed(names)}", *(text for part in parts for text in part.about)])
    lines, places = np.concatenate([part.lines for part in parts]), tuple(zip(begins.tolist(), names, strict=True))
    return replace(first, source=source, frame=frame, lines=lines, kinds=kinds, parts=places, about=tuple(about))
