"""`phalanx diff`: what differs between two runs or two sweeps."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from phalanx.cli.options import Subparsers, check_files, console, positive_integer, say_written
from phalanx.core.errors import Incomplete, RequestError
from phalanx.core.named_files import is_plain, named_file, write_named

if TYPE_CHECKING:
    from phalanx.analysis.diff import Diff

HELP = """\
Show what differs between two runs, or two sweeps: values of the configuration, data, versions, commit, uncommitted
changes, metrics. Of sweeps: fixed and varied settings, search spaces, budgets, and the best results.

Two runs with the same test split and saved models are compared sample by sample: how often one alone is right
(McNemar's exact test), and the samples on which they disagree while both are most confident, by their row in the
source, from 1. Runs that have not read the test split, as the trials of a search, are compared on the validation split.
"""
EXAMPLES = """\
examples:
  phalanx diff outputs/runs/2026-01-31_12-00-00-a1b2 outputs/runs/2026-01-31_12-30-00-c3d4
  phalanx diff outputs/sweeps/my_search/3 outputs/sweeps/my_search/17 --figure curves.png
  phalanx diff outputs/sweeps/my_search outputs/sweeps/my_other_search --csv differences.csv

--csv also writes the samples on which two runs disagree, to FILE with _samples.
Exit status: 0 done; 1 a file cannot be read or written; 2 the request was wrong.
"""
SHOWN = 10  # samples on which two runs disagree


def add(subparsers: Subparsers) -> None:
    """Adds the parser of this subcommand."""
    title = "show what differs between two runs or two sweeps"
    parser = subparsers.add_parser("diff", help=title, description=HELP, epilog=EXAMPLES)
    option = parser.add_argument
    option("a", metavar="A", type=Path, help="run folder or sweep folder")
    option("b", metavar="B", type=Path, help="another one of the same kind")
    option("--samples", metavar="N", type=positive_integer,
           help=f"show so many of the samples on which they disagree, {SHOWN} by default; fail if samples cannot be "
           "compared")  # fmt: skip
    option("--csv", metavar="FILE", type=Path, help="write what differs, a row a key")
    option("--figure", metavar="FILE", type=Path, help="draw both training curves, as .png or .svg")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Prints what differs, and writes the requested files.

    Raises `Incomplete` if a result of a sweep could not be read.
    """
    table = arguments.csv
    derived = {} if table is None or not is_plain(table) else {"the table of samples": _samples(table)}
    check_files(arguments, further=derived)
    from phalanx.analysis.diff import diff_folders
    from phalanx.analysis.diff.tables import show

    found = diff_folders(arguments.a, arguments.b)
    _check(arguments, found)
    show(found, console(), arguments.samples or SHOWN)
    for path in _write_files(arguments, found):
        say_written(path)
    if found.n_damaged:
        results = "1 result" if found.n_damaged == 1 else f"{found.n_damaged} results"
        raise Incomplete(f"all was compared but for {results} that cannot be read; the notes name the files")


def _check(arguments: argparse.Namespace, found: Diff) -> None:
    """Raises `RequestError` with everything that was asked for and cannot be done."""
    faults = []
    if arguments.samples is not None and found.samples is None:
        why = found.no_samples or "these are sweeps; give two of their trials"
        faults.append(f"--samples {arguments.samples}: the samples cannot be compared: {why}")
    if arguments.figure is not None and not any(found.curves):
        faults.append(f"--figure {arguments.figure}: neither A nor B has a curve of a finished epoch")
    if faults:
        raise RequestError("\n".join(faults))


def _write_files(arguments: argparse.Namespace, found: Diff) -> list[Path]:
    """Writes the requested files and returns their paths."""
    from phalanx.analysis.diff.tables import rows_csv, samples_csv

    pages: list[tuple[Path, str]] = []
    if arguments.csv is not None:
        pages.append((arguments.csv, rows_csv(found)))
        if found.samples is not None:
            pages.append((_samples(arguments.csv), samples_csv(found.samples)))
    texts = {path: "\n".join(text for other, text in pages if other == path) for path, _ in pages}
    for path, text in texts.items():
        write_named(path, text)
    if arguments.figure is None:
        return [*texts]
    from phalanx.report.run_figures.two_curves import draw_two_curves, two_curves_info
    from phalanx.report.style import save_figure

    figure = draw_two_curves(two_curves_info(found.curves, found.curve_names))
    return [*texts, save_figure(figure, arguments.figure, named_file)]


def _samples(table: Path) -> Path:
    """The file of the second table; a pipe or a device gets both, with an empty line between them."""
    return table.with_stem(f"{table.stem}_samples") if is_plain(table) else table
