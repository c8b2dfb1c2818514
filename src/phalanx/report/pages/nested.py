"""The page of a nested search: its estimate, and a row for each outer fold with a link to the report of its search."""

from __future__ import annotations

from phalanx.analysis.nested import Nested, shared_keys
from phalanx.report.pages.render import render


def nested_html(name: str, found: Nested) -> str:
    """The whole page.

    Args:
        name: Of the nested search.
        found: What its outer folds reached.
    """
    shared = shared_keys(found.folds)
    keys = [
        key for key in dict.fromkeys(key for fold in found.folds for key in fold.trial.overrides) if key not in shared
    ]
    same = {key: value for key, value in found.folds[0].trial.overrides.items() if key in shared}
    same = {key: value for key, value in same.items() if not key.startswith("data.outer_fold")}
    return render("nested.html.j2", title=name, left_out=[], found=found, keys=keys, same=same)
