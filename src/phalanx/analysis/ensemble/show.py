"""An ensemble on the console: its members, and what it is on the validation and on the test rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from phalanx.core.console import print_words
from phalanx.core.metrics import split_name
from phalanx.core.quantities import counted, number
from phalanx.runs.layout import relative

if TYPE_CHECKING:
    from rich.console import Console

    from phalanx.analysis.ensemble.build import Ensemble


def show(screen: Console, found: Ensemble) -> None:
    """Prints the members, what they are on validation and, in the last lines, on the test split."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    every = [_typed(member.candidate.first.trial.overrides) for member in found.members]
    shared = set.intersection(*(set(typed) for typed in every))
    own = [" ".join(text for text in typed if text not in shared) for typed in every]
    titles = ["member", "seed", "weight", f"val_{found.measure}", "adds", *(["overrides"] if any(own) else [])]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in titles:
        table.add_column(Text(title), justify="left" if title in ("member", "overrides") else "right", overflow="fold")
    for member, typed in zip(found.members, own, strict=True):
        one = member.candidate
        cells = [_name(one.numbers), str(one.seed), f"{member.weight:.3g}", number(member.value), f"{member.adds:+.3g}"]
        table.add_row(*map(Text, [*cells, typed][: len(titles)]))
    screen.print(table)
    for line in lines(found):
        print_words(screen, line)


def _typed(overrides: Mapping[str, str]) -> list[str]:
    """Overrides as they were typed, numbers with six digits; no seed."""
    return [f"{key}={_short(value)}" for key, value in overrides.items() if key != "seed"]


def _short(value: str) -> str:
    try:
        return f"{float(value):.6g}" if len(value) > 8 else value
    except ValueError:
        return value


def _name(numbers: tuple[int, ...]) -> str:
    return f"trial{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def lines(found: Ensemble) -> list[str]:
    """What an ensemble is, in sentences: on the rows that chose it, on rows that did not, and on the test split."""
    name, stored = f"val_{found.measure}", found.written.stored
    n_networks = sum(len(member.candidate.networks) for member in found.members)
    text = [
        f"ensemble of {counted(n_networks, 'network')} ({found.how}): {name} {number(found.value)}, the best of "
        f"{counted(found.n_candidates, 'candidate')} alone {number(found.best)}"
    ]
    text.append(_curse(found))
    shown = tuple(dict.fromkeys(("accuracy", "likelihood", split_name(stored.objective.name)[1])))
    for split in ("val", "test"):
        text.append("  ".join([split.ljust(4), *_values(found, split, shown)]))
    return [*text, f"files: {relative(found.folder)}"]


def _values(found: Ensemble, split: str, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        key = f"{split}_{name}"
        ends = found.written.intervals.get(key)
        interval = f" [{ends.low:.3f}, {ends.high:.3f}]" if ends else ""
        yield f"{name} {number(found.written.stored.metrics.get(key))}{interval}"


def _curse(found: Ensemble) -> str:
    """The winner's curse of the choice: that the rows which chose are no judge of it."""
    name = f"val_{found.measure}"
    if found.how == "seeds":
        return (
            f"validation chose no seed; where it chose the point among others, {name} is too good, and seeds do "
            "not tell by how much"
        )
    if found.cross_fitted is None:
        return f"the validation samples chose the members, so {name} is too good; they are too few to say by how much"
    return (
        f"the validation samples chose the members, so {name} is too good: chosen on four fifths of them and measured "
        f"on the others it is {number(found.cross_fitted)}"
    )
