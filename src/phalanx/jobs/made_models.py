"""Models that a search makes of its trials when it has ended: an ensemble, and its best point trained again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from phalanx.analysis.ensemble.build import make_ensemble
from phalanx.analysis.ensemble.predictions import gather_predictions
from phalanx.analysis.ensemble.show import show
from phalanx.analysis.refit import lines, refit
from phalanx.core.console import busy, plain_console, print_line, print_words
from phalanx.report.build import list_model
from phalanx.report.run_figures.draw import draw_plots
from phalanx.runs.layout import ENSEMBLE, REFIT, RunPaths, SweepPaths
from phalanx.runs.left_out import LeftOut
from phalanx.runs.options import TrackingSpec
from phalanx.tracking.client import tracker


def make_models(
    root: Path, tracking: TrackingSpec, left_out: LeftOut, *, ensemble: str | None, seeds: int,
    console: Console | None = None,
) -> None:  # fmt: skip
    """Makes the models, each in a folder of its own in that of the sweep, prints what they are, and logs them.

    Args:
        root: The folder of the sweep.
        tracking: Where they are logged; they are registered where the sweep's best model is.
        left_out: Takes what cannot be made, such as an ensemble of trials with different data.
        ensemble: How its members are chosen; None for no ensemble.
        seeds: With how many seeds the best point is trained again; 0 for not at all.
        console: By default standard output.
    """
    screen = console or plain_console()
    if ensemble is not None:
        left_out.attempt(lambda: _make(root, ensemble, tracking, screen), None)
    if seeds:
        left_out.attempt(lambda: _train(root, seeds, tracking, screen), None)
    left_out.attempt(lambda: list_model(root / ENSEMBLE, left_out), None)  # the page lists both


def _make(root: Path, how: str, tracking: TrackingSpec, console: Console) -> None:
    """Makes the ensemble."""
    say = partial(print_line, console)
    gather_predictions(SweepPaths(root))
    with busy(console, "making the ensemble"):
        found = make_ensemble(root, how, None, root / ENSEMBLE, say, replace=True)
    show(console, found)
    for note in found.notes:
        print_words(console, f"note: {note}")
    _track(found.folder, tracking, console, say)


def _train(root: Path, seeds: int, tracking: TrackingSpec, console: Console) -> None:
    """Trains the best point again."""
    say = partial(print_line, console)
    with busy(console, "training on all rows"):
        found = refit(root, seeds, root / REFIT, say, replace_it=True)
        draw_plots(RunPaths(found.folder), found.spec, found.dataset, found.result)
    for line in lines(found):
        print_words(console, line)
    for note in found.notes:
        print_words(console, f"note: {note}")
    _track(found.folder, tracking, console, say)


def _track(folder: Path, tracking: TrackingSpec, console: Console, say: Callable[[str], None]) -> None:
    """Logs a folder as a run of its own, and registers its model where the sweep's best one is registered."""
    spec = tracking if tracking.register == "none" else replace(tracking, register="all")
    logs = tracker(spec, folder, say)
    logs.start()
    with busy(console, "MLflow"):
        logs.end("completed")
    if logs.model:
        print_line(console, f"model: {logs.model}")
