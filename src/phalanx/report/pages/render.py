"""HTML pages from the templates in `templates/`: one file that opens offline, without scripts, every value escaped."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

Row = TypeVar("Row")


@dataclass(frozen=True)
class Column(Generic[Row]):
    """A column of a table: `text` gives the cell of a row; numbers are set to the right, words get a wide cell."""

    title: str
    text: Callable[[Row], object]
    kind: Literal["", "number", "words"] = ""


@dataclass(frozen=True)
class Table(Generic[Row]):
    """A table with one line for each row; `anchor` gives the id that links to the line of a row."""

    columns: Sequence[Column[Row]]
    rows: Sequence[Row]
    anchor: Callable[[Row], str] | None = None


class FigureInfo(Protocol):
    """The numbers of a figure."""

    @property
    def title(self) -> str:
        """The heading of the figure."""


@dataclass(frozen=True)
class PageFigure:
    """A figure as an SVG element, and its numbers."""

    svg: Markup
    info: FigureInfo


@functools.cache
def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,  # a line with nothing but tags leaves nothing in the page
        lstrip_blocks=True,
    )
    found.filters["thousands"] = "{:,}".format
    return found


def render(template: str, **values: object) -> str:
    """The page that `template` makes of `values`. Characters that UTF-8 cannot encode become question marks."""
    return _environment().get_template(template).render(values).encode("utf-8", "replace").decode()


def decimals(value: float | None) -> str:
    """A number as tables show it: 4 decimals, or 3 digits for very small and large ones; a dash for None."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}" if 1e-3 <= abs(value) < 1e5 else f"{value:.3g}"
