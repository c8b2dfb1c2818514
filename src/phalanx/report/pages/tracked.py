"""The line of a report that says where MLflow has the run or the sweep.

It is put into a page that is written already, because the end of a sweep draws the page while MLflow is still fed.
"""

from phalanx.report.pages.render import render
from phalanx.tracking.links import Place

MARK = "<!-- tracked -->"  # in the page's template, where the line goes


def with_place(html: str, place: Place | None) -> str:
    """Returns a page with the line, unless it has one or the place is not known."""
    return html if place is None else html.replace(MARK, render("tracked.html.j2", place=place).strip(), 1)
