"""SVG figures for a page: small, in the colours of the page's light or dark scheme, with a tip on every trial.

An artist with the URL of `trial_url(17)` links to that trial's row in the page and shows the trial's tip under the
pointer.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from phalanx.report.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RAMP, SKY, VERMILLION, YELLOW, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 4.4  # inches of a figure in a column: its text is 10 pixels high on a phone
REM = 5.8  # the width of a page's figure in rem, of each inch: so all figures have text of the same size
VARIABLES = {  # colours in a figure, and the variables of templates/style.css that replace them
    BLACK: "ink", GREY: "grey", "#b0b0b0": "grid", BLUE: "blue", VERMILLION: "vermillion", GREEN: "green",
    ORANGE: "orange", SKY: "sky", PURPLE: "purple", YELLOW: "yellow", "#ffffff": "paper",
    **{colour: f"ramp{place}" for place, colour in enumerate(RAMP)},
}  # fmt: skip

_VARIABLE = {colour.lower(): f"var(--{name})" for colour, name in VARIABLES.items()}
_HEX = re.compile(r"#[0-9a-f]{6}\b")
_NUMBER = re.compile(r"(?<=[\s\"(,])(-?\d+\.\d{3,})(?=[\s\"),])")
_LINK = re.compile(r'<a xlink:href="#trial-(\d+)"[^>]*>')
_WRAPPED = re.compile(r"<g clip-path=\"[^\"]*\">\s*(<use [^>]*/>)\s*</g>")
_IDS = "figure|axes|patch|line2d|text|xtick|ytick|matplotlib\\.axis|legend|[A-Z][a-z]+Collection"
_NOISE = re.compile(rf"<metadata>.*?</metadata>|<!--.*?-->| id=\"(?:{_IDS})_\d+\"", re.DOTALL)


def page_axes(height: float = 2.9, width: float = WIDTH) -> tuple[Figure, Axes]:
    """A figure for a page, in inches, and its only axes."""
    figure = new_figure(width, height)
    return figure, figure.subplots()


def trial_url(number: int) -> str:
    """Where an artist of this trial links to."""
    return f"#trial-{number}"


def scatter_trials(
    axes: Axes, x: Sequence[float], y: Sequence[float], numbers: Sequence[int], marker: str, colour: str, size: float,
    label: str = "",
) -> None:  # fmt: skip
    """Draws a mark for each trial, which links to the trial's row.

    Args:
        axes: Where to draw.
        x: Horizontal place of each mark.
        y: Vertical place of each mark.
        numbers: The trial's number of each mark.
        marker: As in matplotlib; `o` is filled, all others are hollow.
        colour: As in matplotlib.
        size: Area of a mark in square points, as `mark_size` returns it.
        label: The words in the legend; no entry if empty.
    """
    if not len(x):
        return
    filled = marker == "o"
    marks = axes.scatter(
        x, y, s=size, marker=marker, facecolors=colour if filled else "none", edgecolors=colour, linewidths=1,
        alpha=0.8 if filled else 0.9, label=label or None,
    )  # fmt: skip
    marks.set_urls([trial_url(number) for number in numbers])


def mark_size(count: int) -> float:
    """The area of a mark in square points: smaller if there are many marks."""
    return 26.0 if count <= 100 else 14.0 if count <= 400 else 7.0


def inline(figure: Figure, description: str, tips: Mapping[int, str] | None = None) -> Markup:
    """The figure as an SVG element for HTML.

    Args:
        figure: The figure.
        description: What screen readers say.
        tips: The text that is shown over a trial, by the trial's number.
    """
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = _NOISE.sub("", buffer.getvalue())
    start, box = text.index("<svg"), re.search(r'viewBox="[^"]*"', text)
    body = text[text.index(">", start) + 1 : text.rindex("</svg>")]
    body = _HEX.sub(lambda found: _VARIABLE.get(found[0], found[0]), body)
    body = _NUMBER.sub(lambda found: f"{float(found[0]):.2f}", body)
    body = _WRAPPED.sub(r"\1", body)
    body = _LINK.sub(lambda found: _link(int(found[1]), tips or {}), body).replace("xlink:href", "href")
    body = re.sub(r">\s+<", "><", body)
    size = Markup('style="--width:{:.1f}rem"').format(REM * float(figure.get_figwidth()))
    head = Markup('<svg {} {} role="img" aria-label="{}">').format(Markup(box[0] if box else ""), size, description)
    return head + Markup(body.strip() + "</svg>")


def _link(number: int, tips: Mapping[int, str]) -> str:
    tip = f"<title>{escape(tips[number])}</title>" if number in tips else ""
    return f'<a href="{trial_url(number)}">{tip}'
