"""What a nested search ends with: its outer folds, the estimate, the files."""

from __future__ import annotations

from rich.console import Console

from phalanx.analysis.nested import read_nested, shared_keys, write_nested
from phalanx.core.console import plain_console, print_line, print_words
from phalanx.core.quantities import counted, number
from phalanx.jobs.closing_tables import ClosingTable
from phalanx.report.build import write_nested_report
from phalanx.runs.layout import NestedPaths, relative


def sum_up(paths: NestedPaths, console: Console | None = None) -> None:
    """Writes and prints what the choices of the searches reach on their outer folds.

    Args:
        paths: The folder of the nested search.
        console: By default standard output.

    Raises:
        RunFolderError: No outer fold was tested.
    """
    console = console or plain_console()
    found = read_nested(paths)
    write_nested(paths, found)
    write_nested_report(paths, found)
    shared = shared_keys(found.folds)
    table = ClosingTable(
        f"{counted(len(found.folds), 'outer fold')}, each tested by the choice of a search that never saw it",
        "tested",
        ["outer fold", "trial", found.chosen_by, found.judged_by],
        [
            [
                str(fold.number),
                str(fold.trial.number),
                number(fold.searched),
                number(fold.tested.mean if fold.tested else None),
            ]
            for fold in found.folds
        ],
        [{k: v for k, v in fold.trial.overrides.items() if k not in shared} for fold in found.folds],
    )
    if console.is_terminal:
        table.show(console)
    else:
        for line in table.lines():
            print_line(console, line)
    for text in found.sentences():
        print_words(console, text)
    print_line(console, f"files: {relative(paths.root)}")
