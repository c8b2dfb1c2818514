"""`phalanx inspect`: what is inside a trained network."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phalanx.cli.options import console
from phalanx.core.errors import RequestError

if TYPE_CHECKING:
    from rich.table import Table

    from phalanx.analysis.inspect import HiddenLayer, Inspection, TensorInfo
    from phalanx.data import Dataset
    from phalanx.runs.model_file import SavedModel

HELP = """\
Show a trained network layer by layer: shapes, counts, spread and histograms of weights and biases, and which units of
its ReLU layers give 0 for every validation sample.

RUN is a run's folder or its model.safetensors. A histogram runs from min to max.
"""
EXAMPLES = """\
examples:
  phalanx inspect outputs/runs/2026-01-31_12-00-00-a1b2
  phalanx inspect outputs/sweeps/my_search/17 --figure layers.png

For data of one feature, --figure layers.png also writes layers_hidden.png: the hidden units' outputs over the input.
Exit status 2: the request was wrong.
"""
FIGURES = (".png", ".svg")
WIDE = 116  # columns of a terminal that shows everything
BLOCKS, PLAIN = " ▁▂▃▄▅▆▇█", " .:-=+*#@"  # the second where a terminal lacks the first


def add(commands: Any) -> None:
    """Adds the parser of this command."""
    parser = commands.add_parser(
        "inspect",
        help="show the layers of a trained network",
        description=HELP,
        epilog=EXAMPLES,
    )
    parser.add_argument("model", metavar="RUN", type=Path, help="run folder or model.safetensors")
    parser.add_argument("--figure", metavar="FILE", type=Path, help="histograms as .png or .svg")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Prints the table and writes the figures."""
    figure = arguments.figure
    if figure is not None and (figure.is_dir() or figure.suffix.lower() not in FIGURES):
        raise RequestError(f"--figure {figure} must be the name of a file that ends in {' or '.join(FIGURES)}")
    from phalanx.analysis.inspect import inspect_run

    found, saved, dataset = inspect_run(arguments.model)
    screen = console()
    screen.print(_table(found, _blocks(), screen.width >= WIDE))
    screen.print(f"  {found.n_parameters:,} parameters", highlight=False)
    for note in found.notes:
        screen.print(f"  note: {note}", style="dim", highlight=False, markup=False, soft_wrap=True)
    if figure is not None:
        for path in _draw(figure, found, saved, dataset):
            print(f"wrote {path}")


def _table(found: Inspection, blocks: str, wide: bool) -> Table:
    """A row a tensor; a narrow table leaves out what the histogram shows too."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    columns = {"tensor": [t.name for t in found.tensors], "shape": [_shape(t) for t in found.tensors]}
    if wide:
        columns["count"] = [f"{t.count:,}" for t in found.tensors]
    for name in ("mean", "std", "min", "max") if wide else ("mean", "std"):
        values = [getattr(t, {"min": "low", "max": "high"}.get(name, name)) for t in found.tensors]
        columns[name] = ["–" if value is None else f"{value:.4f}" for value in values]
    columns["histogram"] = [_histogram(t, blocks) for t in found.tensors]
    if found.activation == "relu" and found.hidden:
        columns["dead units"] = [dead_units(layer) for layer in _layers(found)]
    table = Table(title=Text(found.title), title_justify="left", box=box.SIMPLE_HEAD)
    for name in columns:
        table.add_column(name, justify="left" if name in ("tensor", "histogram") else "right", no_wrap=True)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*map(Text, row))
    return table


def _layers(found: Inspection) -> list[HiddenLayer | None]:
    """The hidden layer that each tensor's name stands for, in the row of its weights."""
    layers = iter(found.hidden)
    return [next(layers, None) if len(tensor.shape) == 2 else None for tensor in found.tensors]


def dead_units(layer: HiddenLayer | None) -> str:
    """How many units never speak, as text."""
    return "" if layer is None else f"{layer.dead} ({100 * layer.dead / layer.units:.0f} %)"


def _shape(tensor: TensorInfo) -> str:
    return " x ".join(map(str, tensor.shape))


def _histogram(tensor: TensorInfo, blocks: str) -> str:
    return bars(tensor.counts, blocks) + (f" {tensor.not_finite:,} not finite" if tensor.not_finite else "")


def bars(counts: Sequence[int], blocks: str) -> str:
    """A histogram in one line: the highest bar is full, and whatever is not empty is seen."""
    top = max(counts, default=0)
    return "".join(blocks[-(-count * (len(blocks) - 1) // top) if top else 0] for count in counts)


def _blocks() -> str:
    try:
        BLOCKS.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return PLAIN
    return BLOCKS


def _draw(path: Path, found: Inspection, saved: SavedModel, dataset: Dataset | None) -> list[Path]:
    from phalanx.report.run_figures.hidden import draw_hidden, hidden_info
    from phalanx.report.run_figures.layers import LayerHistogram, draw_layers
    from phalanx.report.style import save_figure

    relu = found.activation == "relu"
    histograms = [
        LayerHistogram(tensor.name, tensor.values, f", dead: {dead_units(layer)}" if relu and layer else "")
        for tensor, layer in zip(found.tensors, _layers(found), strict=True)
    ]
    written = [save_figure(draw_layers(found.title, histograms), path)]
    if dataset is not None and dataset.n_features == 1:
        info = hidden_info(saved.model, dataset, saved.weights)
        if info is not None:
            written.append(save_figure(draw_hidden(info), path.with_stem(f"{path.stem}_hidden")))
    return written
