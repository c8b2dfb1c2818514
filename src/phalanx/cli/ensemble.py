"""`phalanx ensemble`: one model of several networks of a sweep, which predicts by the mean of their probabilities."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from phalanx.cli.options import Subparsers, positive_integer
from phalanx.core.console import busy, plain_console, print_line, print_words
from phalanx.core.metrics import split_name
from phalanx.core.quantities import counted, number
from phalanx.runs.layout import ENSEMBLE, relative

if TYPE_CHECKING:
    from rich.console import Console

    from phalanx.analysis.ensemble.build import Ensemble

HELP = """\
Make one model of several networks of a sweep: it predicts with the weighted mean of their class probabilities.

--how seeds    all seeds and folds of the best point, with equal weights; where the sweep has one seed of it, further
               ones are trained, five in all. The surest gain
--how greedy   members drawn one after another with replacement, each time the one with which the mean is best
               (Caruana et al. 2004); its weight is how often a member was drawn. Needs many validation samples
--how best     the best members, as many as give the best mean

All seeds are averaged without a choice. For greedy and best the validation samples choose, out of fold in a sweep over
folds, and on them the ensemble is never worse than the best network that it was chosen from. Networks whose weights
were not kept are trained again, on a CPU to the last bit. The test split is read once, when the members are chosen.
"""
EXAMPLES = """\
examples:
  phalanx ensemble outputs/sweeps/my_search
  phalanx ensemble outputs/sweeps/my_search --how greedy --into outputs/runs/greedy
  phalanx ensemble outputs/sweeps/my_folds --how best --members 3

The folder is that of a run: phalanx predict, inspect, compare, report and sync take it. It appears whole or not at all.
Exit status: 0 done; 1 a file cannot be written; 2 the request was wrong.
"""
WAYS = ("seeds", "greedy", "best")


def add(subparsers: Subparsers) -> None:
    """Adds the parser of this subcommand."""
    title = "make one model of several networks of a sweep"
    parser = subparsers.add_parser("ensemble", help=title, description=HELP, epilog=EXAMPLES)
    parser.add_argument("sweep", metavar="SWEEP", type=Path, help="sweep folder")
    parser.add_argument("--how", choices=WAYS, default="seeds", help="which networks; default: seeds")
    parser.add_argument(
        "--members", metavar="K", type=positive_integer,
        help="at most so many seeds, draws (greedy) or networks (best); default: all seeds, 20 draws, 5 networks",
    )  # fmt: skip
    parser.add_argument("--into", metavar="FOLDER", type=Path, help="folder to write; default: ensemble in SWEEP")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Makes the ensemble and prints what it is."""
    from phalanx.analysis.ensemble.build import make_ensemble

    screen = plain_console()
    folder = arguments.into or arguments.sweep / ENSEMBLE
    with busy(screen, "making the ensemble"):
        found = make_ensemble(
            arguments.sweep, arguments.how, arguments.members, folder, lambda text: print_line(screen, text)
        )
    show(screen, found)
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)


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
            f"no seed was left out; where validation chose the point among others, {name} is too good, and seeds do "
            "not tell by how much"
        )
    if found.cross_fitted is None:
        return f"the validation samples chose the members, so {name} is too good; they are too few to say by how much"
    return (
        f"the validation samples chose the members, so {name} is too good: chosen on four fifths of them and measured "
        f"on the others it is {number(found.cross_fitted)}"
    )
