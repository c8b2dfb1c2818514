"""`phalanx inspect`: the layers of a trained network, with statistics and histograms."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from phalanx.cli.options import Subparsers, check_files, console, say_written
from phalanx.core.errors import RequestError
from phalanx.core.quantities import number

if TYPE_CHECKING:
    from rich.table import Table

    from phalanx.analysis.inspect import Inspection
    from phalanx.data import Dataset
    from phalanx.runs.model_file import SavedModel

HELP = """\
Show a trained network layer by layer: shapes, counts, statistics and histograms of weights and biases, and how many
units of its ReLU layers are dead: 0 for every validation sample.

RUN is a run's folder or its model.safetensors; the folder of a sweep means its best trial. A histogram runs from the
minimum to the maximum.
"""
EXAMPLES = """\
examples:
  phalanx inspect outputs/runs/2026-01-31_12-00-00-a1b2
  phalanx inspect outputs/sweeps/my_search/17 --figure layers.png

For data with one feature, --figure layers.png also writes layers_hidden.png: the hidden outputs over the feature.
Exit status: 0 done; 1 a figure cannot be written; 2 the request was wrong.
"""
BLOCKS, PLAIN = " ▁▂▃▄▅▆▇█", " .:-=+*#@"  # the second for a terminal that cannot show the first


def add(subparsers: Subparsers) -> None:
    """Adds the parser of this subcommand."""
    title = "show the layers of a trained network"
    parser = subparsers.add_parser("inspect", help=title, description=HELP, epilog=EXAMPLES)
    parser.add_argument("model", metavar="RUN", type=Path, help="run folder, model.safetensors or sweep")
    parser.add_argument("--figure", metavar="FILE", type=Path, help="draw the histograms, as .png or .svg")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Prints the table and writes the figures."""
    figure = arguments.figure
    further = {} if figure is None else {"the figure of hidden outputs": _hidden(figure)}
    check_files(arguments, further=further)
    from rich.text import Text

    from phalanx.analysis.inspect import inspect_run

    found, saved, dataset = inspect_run(arguments.model)
    screen = console()
    if not found.tensors and figure is not None:
        raise RequestError(f"{arguments.model} is a baseline and has no layers to draw; leave --figure out")
    screen.print(_table(found, wide=screen.width >= 116) if found.tensors else Text(found.title))
    screen.print(f"  {found.n_parameters:,} parameters", highlight=False)
    for note in found.notes:
        screen.print(f"  note: {note}", style="dim", soft_wrap=True)
    if figure is not None:
        for path in _draw(figure, found, saved, dataset):
            say_written(path)


def _table(found: Inspection, wide: bool) -> Table:
    """A row for each tensor; a narrow table leaves out what the histogram shows too."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from phalanx.report.run_figures.layers import dead_units

    tensors, blocks = found.tensors, _blocks()
    columns = {"tensor": [t.name for t in tensors], "shape": [" x ".join(map(str, t.shape)) for t in tensors]}
    if wide:
        columns["count"] = [f"{t.count:,}" for t in tensors]
    for name, attribute in {"mean": "mean", "std": "std", **({"min": "low", "max": "high"} if wide else {})}.items():
        values = [getattr(t, attribute) for t in tensors]
        columns[name] = [number(value) for value in values]
    broken = [f" {t.not_finite:,} not finite" if t.not_finite else "" for t in tensors]
    columns["histogram"] = [bars(t.counts, blocks) + text for t, text in zip(tensors, broken, strict=True)]
    if any(dead := dead_units(found)):
        columns["dead units"] = dead
    table = Table(title=Text(found.title), title_justify="left", box=box.SIMPLE_HEAD)
    for name in columns:
        table.add_column(name, justify="left" if name in ("tensor", "histogram") else "right", no_wrap=True)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*map(Text, row))
    return table


def bars(counts: Sequence[int], blocks: str) -> str:
    """A histogram in one line: the highest bar is full, and every bar that is not empty can be seen."""
    top = max(counts, default=0)
    return "".join(blocks[-(-count * (len(blocks) - 1) // top) if top else 0] for count in counts)


def _blocks() -> str:
    try:
        BLOCKS.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return PLAIN
    return BLOCKS


def _draw(path: Path, found: Inspection, saved: SavedModel | None, dataset: Dataset | None) -> list[Path]:
    """Writes the figures and returns their paths."""
    from phalanx.core.named_files import named_file
    from phalanx.report.run_figures.hidden import draw_hidden, hidden_info
    from phalanx.report.run_figures.layers import draw_layers, layers_info
    from phalanx.report.style import save_figure

    written = [save_figure(draw_layers(layers_info(found)), path, named_file)]
    if saved is not None and dataset is not None and dataset.n_features == 1:
        info = hidden_info(saved.model, dataset, saved.weights)
        if info is not None:
            written.append(save_figure(draw_hidden(info), _hidden(path), named_file))
    return written


def _hidden(figure: Path) -> Path:
    """The file of the second figure."""
    return figure.with_stem(f"{figure.stem}_hidden")
