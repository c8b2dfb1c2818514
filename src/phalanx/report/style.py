"""The look of every figure, and figures that share no state: no pyplot, so threads may draw at the same time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from phalanx.core.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette (2008), which people with any kind of colour vision can tell apart.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY = "#6E6E6E"
TRAIN, VALIDATION = BLUE, VERMILLION

DPI, PAD = 120, 0.12  # dots an inch; inches of white around a figure
TITLE, LABEL, TICK = 12.0, 10.5, 9.0  # font sizes in points


def new_figure(width: float, height: float, title: str = "", layout: str = "constrained") -> Figure:
    """An empty figure of `width` × `height` inches with its own Agg canvas. `compressed` is for square pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title, fontsize=TITLE, parse_math=False)
    return figure


def save_figure(figure: Figure, path: Path) -> Path:
    """Writes `figure` whole to `path`, as SVG where the name says so, else PNG, and returns `path`."""
    kind = "svg" if path.suffix.lower() == ".svg" else "png"
    pixels = _cropped(figure) if kind == "png" else None
    with replacing(path) as temporary:
        if pixels is None:
            figure.savefig(temporary, format=kind, dpi=DPI, bbox_inches="tight", pad_inches=PAD)
        else:
            from PIL import Image

            Image.fromarray(pixels).save(temporary, format=kind, dpi=(DPI, DPI))
    return path


def _cropped(figure: Figure) -> np.ndarray | None:
    """The pixels (height, width, 3) without most of the white around them; None where the figure ends in something.

    The same as `bbox_inches="tight"`, which lays out and draws everything twice.
    """
    figure.canvas.draw()
    rgb = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    ink = (rgb != 255).any(2)
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    if not len(rows) or ink[[0, -1]].any() or ink[:, [0, -1]].any() or _overflows(figure):
        return None
    pad = round(PAD * DPI)
    inside = rgb[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.pad(inside, ((pad, pad), (pad, pad), (0, 0)), constant_values=255)


def _overflows(figure: Figure) -> bool:
    """Whether a title or a text of the figure, which no layout makes room for, is longer than the figure."""
    texts = [*figure.texts, *(axes.title for axes in figure.axes)]
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    right, top = figure.bbox.max
    return any(box.x0 < 0 or box.y0 < 0 or box.x1 > right or box.y1 > top for box in boxes)


def label_axes(axes: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Title and axis labels. The text is shown as it is: a `$` in a class name starts no formula."""
    axes.set_title(title, fontsize=TITLE, parse_math=False)
    axes.set_xlabel(x, fontsize=LABEL, parse_math=False)
    axes.set_ylabel(y, fontsize=LABEL, parse_math=False)
    axes.tick_params(labelsize=TICK)


def shorten(name: str, limit: int) -> str:
    """`name` on one line and at most `limit` characters long, without its middle: names often differ at the end."""
    line = "".join(c if c.isprintable() else " " for c in name)
    line = " ".join(line.split())
    tail = (limit - 1) // 2
    return line if len(line) <= limit else line[: limit - 1 - tail].rstrip() + "…" + line[len(line) - tail :].lstrip()
