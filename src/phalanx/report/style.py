"""The look of every figure, and figures that share no state: no pyplot, so threads may draw at the same time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from phalanx.paths import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette (2008), which people with any kind of colour vision can tell apart.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY = "#6E6E6E"
TRAIN, VALIDATION = BLUE, VERMILLION

DPI = 120
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
    with replacing(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=DPI, bbox_inches="tight", pad_inches=0.12)
    return path


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
