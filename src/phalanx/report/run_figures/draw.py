"""All figures of one run."""

import logging
import os
import shutil
from pathlib import Path

from phalanx.analysis.calibration import reliability
from phalanx.core.baselines import FITTED
from phalanx.core.files import delete_stale, temporary_of
from phalanx.core.result import TrialResult
from phalanx.data import Dataset
from phalanx.report.run_figures.confusion import confusion_info, draw_confusion
from phalanx.report.run_figures.curves import curves_info, draw_curves
from phalanx.report.run_figures.decision import decision_info, draw_decision
from phalanx.report.run_figures.first_layer import draw_first_layer, first_layer_info
from phalanx.report.run_figures.hidden import draw_hidden, hidden_info
from phalanx.report.run_figures.mistakes import draw_mistakes, mistakes_info
from phalanx.report.run_figures.predicted import predict_split
from phalanx.report.run_figures.reliability import draw_reliability
from phalanx.report.style import save_figure, shorten
from phalanx.runs.layout import RunPaths
from phalanx.training.spec import TrialSpec

log = logging.getLogger(__name__)


def draw_run(folder: Path, dataset: Dataset, spec: TrialSpec, result: TrialResult) -> list[Path]:
    """Writes the figures of one run as PNG files.

    A run without weights gets its curves only, one without a finished epoch none. The test split is read only if
    training has read it.

    Args:
        folder: Where the files are written.
        dataset: The run's data.
        spec: What was trained.
        result: Its result.

    Returns:
        The paths of the files.

    Raises:
        OSError: A file cannot be written.
    """
    paths = []
    if result.history and result.way != FITTED:  # a baseline has one epoch
        curves = curves_info(result.history, result.best_epoch)
        saved_as = "best" if spec.trainer.keep == "best" else "saved"
        figure = draw_curves(curves, _headline(dataset, spec, result), saved_as)
        paths.append(save_figure(figure, folder / "curves.png"))
    if result.weights is None:
        return paths
    predicted = predict_split(spec, dataset, result)
    figures = {"mistakes": draw_mistakes(mistakes_info(predicted))}
    if len(predicted.y_N):
        drawn = reliability(predicted.p_NC, predicted.y_N)
        figures["reliability"] = draw_reliability([(f"{predicted.split} split", drawn)])
    if dataset.n_classes <= 500:  # of more, a class is smaller than a pixel, and the counts fill the memory
        figures["confusion"] = draw_confusion(confusion_info(predicted))
    first_layer = None if result.way == FITTED else first_layer_info(result.weights, dataset)
    if first_layer is not None:
        figures["first_layer"] = draw_first_layer(first_layer)
    if dataset.n_features == 1:
        figures["decision"] = draw_decision(decision_info(predicted))
        hidden = hidden_info(spec.model, dataset, result.weights)
        if hidden is not None:
            figures["hidden"] = draw_hidden(hidden)
    return paths + [save_figure(figure, folder / f"{name}.png") for name, figure in figures.items()]


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
    """Draws all figures of one run into its folder; an error is logged and not raised.

    The folder `plots` appears when all are drawn, so that whoever finds it after a kill need not draw again.

    Args:
        paths: The run's folder.
        spec: What was trained.
        dataset: The run's data.
        result: Its result.
    """
    drawn = temporary_of(paths.plots)
    delete_stale(paths.root)
    try:
        try:
            draw_run(drawn, dataset, spec, result)
        except Exception:
            log.warning("the plots could not be drawn; everything else is in %s", paths.root, exc_info=True)
        if drawn.is_dir():
            shutil.rmtree(paths.plots, ignore_errors=True)
            os.replace(drawn, paths.plots)
    except OSError:
        log.warning("the plots could not be moved to %s", paths.plots, exc_info=True)
    finally:
        shutil.rmtree(drawn, ignore_errors=True)
