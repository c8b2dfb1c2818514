"""The folder of a sweep whose trials were really trained, as a grid or a search leaves it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from phalanx import TrialSpec, load_dataset, train_cohort, train_trial
from phalanx.core.specs import keys_of
from phalanx.runs.layout import RunPaths, SweepPaths
from phalanx.runs.run_folder import write_run
from phalanx.training.partition import partition
from phalanx.training.spec import parts_of


def configuration(spec: TrialSpec) -> dict[str, Any]:
    """The values of a trial as `config.yaml` has them."""
    groups = {part.config_group: {"name": part.name, **{f.name: getattr(part, f.name) for f in keys_of(part)}}
              for part in parts_of(spec)}  # fmt: skip
    for group in ("trainer", "device"):
        del groups[group]["name"]
    return {**groups, "objective": spec.objective, "seed": spec.seed}


def write_sweep(root: Path, specs: Sequence[TrialSpec], *, search: bool = True, kept: Sequence[int] = ()) -> Path:
    """Trains the trials and writes their sweep.

    Args:
        root: The folder.
        specs: The trials, by number.
        search: Whether it is a search, whose trials do not read the test split.
        kept: The numbers of the trials that keep their weights.
    """
    root.mkdir(parents=True, exist_ok=True)
    (root / "sweep.json").write_text(json.dumps({"search": search}))
    data = [load_dataset(spec.data) for spec in specs]
    for places in partition(specs, data):
        trained = train_cohort([specs[i] for i in places], [data[i] for i in places], test=not search)
        for i, result in zip(places, trained, strict=True):
            paths, typed = (
                SweepPaths(root).trial(i),
                (f"model.width={next(iter(specs[i].model.hidden_widths), 0)}", f"seed={specs[i].seed}"),
            )
            write_run(paths, specs[i], data[i], result, job_overrides=typed)
            paths.config_resolved.write_text(json.dumps(configuration(specs[i])))
            if i not in kept:
                paths.model.unlink()
    return root


def write_run_of(folder: Path, spec: TrialSpec) -> Path:
    """Trains one run and writes its folder."""
    paths, dataset = RunPaths(folder), load_dataset(spec.data)
    write_run(paths, spec, dataset, train_trial(spec, dataset))
    paths.config_resolved.write_text(json.dumps(configuration(spec)))
    return folder
