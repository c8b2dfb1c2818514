"""Figures inside a page: SVG whose colours follow the page's light or dark scheme, small, with a tip on every trial.

An artist with the URL of `trial_url(17)` links to that trial's row, and shows the trial's tip under the pointer.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from phalanx.report.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION, YELLOW, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 4.4  # inches of a figure in a column: at a phone's width its text is 10 pixels high
VARIABLES = {  # colours in a figure, and the page's variables that stand for them
    BLACK: "ink", GREY: "grey", "#b0b0b0": "grid", BLUE: "blue", VERMILLION: "vermillion", GREEN: "green",
    ORANGE: "orange", SKY: "sky", PURPLE: "purple", YELLOW: "yellow", "#ffffff": "paper",
}  # fmt: skip

_VARIABLE = {colour.lower(): f"var(--{name})" for colour, name in VARIABLES.items()}
_HEX = re.compile(r"#[0-9a-f]{6}\b")
_NUMBER = re.compile(r"(?<=[\s\"(,])(-?\d+\.\d{3,})(?=[\s\"),])")
_LINK = re.compile(r'<a xlink:href="#trial-(\d+)"[^>]*>')
_WRAPPED = re.compile(r"<g clip-path=\"[^\"]*\">\s*(<use [^>]*/>)\s*</g>")
_IDS = "figure|axes|patch|line2d|text|xtick|ytick|matplotlib\\.axis|legend|[A-Z][a-z]+Collection"
_NOISE = re.compile(rf"<metadata>.*?</metadata>|<!--.*?-->| id=\"(?:{_IDS})_\d+\"", re.DOTALL)


def page_figure(height: float = 2.9, width: float = WIDTH) -> Figure:
    """A figure for a page."""
    return new_figure(width, height)


def trial_url(number: int) -> str:
    """Where an artist of this trial links to."""
    return f"#trial-{number}"


def inline(figure: Figure, description: str, tips: Mapping[int, str] | None = None) -> Markup:
    """The figure as an SVG element for HTML; `tips` are shown over the trials of these numbers."""
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
    head = Markup('<svg {} role="img" aria-label="{}">').format(Markup(box[0] if box else ""), description)
    return head + Markup(body.strip() + "</svg>")


def _link(number: int, tips: Mapping[int, str]) -> str:
    tip = f"<title>{escape(tips[number])}</title>" if number in tips else ""
    return f'<a href="#trial-{number}">{tip}'
