"""Whether all that is recorded of a trial says the same: its result, its configuration, the table, and the study."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna

from phalanx.runs.config_file import parse_value, read_overrides, read_values
from phalanx.runs.stored_run import StoredRun, read_stored_run

NAMED = ("loss", "optimizer")  # groups whose options have the name that is in their configuration


def disagreements(cwd: Path) -> Iterator[str]:
    """Every difference between records of the same trial below a folder."""
    for manifest in cwd.rglob("sweep.json"):
        yield from _of_sweep(manifest.parent)
    for result in cwd.rglob("result.json"):
        yield from _of_run(result.parent)


def _of_run(folder: Path) -> Iterator[str]:
    """`config.yaml` has what `.hydra/overrides.yaml` says that was typed."""
    overrides, config = folder / ".hydra" / "overrides.yaml", folder / "config.yaml"
    if not overrides.is_file() or not config.is_file():
        return
    typed = dict(text.lstrip("+").split("=", 1) for text in read_overrides(overrides) if "=" in text)
    values = read_values(config)
    for key, text in typed.items():
        if (known := _value(values, key)) is not None and not _same(known, text):
            yield f"{folder.name}: {key}={text} was typed, and config.yaml has {known!r}"


def _of_sweep(root: Path) -> Iterator[str]:
    table = {int(row["number"]): row for row in csv.DictReader(open(root / "trials.csv"))}
    results = {
        int(f.name): read_stored_run(f) for f in root.iterdir() if (f / "result.json").is_file() and f.name.isdecimal()
    }
    if set(table) != set(results):
        yield f"trials.csv has the trials {sorted(table)}, and there are results of {sorted(results)}"
    for number in sorted(set(table) & set(results)):
        row, result = table[number], results[number]
        if row["status"] != result.status or not _equal(row["objective"], result.value):
            yield f"trial {number}: {row['status']} {row['objective']} in trials.csv, {result.status} {result.value} in its result"
    if (root / "study.db").is_file():
        yield from _of_study(root, results)


def _of_study(root: Path, results: dict[int, StoredRun]) -> Iterator[str]:
    url = f"sqlite:///{root / 'study.db'}"
    (name,) = optuna.get_all_study_names(url)
    trials = [t for t in optuna.load_study(study_name=name, storage=url).trials if "phalanx.warm" not in t.user_attrs]
    for trial in trials:
        if trial.number not in results:
            yield f"trial {trial.number} of the study has no result"
            continue
        result, told = results[trial.number], (trial.values or [None])
        values = [objective.value for objective in result.objectives]
        if trial.state.name == "COMPLETE" and not all(map(_equal, told, values)):
            yield f"trial {trial.number}: the study knows {told}, its result {values}"
        config = root / str(trial.number) / "config.yaml"
        if not config.is_file():
            continue
        trained = read_values(config)
        for key, drawn in trial.params.items():
            known = _value(trained, key.partition("@")[0])
            if known is not None and not _same(known, drawn):
                yield f"trial {trial.number}: {key}={drawn!r} in the study, {known!r} in config.yaml"


def _value(config: dict[str, Any], key: str) -> Any:
    """The value at a dotted key; the name of an option where the key is a group; None where it cannot be told."""
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, dict) or part not in node:
            return None
        node = node[part]
    if isinstance(node, dict):
        return node.get("name") if key in NAMED else None
    return node


def _same(trained: Any, given: Any) -> bool:
    """Whether a value in a configuration is what was drawn or typed."""
    value = parse_value(given) if isinstance(given, str) else given
    if (isinstance(value, str) and "(" in value) or "${" in str(value):
        return True  # a function of Hydra's grammar
    if isinstance(trained, (int, float)) and isinstance(value, (int, float)):
        return math.isclose(trained, value, rel_tol=1e-9)
    texts = [str(x).lower().replace(" ", "").replace("'", "").replace('"', "") for x in (trained, value)]
    return texts[0] == texts[1]


def _equal(one: Any, other: Any) -> bool:
    if one in (None, "") or other is None:
        return one in (None, "") and other is None
    try:
        return math.isclose(float(one), float(other), rel_tol=1e-9) or str(one) == str(other)
    except ValueError:
        return False
