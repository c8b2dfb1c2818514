"""`phalanx compare`: which group is better, and is the difference real?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phalanx.cli.options import console, names, positive_number
from phalanx.core.errors import RequestError
from phalanx.core.files import write_text

if TYPE_CHECKING:
    from phalanx.analysis.compare import Comparison

HELP = """\
Compare groups of finished runs: means with 95 % intervals, and paired differences by seed.

PATH is a run's folder, a sweep's (a grid, a search, or the final of a search), a folder that holds run folders, or
mlflow:EXPERIMENT. A seed's value is a mean over the settings that all groups share, and groups are compared on the
seeds that they share, by paired t-tests with Holm's correction over all pairs. Runs on different data are compared
apart. What else differs between the groups, and what was left out, is said.
"""
EXAMPLES = """\
examples:
  phalanx compare outputs/sweeps/my_grid --by loss
  phalanx compare outputs/sweeps/my_grid --by loss,optimizer --metric val_loss --csv table.csv
  phalanx compare outputs/sweeps/my_search/final --by trial --figure final.svg
  phalanx compare outputs/runs --by lr --where data=digits --where optimizer=sgd
  phalanx compare mlflow:phalanx --by loss --where sweep=my_grid --markdown table.md

Exit status 2: the request was wrong.
"""
FIGURES = (".png", ".svg")


def add(commands: Any) -> None:
    """Adds the parser of this command."""
    parser = commands.add_parser(
        "compare",
        help="compare groups of runs, with intervals and tests",
        description=HELP,
        epilog=EXAMPLES,
    )
    parser.add_argument("sources", metavar="PATH", nargs="*", help="run folder, sweep folder, or mlflow:EXPERIMENT")
    parser.add_argument("--by", metavar="KEYS", type=names, default=[], action="extend",
                        help="what makes the groups, e.g. loss,optimizer.lr; default: all that varies")  # fmt: skip
    parser.add_argument("--metric", metavar="NAME", help="default: test_accuracy where all have it, else the objective")
    parser.add_argument("--where", metavar="KEY=VALUE", default=[], action="append", help="only runs with this value")
    parser.add_argument(
        "--baseline", metavar="GROUP", help="test the others against this group only, chosen beforehand"
    )
    parser.add_argument("--relevant", metavar="SIZE", type=positive_number,
                        help="a difference that matters, as shown: how many seeds would tell it?")  # fmt: skip
    parser.add_argument("--mlflow", metavar="NAME", action="append", default=[], help="the same as mlflow:NAME")
    parser.add_argument("--uri", metavar="URI", help="MLflow's store; default: MLFLOW_TRACKING_URI, else its own")
    parser.add_argument("--csv", metavar="FILE", type=Path, help="groups; differences go to FILE with _differences")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="both tables with sentences and notes")
    parser.add_argument("--figure", metavar="FILE", type=Path, help="means, intervals and seeds, as .png or .svg")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Reads, compares, writes the files that were asked for, and prints."""
    _check(arguments)
    from phalanx.analysis.compare import compare_runs, read_sources
    from phalanx.analysis.compare.tables import show

    sources = [*arguments.sources, *(f"mlflow:{name}" for name in arguments.mlflow)]
    read = read_sources(sources, arguments.uri)
    found = compare_runs(
        read.runs, arguments.by, arguments.metric, arguments.baseline, arguments.relevant, arguments.where, read.notes
    )
    show(found, console())
    for path in _written(arguments, found):
        print(f"wrote {path}")


def _check(arguments: argparse.Namespace) -> None:
    faults = []
    if not arguments.sources and not arguments.mlflow:
        faults.append("nothing to compare: give a run or sweep folder, or mlflow:EXPERIMENT; try outputs/sweeps/<name>")
    for name in ("csv", "markdown", "figure"):
        path = getattr(arguments, name)
        if path is not None and path.is_dir():
            faults.append(f"--{name} {path} is a folder; give the name of a file")
    if arguments.figure is not None and arguments.figure.suffix.lower() not in FIGURES:
        faults.append(f"--figure {arguments.figure} must end in {' or '.join(FIGURES)}")
    if faults:
        raise RequestError("\n".join(faults))


def _written(arguments: argparse.Namespace, found: Comparison) -> list[Path]:
    from phalanx.analysis.compare.tables import differences_csv, groups_csv, markdown

    texts: dict[Path, str] = {}
    if arguments.csv is not None:
        texts[arguments.csv] = groups_csv(found)
        texts[arguments.csv.with_stem(f"{arguments.csv.stem}_differences")] = differences_csv(found)
    if arguments.markdown is not None:
        texts[arguments.markdown] = markdown(found)
    for path, text in texts.items():
        write_text(path, text)
    return [*texts, *([_drawn(arguments.figure, found)] if arguments.figure is not None else [])]


def _drawn(path: Path, found: Comparison) -> Path:
    from phalanx.report.run_figures.comparison import comparison_info, draw_comparison
    from phalanx.report.style import save_figure

    infos = [comparison_info(part, found.measure.title) for part in found.parts]
    return save_figure(draw_comparison(infos), path)
