"""The look of all figures: colours, sizes, axes, legends, files. No pyplot, so threads may draw at the same time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from phalanx.core.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from PIL.Image import Image

# The palette of Okabe and Ito (2008): people with any kind of colour vision can tell the colours apart.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY = "#6E6E6E"
TRAIN, VALIDATION = BLUE, VERMILLION
RAMP = ("#c4d3df", "#9dbbd3", "#6f9cc3", "#3f7bb0", "#1a5894", "#06305f")  # from bad to good
PALETTE = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, GREY, BLACK)  # for lines beside each other

DPI, PAD = 120, 0.12  # dots per inch; inches of white around a figure
TITLE, LABEL, TICK = 12.0, 10.5, 9.0  # font sizes in points


def new_figure(
    width: float, height: float, title: str = "", layout: Literal["constrained", "none"] = "constrained"
) -> Figure:  # fmt: skip
    """An empty white figure.

    Args:
        width: In inches.
        height: In inches.
        title: Shown as it is above all axes.
        layout: matplotlib's layout engine; `none` leaves the places of the axes to `set_margins` and `axes_at`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    figure.set_layout_engine(layout)
    if title:
        figure.suptitle(title, fontsize=TITLE, parse_math=False)
    return figure


def set_margins(
    figure: Figure, left: float, right: float, bottom: float, top: float, across: float = 0.0, down: float = 0.0,
    rows: int = 1, columns: int = 1,
) -> None:  # fmt: skip
    """Places a grid of axes in a figure of `layout="none"`. All sizes are inches.

    matplotlib's layout engines measure every text twice, which takes as long as drawing the figure. A figure whose
    texts have known sizes is placed by these numbers instead; `save_figure` crops what is left white around it.

    Args:
        figure: The figure, with or without its axes.
        left: From the figure's edge to the first column, with tick labels and axis label.
        right: From the last column to the edge.
        bottom: From the edge to the last row, with tick labels, axis label and a legend.
        top: From the first row to the edge, with titles.
        across: Between two columns.
        down: Between two rows.
        rows: How many rows the grid has.
        columns: How many columns the grid has.
    """
    width, height = figure.get_size_inches()
    column = (width - left - right - (columns - 1) * across) / columns
    row = (height - bottom - top - (rows - 1) * down) / rows
    figure.subplots_adjust(
        left=left / width, right=1 - right / width, bottom=bottom / height, top=1 - top / height,
        wspace=across / column, hspace=down / row,
    )  # fmt: skip


def axes_at(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """New axes at a place in a figure of `layout="none"`; place and size are inches."""
    whole_width, whole_height = figure.get_size_inches()
    return figure.add_axes((left / whole_width, bottom / whole_height, width / whole_width, height / whole_height))


def save_figure(
    figure: Figure, path: Path, writing: Callable[[Path], AbstractContextManager[Path]] = replacing
) -> Path:  # fmt: skip
    """Writes the figure, as SVG if the name of `path` ends in .svg, else as PNG, and returns `path`.

    Args:
        figure: The figure.
        path: The file.
        writing: How a file is written: `named_file` for one that a user named.
    """
    kind = "svg" if path.suffix.lower() == ".svg" else "png"
    image = _cropped(figure) if kind == "png" else None
    with writing(path) as temporary:
        if image is None:
            figure.savefig(temporary, format=kind, dpi=DPI, bbox_inches="tight", pad_inches=PAD)
        else:
            image.save(temporary, format=kind, dpi=(DPI, DPI), compress_level=3)  # half the time, a tenth larger
    return path


def _cropped(figure: Figure) -> Image | None:
    """The pixels without the white around them; None if something reaches the figure's edge.

    `bbox_inches="tight"` gives the same, but lays out and draws everything twice.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import ImageOps
    from PIL.Image import fromarray

    canvas = FigureCanvasAgg(figure)
    figure.canvas.draw()
    image = fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")  # type: ignore[no-untyped-call]
    ink = ImageOps.invert(image).getbbox()
    if ink is None or min(ink) == 0 or ink[2] == image.width or ink[3] == image.height or _overflows(figure):
        return None
    return ImageOps.expand(image.crop(ink), round(PAD * DPI), "white")


def _overflows(figure: Figure) -> bool:
    """Whether a title or a text of the figure is longer than the figure: no layout engine makes room for these."""
    texts = [*figure.texts, *(axes.title for axes in figure.axes)]
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    right, top = figure.bbox.max
    return any(box.x0 < 0 or box.y0 < 0 or box.x1 > right or box.y1 > top for box in boxes)


def label_axes(
    axes: Axes, title: str = "", x: str = "", y: str = "", grid: Literal["", "x", "y", "both"] = ""
) -> None:  # fmt: skip
    """Sets title, labels and grid of axes.

    Args:
        axes: The axes.
        title: Shown as it is: a `$` in a class name starts no formula. So are `x` and `y`.
        x: Label of the horizontal axis.
        y: Label of the vertical axis.
        grid: Which axis has grid lines.
    """
    axes.set_title(title, y=1.0, fontsize=TITLE, parse_math=False)  # with y, matplotlib does not look for its place
    axes.set_xlabel(x, fontsize=LABEL, parse_math=False)
    axes.set_ylabel(y, fontsize=LABEL, parse_math=False)
    axes.tick_params(labelsize=TICK)
    if grid:
        axes.grid(axis=grid, alpha=0.3)


def name_ticks(
    axis: Axis, names: Sequence[str], places: Sequence[float] = (), *, limit: int = 24, most: int | None = None,
    angle: float = 0,
) -> None:  # fmt: skip
    """Names the ticks of an axis.

    Args:
        axis: The axis.
        names: What the ticks are called; a `$` starts no formula.
        places: Where the ticks stand; 0, 1, 2, … if empty.
        limit: Characters of a name; longer ones are shortened.
        most: If there are more names, only every second one, third one … is shown.
        angle: By which the names are turned, in degrees.
    """
    step = -(-len(names) // most) if most and names else 1
    turned: dict[str, Any] = {"rotation": angle, "ha": "right", "rotation_mode": "anchor"} if angle else {}
    shown = [shorten(name, limit) for name in names[::step]]
    axis.set_ticks((places or range(len(names)))[::step], shown, parse_math=False, fontsize=TICK, **turned)


def integer_ticks(axis: Axis) -> None:
    """Puts the ticks of a linear axis at integers only."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=True))


def legend_below(figure: Figure, axes: Axes, n_columns: int, fontsize: float = TICK, **space: float) -> None:
    """Puts a legend without a frame below all axes.

    Args:
        figure: The figure.
        axes: Those whose labels are shown.
        n_columns: Entries beside each other.
        fontsize: In points.
        space: `handletextpad` and `columnspacing`, in units of the font size.
    """
    handles, labels = axes.get_legend_handles_labels()
    place: Literal["lower center", "outside lower center"]
    place = "lower center" if figure.get_layout_engine() is None else "outside lower center"
    figure.legend(handles, labels, loc=place, ncols=n_columns, fontsize=fontsize, frameon=False, **space)


def shorten(name: str, limit: int) -> str:
    """`name` on one line with at most `limit` characters. The middle is cut out, as names often differ at the end."""
    line = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    tail = (limit - 1) // 2
    return line if len(line) <= limit else line[: limit - 1 - tail].rstrip() + "…" + line[len(line) - tail :].lstrip()
