"""What the page of a run says where it was made of trials: an ensemble, or a refit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phalanx.core.errors import UnreadableFile
from phalanx.core.quantities import counted, number
from phalanx.core.reading import read_json
from phalanx.runs.layout import RunPaths


@dataclass(frozen=True)
class MadeOf:
    """A sentence; of an ensemble a table of its members, the first row the names of the columns; what was noted; of a
    refit of a sweep the number of its best trial at the time."""

    sentence: str = ""
    members: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()
    best: int | None = None


def made_of(paths: RunPaths) -> MadeOf:
    """What a run was made of; nothing for one that was trained. Raises `UnreadableFile` if the record is damaged."""
    for file, read in ((paths.ensemble, _ensemble), (paths.refit, _refit)):
        if file.is_file():
            return _read(file, read)
    return MadeOf()


def _read(file: Path, read: Callable[[Any], MadeOf]) -> MadeOf:
    try:
        return read(read_json(file))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, UnreadableFile):
            raise
        raise UnreadableFile(file, f"is damaged: {type(error).__name__}: {error}") from error


def _ensemble(record: Any) -> MadeOf:
    fair = record["cross_fitted"]
    said = f"Ensemble of {counted(len(record['members']), 'member')} ({record['how']}): {record['measure']} "
    said += f"{number(record['value'])}, the best candidate alone {number(record['best_candidate'])}"
    said += "" if fair is None else f"; on validation samples that did not choose {number(fair)}"
    rows = [
        (
            ", ".join(map(str, m["trials"])),
            str(m["seed"]),
            f"{m['weight']:.3g}",
            number(m["value"]),
            f"{m['adds']:+.3g}",
        )
        for m in record["members"]
    ]
    return MadeOf(said, (("trial", "seed", "weight", str(record["measure"]), "adds"), *rows), _notes(record))


def _refit(record: Any) -> MadeOf:
    before, now = (number(record[key].get("test_accuracy")) for key in ("validated", "test"))
    seeds = f"seed{'s' if len(record['seeds']) > 1 else ''} {', '.join(map(str, record['seeds']))}"
    rows, epochs = "on training and validation rows", counted(record["epochs"], "epoch")
    done = f"Fitted again {rows}" if record.get("fitted") else f"Trained again {rows} for {epochs}"
    return MadeOf(
        f"{done}, {seeds}: test_accuracy {now}, that of the validated training {before}",
        notes=_notes(record),
        best=record.get("best"),
    )


def _notes(record: Any) -> tuple[str, ...]:
    return tuple(map(str, record.get("notes", ())))  # records of earlier versions have none
