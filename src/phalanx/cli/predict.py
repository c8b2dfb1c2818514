"""`phalanx predict`: classes and probabilities of new samples."""

from __future__ import annotations

import argparse
import itertools
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from phalanx.cli.options import Subparsers, check_files, positive_integer, say_written
from phalanx.core.console import plain_console
from phalanx.core.named_files import write_named

if TYPE_CHECKING:
    from phalanx.analysis.predict import Predictions

HELP = """\
Predict the classes of new samples with a trained run.

RUN is a run's folder or its model.safetensors, or a sweep's folder, whose best trial predicts, or what phalanx refit
made of it; with --folds the networks of all folds of its best setting do, by the mean of their probabilities, and so do
those of the outer folds for the folder of a nested search. INPUT is one of
  .csv .tsv .parquet
              a table with names of columns. Models of tables (data=csv, data=parquet) read it as the training file,
              whatever its name, find their columns by name and ignore others; other models take all columns in order,
              except those named label, target or class
  .npy .npz   an array (N, features) or (N, height, width); in .npz the only one, or that of the samples (x)
  .png .jpg   one image of the size of the training images, with black and white as in them; models of data=image_folder
              read it in the colours of training, and make it equal to data.size where that was given
  a folder    all such images in it, sorted by name
"""
EXAMPLES = """\
examples:
  phalanx predict outputs/runs/2026-01-31_12-00-00-a1b2 new_samples.csv
  phalanx predict outputs/sweeps/my_study/17 digits.npy --top 3
  phalanx predict model.safetensors scans/ --output predictions.csv
  phalanx predict model.safetensors seven.png --format json
  phalanx predict outputs/sweeps/my_folds new_samples.csv --folds

Rows are counted from 1. The output is a table on a terminal and CSV in a pipe.
Exit status: 0 done; 1 the output cannot be written; 2 the request was wrong.
"""


def add(subparsers: Subparsers) -> None:
    """Adds the parser of this subcommand."""
    title = "predict the classes of new samples with a trained run"
    parser = subparsers.add_parser("predict", help=title, description=HELP, epilog=EXAMPLES)
    option = parser.add_argument
    option("model", metavar="RUN", type=Path, help="run folder or model.safetensors")
    option("source", metavar="INPUT", type=Path, help="table, array file, image, or folder of images")
    option("--output", metavar="FILE", type=Path, help="write FILE, as JSON if it ends in .json, else as CSV")
    option(
        "--format",
        choices=("table", "csv", "json"),
        help="default: by --output; table on a terminal, else csv",
    )
    option("--top", metavar="K", type=positive_integer, help="only the K most probable classes of each row")
    option("--folds", action="store_true", help="the mean of the networks of all folds, of a sweep over folds")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Predicts, and prints or writes the predictions."""
    check_files(
        arguments, inputs=[arguments.source] if arguments.model.is_dir() else [arguments.source, arguments.model]
    )
    from phalanx.analysis.fold_mean import is_nested, predict_with_folds, predict_with_outer_folds
    from phalanx.analysis.predict import predict_file, printable

    of_sweep = predict_with_folds if arguments.folds else predict_file
    predict = predict_with_outer_folds if is_nested(arguments.model) else of_sweep
    predictions, form, top = predict(arguments.model, arguments.source), arguments.format, arguments.top
    for note in predictions.notes:
        print(f"note: {printable(note)}", file=sys.stderr)
    if form is None and arguments.output is not None:
        form = "json" if arguments.output.suffix.lower() == ".json" else "csv"
    if arguments.output is None and sys.stdout.isatty() and form in (None, "table"):
        _show_table(predictions, top, 50 if form is None else None)
        return
    convert = {"table": predictions.to_text, "csv": predictions.to_csv, "json": predictions.to_json}[form or "csv"]
    if arguments.output is None:
        sys.stdout.write(convert(top))
    else:
        write_named(arguments.output, convert(top))
        n_rows = len(predictions.names)
        say_written(arguments.output, what=f"{n_rows:,} prediction{'' if n_rows == 1 else 's'} to ")


def _show_table(predictions: Predictions, top: int | None, limit: int | None) -> None:
    """Prints a table that fits the terminal: if the columns of all classes do not, only the best three or fewer.

    Args:
        predictions: What is shown.
        top: How many classes of each row are shown; None lets the width decide.
        limit: How many rows are shown; None for all.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    n_rows, n_classes, notes = len(predictions.names), len(predictions.classes), []
    for choice in (None, 3, 2, 1) if top is None else (top,):
        texts = _texts(predictions, choice, limit or n_rows)
        if _width(texts) <= shutil.get_terminal_size().columns:
            break
    if choice is not None and choice != top:
        notes.append(f"the best {min(choice, n_classes)} of {n_classes} classes")
    if limit is not None and n_rows > limit:
        notes.append(f"the first {limit} of {n_rows:,} rows")
    table = Table(box=box.SIMPLE_HEAD)
    for place, title in enumerate(texts[0]):
        table.add_column(Text(title), style="bold" if place == 1 else "", overflow="fold")
    for row in texts[1:]:
        table.add_row(*map(Text, row))
    console = plain_console()
    console.print(table)
    if notes:
        console.print(f"Shown: {' and '.join(notes)}. All: --format csv", style="dim", highlight=False)


def _texts(predictions: Predictions, top: int | None, limit: int) -> list[list[str]]:
    """The header and at most `limit` rows, with the `top` most probable classes."""
    from phalanx.analysis.predict import printable

    rows = itertools.islice(predictions.cells(top, ".4f"), limit)
    return [[printable(text) for text in row] for row in (predictions.header(top), *rows)]


def _width(texts: list[list[str]]) -> int:
    """The columns of the terminal that rich needs: around each column of the table it puts three."""
    from rich.cells import cell_len

    return 1 + sum(3 + max(map(cell_len, column)) for column in zip(*texts, strict=True))
