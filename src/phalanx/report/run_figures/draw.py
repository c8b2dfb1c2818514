"""All figures of one run."""

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from phalanx.analysis.reliability import reliability
from phalanx.core.baselines import FITTED
from phalanx.core.files import delete_stale, temporary_of
from phalanx.core.result import TrialResult
from phalanx.data import Dataset
from phalanx.report.drawing import Drawn, stop, write_figure
from phalanx.report.run_figures.confusion import confusion_info, draw_confusion
from phalanx.report.run_figures.curves import curves_info, draw_curves
from phalanx.report.run_figures.decision import decision_info, draw_decision
from phalanx.report.run_figures.first_layer import draw_first_layer, first_layer_info
from phalanx.report.run_figures.hidden import draw_hidden, hidden_info
from phalanx.report.run_figures.mistakes import draw_mistakes, mistakes_info
from phalanx.report.run_figures.predicted import predict_split
from phalanx.report.run_figures.reliability import draw_reliability
from phalanx.report.style import shorten
from phalanx.runs.layout import RunPaths
from phalanx.training.spec import TrialSpec

log = logging.getLogger(__name__)


def draw_run(folder: Path, dataset: Dataset, spec: TrialSpec, result: TrialResult) -> list[Path]:
    """Writes the figures of one run as PNG files; `begin_run` has the arguments. Returns the paths of the files."""
    begun = list(begin_run(folder, dataset, spec, result))
    return [figure.result() for figure in begun]


def begin_run(folder: Path, dataset: Dataset, spec: TrialSpec, result: TrialResult) -> Iterator[Drawn[Path]]:
    """Begins to write the figures of one run as PNG files, one after another.

    A run without weights gets its curves only, one without a finished epoch none. The test split is read only if
    training has read it.

    Args:
        folder: Where the files are written.
        dataset: The run's data.
        spec: What was trained.
        result: Its result.

    Yields:
        Each figure; its result is the path, and asking for it raises `OSError` if the file cannot be written.
    """
    for name, draw, *arguments in _figures(dataset, spec, result):
        yield Drawn(write_figure, (folder / f"{name}.png").absolute(), draw, *arguments)


def _figures(dataset: Dataset, spec: TrialSpec, result: TrialResult) -> Iterator[tuple[Any, ...]]:
    """The name of each figure, its draw function and the arguments of that."""
    if result.history and result.way != FITTED:  # a baseline has one epoch
        curves = curves_info(result.history, result.best_epoch)
        saved_as = "best" if spec.trainer.keep == "best" else "saved"
        yield "curves", draw_curves, curves, _headline(dataset, spec, result), saved_as
    if result.weights is None:
        return
    predicted = predict_split(spec, dataset, result)
    yield "mistakes", draw_mistakes, mistakes_info(predicted)
    if len(predicted.y_N):
        panel = f"{predicted.split} split", reliability(predicted.p_NC, predicted.y_N)
        yield "reliability", draw_reliability, [panel]
    if dataset.n_classes <= 500:  # of more, a class is smaller than a pixel, and the counts fill the memory
        yield "confusion", draw_confusion, confusion_info(predicted)
    first_layer = None if result.way == FITTED else first_layer_info(result.weights, dataset)
    if first_layer is not None:
        yield "first_layer", draw_first_layer, first_layer
    if dataset.n_features == 1:
        yield "decision", draw_decision, decision_info(predicted)
        hidden = hidden_info(spec.model, dataset, result.weights)
        if hidden is not None:
            yield "hidden", draw_hidden, hidden


def _headline(dataset: Dataset, spec: TrialSpec, result: TrialResult) -> str:
    """Two lines: what was trained, and with which result."""
    widths = (dataset.n_features, *spec.model.hidden_widths, dataset.n_classes)
    parts = [spec.data.label(), f"{spec.model.name} {'-'.join(map(str, widths))}", f"loss {spec.loss.name}"]
    parts += [f"{spec.optimizer.name}, lr {spec.optimizer.lr:g}", f"seed {result.seed}"]
    metrics = result.metrics
    scores = {"validation accuracy": metrics.val_accuracy, "test accuracy": metrics.test_accuracy}
    epochs = "1 epoch" if result.epochs == 1 else f"{result.epochs:,} epochs"
    outcome = [f"{result.status} after {epochs}"]
    outcome += [f"{name} {value:.4f}" for name, value in scores.items() if value is not None]
    return shorten(" · ".join(parts), 130) + "\n" + " · ".join(outcome)


def draw_plots(paths: RunPaths, spec: TrialSpec, dataset: Dataset, result: TrialResult) -> None:
    """Draws all figures of one run into its folder, as `drawing_plots` does, which has the arguments."""
    with drawing_plots(paths, spec, dataset, result):
        pass


@contextlib.contextmanager
def drawing_plots(paths: RunPaths, spec: TrialSpec, dataset: Dataset, result: TrialResult) -> Iterator[None]:
    """Draws all figures of one run into its folder while the block runs; an error is logged and not raised.

    The folder `plots` appears at the end of the block, when all are drawn, so that whoever finds it after a kill need
    not draw again.

    Args:
        paths: The run's folder.
        spec: What was trained.
        dataset: The run's data.
        result: Its result.
    """
    drawn = temporary_of(paths.plots)
    delete_stale(paths.root)
    begun, faults = [], []
    try:
        try:
            for figure in begin_run(drawn, dataset, spec, result):
                begun.append(figure)
        except Exception as error:
            faults.append(error)
        yield
        faults += _wait_for(begun)
        if faults:
            log.warning("the plots could not be drawn; everything else is in %s", paths.root, exc_info=faults[0])
        _move(drawn, paths.plots)
    except BaseException:
        stop()  # nobody may write into the folder that is removed
        raise
    finally:
        shutil.rmtree(drawn, ignore_errors=True)


def _wait_for(figures: Sequence[Drawn[Path]]) -> list[Exception]:
    """Waits for all figures. Returns the errors of those that cannot be drawn."""
    faults = []
    for figure in figures:
        try:
            figure.result()
        except Exception as error:
            faults.append(error)
    return faults


def _move(drawn: Path, plots: Path) -> None:
    try:
        if drawn.is_dir():
            shutil.rmtree(plots, ignore_errors=True)
            os.replace(drawn, plots)
    except OSError:
        log.warning("the plots could not be moved to %s", plots, exc_info=True)
