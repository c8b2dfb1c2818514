"""`phalanx compare`: which group of runs is better, and whether the difference is more than chance."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from phalanx.cli.options import Subparsers, check_files, console, names, positive_number, say_written
from phalanx.core.errors import Incomplete
from phalanx.core.named_files import is_plain, named_file, write_named

if TYPE_CHECKING:
    from phalanx.analysis.compare import Comparison

HELP = """\
Compare groups of finished runs: means with 95 % intervals, and paired differences by seed.

PATH is the folder of a run or of a sweep (a grid, a search, the final of a search), a folder that contains run
folders, or mlflow:EXPERIMENT. The value of a seed is the mean over the settings that all groups share. Groups are
compared on the seeds that they share, by paired t-tests with Bonferroni's correction over all pairs, which the
intervals have too; that holds on this split of the data. Runs on three splits or more (data.split_seed) are pooled:
each split is one repeat. So are runs on folds (data.fold), whose values are paired by fold and seed; tests and
intervals are corrected for the rows that folds share. Runs on different data are compared separately, and with --over
data also over the data sets. A group of which runs diverged or failed wins nothing. Ensembles
and refits are left out of a folder of runs; given besides, they are groups that no test sets against runs. Notes say
what else differs between the groups and which runs were left out.
"""
EXAMPLES = """\
examples:
  phalanx compare outputs/sweeps/my_grid --by loss
  phalanx compare outputs/sweeps/my_grid --by loss,optimizer --metric val_loss --csv table.csv
  phalanx compare outputs/sweeps/my_grid --by loss.class_weights --metric test_balanced_accuracy --classes
  phalanx compare outputs/sweeps/my_search/final --by trial --figure final.svg
  phalanx compare outputs/runs --by lr --where data=digits --where optimizer=sgd
  phalanx compare outputs/sweeps/many --by model --over data --figure ranks.svg
  phalanx compare outputs/sweeps/folds --by model --relevant 0.5
  phalanx compare mlflow:phalanx --by loss --where sweep=my_grid --markdown table.md

Exit status: 0 done; 1 a file cannot be read or written; 2 the request was wrong.
"""


def add(subparsers: Subparsers) -> None:
    """Adds the parser of this subcommand."""
    title = "compare groups of runs, with intervals and tests"
    parser = subparsers.add_parser("compare", help=title, description=HELP, epilog=EXAMPLES)
    option = parser.add_argument
    option("sources", metavar="PATH", nargs="*", help="run folder, sweep folder, or mlflow:EXPERIMENT")
    option("--by", metavar="KEYS", type=names, default=[], action="extend",
           help="the keys that make the groups, e.g. loss,optimizer.lr; default: all that vary")  # fmt: skip
    option(
        "--metric",
        metavar="NAME",
        help="default: the objective's on the test split, else test_accuracy, else the objective",
    )
    option("--where", metavar="KEY=VALUE", default=[], action="append", help="only runs with this value")
    option("--baseline", metavar="GROUP", help="test the other groups against this one only, chosen beforehand")
    option("--relevant", metavar="SIZE", type=positive_number,
           help="a difference that matters, in the unit shown: is any smaller, how probable is more")  # fmt: skip
    option("--over", metavar="data", choices=["data"],
           help="data: test the groups over all data sets too, each as one repeat, by their ranks")  # fmt: skip
    option("--classes", action="store_true", help="show precision, recall, F1 and support of each class too")
    option("--mlflow", metavar="NAME", action="append", default=[], help="the same as mlflow:NAME")
    option("--uri", metavar="URI", help="MLflow's store; default: MLFLOW_TRACKING_URI, else MLflow's own default")
    option("--csv", metavar="FILE", type=Path, help="write the groups; the differences go to FILE with _differences")
    option("--markdown", metavar="FILE", type=Path, help="write both tables with sentences and notes")
    option("--figure", metavar="FILE", type=Path, help="draw means, intervals and seeds, as .png or .svg")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Compares the runs, prints the result, and writes the requested files.

    Raises `Incomplete` if a result could not be read.
    """
    sources = [*arguments.sources, *(f"mlflow:{name}" for name in arguments.mlflow)]
    nothing = "nothing to compare: give a run or sweep folder, or mlflow:EXPERIMENT; try outputs/sweeps/<name>"
    table = arguments.csv
    derived = {} if table is None or not is_plain(table) else {"the table of differences": _differences(table)}
    check_files(arguments, *([] if sources else [nothing]), further=derived)
    from phalanx.analysis.compare import compare_runs, read_sources, with_over_data
    from phalanx.analysis.compare.tables import show

    read = read_sources(sources, arguments.uri)
    found = compare_runs(
        read.runs, arguments.by, arguments.metric, arguments.baseline, arguments.relevant, arguments.where, read.notes
    )
    if arguments.over is not None:
        found = with_over_data(found, arguments.baseline)
    show(found, console(), classes=arguments.classes)
    for path in _write_files(arguments, found):
        say_written(path)
    if read.n_damaged:
        results = "1 result" if read.n_damaged == 1 else f"{read.n_damaged} results"
        raise Incomplete(f"all was compared but for {results} that cannot be read; the notes name the files")


def _write_files(arguments: argparse.Namespace, found: Comparison) -> list[Path]:
    """Writes the requested files and returns their paths."""
    from phalanx.analysis.compare.tables import differences_csv, groups_csv, markdown, titled

    pages: list[tuple[Path, str]] = []
    if arguments.csv is not None:
        pages += [(arguments.csv, groups_csv(found)), (_differences(arguments.csv), differences_csv(found))]
    if arguments.markdown is not None:
        pages.append((arguments.markdown, markdown(found, classes=arguments.classes)))
    texts = {path: "\n".join(text for other, text in pages if other == path) for path, _ in pages}
    for path, text in texts.items():
        write_named(path, text)
    if arguments.figure is None:
        return [*texts]
    from phalanx.report.run_figures.comparison import comparison_info, draw_comparison
    from phalanx.report.run_figures.critical_difference import draw_critical_difference
    from phalanx.report.style import save_figure

    if found.over is not None:
        return [*texts, save_figure(draw_critical_difference(found.over), arguments.figure, named_file)]
    infos = [comparison_info(part, found.measure.title, titled(found, part)) for part in found.parts]
    return [*texts, save_figure(draw_comparison(infos), arguments.figure, named_file)]


def _differences(table: Path) -> Path:
    """The file of the second table; a pipe or a device gets both, with an empty line between them."""
    return table.with_stem(f"{table.stem}_differences") if is_plain(table) else table
