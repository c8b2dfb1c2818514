"""The table of a sweep's page with what was made of its trials: ensembles and refits.

It is put into a page that is written already, because these are made after the end of a search, or later by a command.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from phalanx.core.metrics import tested
from phalanx.report.pages.made import made_of
from phalanx.report.pages.render import decimals, render
from phalanx.runs.layout import REFIT, RunPaths, SweepPaths
from phalanx.runs.left_out import LeftOut
from phalanx.runs.made_folders import made_in
from phalanx.runs.stored_run import StoredRun, read_stored_run
from phalanx.runs.sweep_folder import sweep_summary

START, END = "<!-- made -->", "<!-- end of made -->"  # in the page's template, around the table
SHOWN = ("test_accuracy", "test_likelihood")  # columns beside the objective and its metric on the test split


@dataclass(frozen=True)
class _Model:
    """One row: the folder's name and address, the record of its run, what it is, and notes on it."""

    name: str
    address: str
    stored: StoredRun
    said: str
    notes: Sequence[str]


def with_models(html: str, sweep: Path, left_out: LeftOut) -> str:
    """Returns the page of a sweep with the table as the folder is now, in the place of one that it may have.

    Args:
        html: The page.
        sweep: The folder of the sweep.
        left_out: Takes the folders that cannot be read, which the table names too.
    """
    unread = LeftOut()
    found = [unread.attempt(functools.partial(_model, sweep, folder), None) for folder in made_in(sweep)]
    for fault in unread.faults:
        left_out.add(fault)
    table = _table([model for model in found if model is not None], unread.faults) if found else ""
    pattern = f"{re.escape(START)}.*?{re.escape(END)}"
    return re.sub(pattern, lambda _: f"{START}\n{table}\n{END}", html, count=1, flags=re.DOTALL)


def _model(sweep: Path, folder: Path) -> _Model:
    """Reads a folder. Raises `RunFolderError` or `UnreadableFile` if it is damaged."""
    made, best = made_of(RunPaths(folder)), sweep_summary(sweep).get("best")
    is_old = folder.name == REFIT and None not in (made.best, best) and made.best != best
    notes = [*made.notes, *([f"of trial {made.best}, which is no longer the best"] if is_old else [])]
    page = SweepPaths(folder).report
    address = f"{quote(folder.name)}/{page.name if page.is_file() else ''}"
    return _Model(folder.name, address, read_stored_run(folder), made.sentence, notes)


def _table(models: Sequence[_Model], faults: Sequence[str]) -> str:
    objectives = [model.stored.objective.name for model in models]
    names = [*dict.fromkeys([*objectives, *map(tested, objectives), *SHOWN])]
    rows = [(model, [_value(model.stored, name) for name in names]) for model in models]
    return render("models_made.html.j2", names=names, rows=rows, faults=faults).strip()


def _value(stored: StoredRun, name: str) -> str:
    """A metric with its interval over the test samples, if it has one."""
    ends = (stored.intervals or {}).get(name)
    text = decimals(stored.metrics.get(name))
    return f"{text} [{ends[0]:.3f}, {ends[1]:.3f}]" if ends else text
