"""The frame of a report: one HTML file that opens offline, with no script in it. All text is escaped here."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #111; --grey: #6e6e6e; --grid: #c9c9c9; --line: #ddd;
  --blue: #0072b2; --vermillion: #d55e00; --green: #00785a; --orange: #b87d00; --sky: #2a8fc9; --purple: #b0578b;
  --yellow: #a89a00; }
@media (prefers-color-scheme: dark) { :root { --paper: #16181b; --ink: #ececec; --grey: #a0a0a0; --grid: #4a4d52;
  --line: #33363b; --blue: #56b4e9; --vermillion: #ff8c42; --green: #2fc99b; --orange: #e69f00; --sky: #8fd0f5;
  --purple: #e3a3c6; --yellow: #f0e442; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 78rem; margin: 0 auto; padding: .5rem 1rem 3rem;
  color: var(--ink); background: var(--paper); }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; } h1, h2, h3 { line-height: 1.25; }
h2 { font-size: 1.2rem; margin: 2rem 0 .3rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 0 0 .2rem; } p { margin: .4rem 0; max-width: 60rem; } a { color: var(--blue); }
nav a { margin-right: .8rem; white-space: nowrap; display: inline-block; }
.note { color: var(--grey); font-size: .9rem; }
.figures { display: grid; gap: 1.2rem; margin-bottom: 1.2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); }
figure { margin: 0; min-width: 0; max-width: 46rem; } figure.broad { grid-column: 1 / -1; max-width: 62rem; }
figcaption { font-size: .9rem; color: var(--grey); }
svg { width: 100%; height: auto; display: block; overflow: visible; } svg text { fill: var(--ink); }
svg a { cursor: pointer; } img { max-width: 100%; height: auto; background: #fff; }
.wide { overflow-x: auto; } .wide > svg { min-width: var(--least, 0); }
table { border-collapse: collapse; font-size: .9rem; } td, th { padding: .2rem .6rem; text-align: left;
  border-bottom: 1px solid var(--line); vertical-align: top; } th { white-space: nowrap; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td { overflow-wrap: break-word; max-width: 30rem; } td.words { min-width: 14rem; }
tr:target { background: var(--line); }
pre { overflow-x: auto; border: 1px solid var(--line); padding: .6rem; font-size: .85rem; }
.wide > img { min-width: min(100%, 18rem); } .wide > img.broad { min-width: 42rem; } summary { cursor: pointer; }
"""


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its text, whether it is set to the right as numbers are, or needs room for a sentence."""

    text: str
    number: bool = False
    words: bool = False


def page(title: str, lead: Sequence[str], sections: Sequence[tuple[str, str]]) -> str:
    """The whole file: `lead` are plain sentences under the title, `sections` are titles with their HTML."""
    there = [(f"s{place}", name, body) for place, (name, body) in enumerate(sections) if body]
    links = "".join(f'<a href="#{key}">{text(name)}</a> ' for key, name, _ in there)
    parts = [f'<section id="{key}"><h2>{text(name)}</h2>\n{body}</section>' for key, name, body in there]
    whole = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{STYLE}</style></head>\n<body><h1>{text(title)}</h1>\n"
        + "".join(f"<p>{text(line)}</p>\n" for line in lead)
        + f"<nav>{links}</nav>\n"
        + "\n".join(parts)
        + "</body></html>\n"
    )
    return whole.encode("utf-8", "replace").decode()  # a name may hold what UTF-8 cannot


def text(value: object) -> str:
    """A value as HTML text."""
    return html.escape(str(value), quote=True)


def paragraphs(lines: Sequence[str], kind: str = "") -> str:
    """A paragraph for each line."""
    mark = f' class="{kind}"' if kind else ""
    return "".join(f"<p{mark}>{text(line)}</p>\n" for line in lines)


def figure(svg: str, title: str = "", caption: str = "", least: str = "") -> str:
    """A figure with a heading; `least` is a width such as `40rem` below which it is scrolled and not made smaller."""
    head = f"<h3>{text(title)}</h3>" if title else ""
    foot = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    broad = f' class="broad"><div class="wide" style="--least:{least}"' if least else ""
    return f"<figure{broad}>{head}{svg}{foot}{'</div>' if least else ''}</figure>\n"


def figures(*parts: str) -> str:
    """Figures beside each other where the window is wide enough."""
    there = "".join(part for part in parts if part)
    return f'<div class="figures">{there}</div>\n' if there else ""


def table(header: Sequence[str], rows: Sequence[Sequence[Cell]], anchors: Sequence[str] = ()) -> str:
    """A table that scrolls by itself; `anchors` are the ids of its rows."""
    head = "".join(f"<th>{text(cell)}</th>" for cell in header)
    body = []
    for place, row in enumerate(rows):
        mark = f' id="{anchors[place]}"' if place < len(anchors) else ""
        cells = "".join(f"<td{_look(c)}>{text(c.text)}</td>" for c in row)
        body.append(f"<tr{mark}>{cells}</tr>\n")
    return f'<div class="wide"><table><tr>{head}</tr>\n{"".join(body)}</table></div>\n'


def _look(cell: Cell) -> str:
    return " class=number" if cell.number else " class=words" if cell.words else ""


def folded(title: str, body: str) -> str:
    """A part that opens when its title is clicked."""
    return f"<details><summary>{text(title)}</summary>\n{body}</details>\n"


def listing(content: str) -> str:
    """Text in a fixed-width font, such as a configuration."""
    return f"<pre>{text(content)}</pre>\n"


def pairs(values: Mapping[str, object]) -> str:
    """A table of names and values."""
    return table(["", ""], [[Cell(name), Cell(str(value), number=True)] for name, value in values.items()])
