"""`phalanx predict`: classes and probabilities for new rows."""

from __future__ import annotations

import argparse
import itertools
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phalanx.core.errors import RequestError
from phalanx.core.files import write_text

if TYPE_CHECKING:
    from phalanx.analysis.predict import Predictions


_SCREEN_ROWS = 50  # on a terminal; --format and --output give all


_PREDICT_HELP = """\
Predict the classes of new samples with a trained run.

RUN is a run's folder or its model.safetensors. INPUT is one of
  .csv .tsv   a table with a header. Models of table data (data=csv) find their columns by name and ignore others;
              other models take all columns in order, except those named label, target or class
  .npy .npz   an array (N, features) or (N, height, width); in .npz the one named x, or the only one
  .png .jpg   one grey-scale image of the size of the training images, black and white as there
  a folder    all such images in it, sorted by name
"""


_PREDICT_EXAMPLES = """\
examples:
  phalanx predict outputs/runs/2026-01-31_12-00-00-a1b2 new_samples.csv
  phalanx predict outputs/sweeps/my_study/17 digits.npy --top 3
  phalanx predict model.safetensors scans/ --output predictions.csv
  phalanx predict model.safetensors seven.png --format json

Rows are counted from 1. A terminal gets a table, a pipe gets CSV. Exit status 2: the request was wrong.
"""


def _add_predict(commands: Any) -> None:
    parser = commands.add_parser(
        "predict",
        help="predict the classes of new samples with a trained run",
        description=_PREDICT_HELP,
        epilog=_PREDICT_EXAMPLES,
    )
    parser.add_argument("model", metavar="RUN", type=Path, help="run folder or model.safetensors")
    parser.add_argument("source", metavar="INPUT", type=Path, help="table, array file, image, or folder of images")
    parser.add_argument("--output", metavar="FILE", type=Path, help="write CSV (or --format) to FILE instead of stdout")
    parser.add_argument("--format", choices=("table", "csv", "json"), help="default: table on a terminal, else csv")
    parser.add_argument("--top", metavar="K", type=_positive, help="only the K most probable classes of each row")
    parser.set_defaults(run=_predict)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


def _predict(arguments: argparse.Namespace) -> None:
    if arguments.output is not None and arguments.output.is_dir():
        raise RequestError(f"--output {arguments.output} is a folder; give the name of a file")
    from phalanx.analysis.predict import predict_file

    predictions = predict_file(arguments.model, arguments.source)
    forms: dict[str, Callable[[int | None], str]] = {
        "table": predictions.to_text,
        "csv": predictions.to_csv,
        "json": predictions.to_json,
    }
    if arguments.output is not None:
        write_text(arguments.output, forms[arguments.format or "csv"](arguments.top))
        print(f"wrote {_counted(len(predictions.names))} to {arguments.output}")
    elif sys.stdout.isatty() and arguments.format in (None, "table"):
        limit = _SCREEN_ROWS if arguments.format is None else None
        _show_table(predictions, arguments.top, limit)
    else:
        sys.stdout.write(forms[arguments.format or "csv"](arguments.top))


def _counted(n_rows: int) -> str:
    return "1 prediction" if n_rows == 1 else f"{n_rows:,} predictions"


def _show_table(predictions: Predictions, top: int | None, limit: int | None) -> None:
    """A table that fits the terminal: where the columns of all classes do not, the best three or fewer are shown."""
    from rich import box
    from rich.console import Console
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
    console = Console()
    console.print(table)
    if notes:
        console.print(f"Shown: {' and '.join(notes)}. All: --format csv", style="dim", highlight=False)


def _texts(predictions: Predictions, top: int | None, limit: int) -> list[list[str]]:
    """The header and at most `limit` rows."""
    from phalanx.analysis.predict import printable

    rows = itertools.islice(predictions.cells(top, ".4f"), limit)
    return [[printable(text) for text in row] for row in (predictions.header(top), *rows)]


def _width(texts: list[list[str]]) -> int:
    """Terminal columns that rich needs: each column of the table has three of space around it."""
    from rich.cells import cell_len

    return 1 + sum(3 + max(map(cell_len, column)) for column in zip(*texts, strict=True))
