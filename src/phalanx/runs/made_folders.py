"""The folders of models that were made of runs: an ensemble of them, or a refit."""

from __future__ import annotations

from pathlib import Path

from phalanx.runs.layout import MADE, RunPaths


def is_made(folder: Path) -> bool:
    """Whether a folder holds an ensemble or a refit."""
    return RunPaths(folder).ensemble.is_file() or RunPaths(folder).refit.is_file()


def made_in(sweep: Path) -> list[Path]:
    """The ensembles and refits in the folder of a sweep: `ensemble`, `refit`, then those of other names."""
    others = (one for one in sweep.iterdir() if not one.name.isdecimal() and one.name[:1] != "." and one.is_dir())
    return sorted(filter(is_made, others), key=lambda one: (one.name not in MADE, one.name))
