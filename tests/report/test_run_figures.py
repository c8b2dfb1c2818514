"""The figures of a run: their numbers on hand-made cases, and that each draws a picture with something on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.comparisons import A, B, compared
from support.processes import ended_process
from support.run_folders import config, result, write_grid, write_run

import phalanx
from phalanx.core.process_identity import ProcessIdentity
from phalanx.core.result import EpochMetrics, Metrics, TrialResult
from phalanx.data import DATASETS, Dataset, load_dataset
from phalanx.data.digits import Digits
from phalanx.data.thresholds import Thresholds
from phalanx.nn.models import MODELS
from phalanx.report.run_figures.comparison import comparison_info, draw_comparison
from phalanx.report.run_figures.confusion import confusion_info, draw_confusion
from phalanx.report.run_figures.curves import curves_info, draw_curves, running
from phalanx.report.run_figures.decision import decision_info, draw_decision
from phalanx.report.run_figures.draw import draw_plots, draw_run
from phalanx.report.run_figures.first_layer import MAX_UNITS, draw_first_layer, first_layer_info
from phalanx.report.run_figures.hidden import hidden_info
from phalanx.report.run_figures.layers import LayerHistogram, LayersInfo, draw_layers
from phalanx.report.run_figures.mistakes import draw_mistakes, mistakes_info
from phalanx.report.run_figures.predicted import Predicted, predict_split
from phalanx.report.run_figures.two_curves import draw_two_curves, two_curves_info
from phalanx.report.style import DPI, PAD, new_figure, save_figure, shorten
from phalanx.runs.layout import RunPaths
from phalanx.training.loop import train_trial
from phalanx.training.spec import TrainerSpec, TrialSpec

NAN, INF = float("nan"), float("inf")


def row(epoch: int, train_loss: float = 1.0, val_loss: float = 1.0, accuracy: float = 0.5) -> EpochMetrics:
    return EpochMetrics(epoch, train_loss, accuracy, 0.25, val_loss, accuracy / 2, 0.125, 0.1, 1.0)


def predicted(y: list[int], p: list[list[float]], classes: tuple[str, ...], shape: Any = None) -> Predicted:
    p_NC, n_features = np.array(p, dtype=np.float32), 6
    x_ND = np.arange(len(y) * n_features, dtype=np.float32).reshape(len(y), n_features)
    return Predicted("test", classes, np.array(y), p_NC.argmax(1), p_NC, x_ND, shape)


def many(n_classes: int, names: tuple[str, ...] | None = None, shape: Any = None) -> Predicted:
    """300 random predictions."""
    draw = np.random.default_rng(0)
    p = draw.dirichlet(np.ones(n_classes), 300).tolist()
    names = names or tuple(f"class {i}" for i in range(n_classes))
    return predicted(draw.integers(0, n_classes, 300).tolist(), p, names, shape)


def pixels(path: Path) -> np.ndarray:
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("L"), dtype=float)


def assert_drawn(path: Path, least: float = 0.005) -> None:
    """The PNG opens, and more than `least` of its pixels are not its background."""
    image = pixels(path)
    assert min(image.shape) > 100
    assert np.mean(image < 250) > least


@pytest.mark.parametrize("x", [0.5, 0.999, -0.2])
def test_a_figure_is_cut_to_what_is_drawn_and_loses_nothing_over_its_edge(x: float, tmp_path: Path) -> None:
    def drawn() -> Any:
        figure = new_figure(4, 3)
        figure.text(x, 0.5, "some words")
        figure.text(0.1, 0.1, "more")
        return figure

    save_figure(drawn(), tmp_path / "ours.png")
    drawn().savefig(tmp_path / "theirs.png", dpi=DPI, bbox_inches="tight", pad_inches=PAD)
    ours, theirs = pixels(tmp_path / "ours.png"), pixels(tmp_path / "theirs.png")
    assert np.abs(np.subtract(ours.shape, theirs.shape)).max() <= 8  # theirs counts room for letters that are not there
    assert (ours < 128).sum() == pytest.approx((theirs < 128).sum(), rel=0.1)
    assert (ours[[0, -1]] == 255).all()


# --- curves


def test_curves_hold_the_history() -> None:
    info = curves_info([row(1, 2.0, 3.0, 0.25), row(2, 1.0, 2.0, 0.75)], saved_epoch=2)
    loss, accuracy, likelihood = info.panels
    assert [panel.measure for panel in info.panels] == ["loss", "accuracy", "likelihood"]
    assert info.epochs_E.tolist() == [1, 2]
    assert (loss.train_E.tolist(), loss.val_E.tolist()) == ([2.0, 1.0], [3.0, 2.0])
    assert (accuracy.train_E.tolist(), accuracy.val_E.tolist()) == ([0.25, 0.75], [0.125, 0.375])
    assert (likelihood.train_E.tolist(), likelihood.val_E.tolist()) == ([0.25, 0.25], [0.125, 0.125])
    assert (info.saved_epoch, info.diverged_epoch) == (2, None)


def test_curves_of_a_diverged_run_say_when() -> None:
    info = curves_info([row(1), row(2, INF, 1.0), row(3, 1.0, NAN)], saved_epoch=1)
    assert info.diverged_epoch == 2
    np.testing.assert_array_equal(info.panels[0].train_E, [1.0, NAN, 1.0])
    np.testing.assert_array_equal(info.panels[0].val_E, [1.0, 1.0, NAN])


@pytest.mark.parametrize(
    ("losses", "log"),
    [([2.3, 0.1], False), ([2.3, 0.01], True), ([2e5, 1e5], True), ([0.0, -1e-7], False), ([NAN, NAN], False)],
)
def test_loss_axis_is_logarithmic_over_decades(losses: list[float], log: bool) -> None:
    history = [row(i + 1, loss, max(loss, 0.1) if loss < 1e3 else loss) for i, loss in enumerate(losses)]
    history = [replace(r, val_loss=r.train_loss) for r in history]
    info = curves_info(history)
    assert [panel.log for panel in info.panels] == [log, False, False]
    expected = "log" if log else "linear"
    assert [axes.get_yscale() for axes in draw_curves(info).axes] == [expected, "linear", "linear"]


def test_further_metrics_of_the_epochs_have_panels_of_their_own():
    further = {f"{split}_{name}": value for split in ("train", "val")
               for name, value in (("matthews", -0.5), ("brier", 1.5), ("of_mine", 7.0))}  # fmt: skip
    info = curves_info([replace(row(epoch), further=further) for epoch in (1, 2)])
    assert [panel.measure for panel in info.panels] == [
        "loss",
        "accuracy",
        "likelihood",
        "matthews",
        "brier",
        "of_mine",
    ]
    axes = draw_curves(info).axes
    assert [one.get_title() for one in axes[3:]] == ["Matthews correlation", "Brier score", "of_mine"]
    assert axes[3].get_ylim()[0] < -0.5 < axes[3].get_ylim()[1] < 1.02
    assert axes[4].get_ylim()[0] < 1.5 < axes[4].get_ylim()[1] < 2.02


def test_curves_legend_tells_the_lines_apart() -> None:
    figure = draw_curves(curves_info([row(1), row(2), row(3, NAN)], saved_epoch=2), saved_as="best")
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [text.split(" (")[0] for text in texts] == ["training", "validation", "best epoch 2", "diverged in epoch 3"]
    for axes in figure.axes:
        train, val, best, diverged = axes.get_lines()
        assert train.get_color() != val.get_color()
        assert train.get_linestyle() != val.get_linestyle()
        assert (set(best.get_xdata()), set(diverged.get_xdata())) == ({2}, {3})


def test_curves_say_why_a_line_of_training_is_missing() -> None:
    unknown = [replace(row(i), train_accuracy=NAN, train_likelihood=NAN) for i in (1, 2)]
    for history, wanted in ((unknown, [0, 1, 1]), ([row(1), row(2)], [0, 0, 0]), ([row(1, NAN, 1.0)], [0, 0, 0])):
        said = [[text.get_text() for text in axes.texts] for axes in draw_curves(curves_info(history)).axes]
        assert [sum("training: not known" in text for text in texts) for texts in said] == wanted


@pytest.mark.parametrize(
    "history",
    [
        [row(1)],
        [row(1, NAN, NAN, NAN)],
        [row(1, 2.3, 2.2), row(2, 3e38, 1e20), row(3, NAN, INF)],
        [row(i + 1, 2.0 * 0.997**i, 1.0) for i in range(10_000)],
    ],
    ids=["one epoch", "nothing finite", "diverged", "10,000 epochs"],
)
def test_curves_are_drawn(history: list[EpochMetrics], tmp_path: Path) -> None:
    assert_drawn(save_figure(draw_curves(curves_info(history, 1), "title"), tmp_path / "curves.png"))


# --- confusion


def test_confusion_counts_by_hand() -> None:
    p = [[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.1, 0.9, 0.0], [0.6, 0.4, 0.0]]
    info = confusion_info(predicted([0, 0, 1, 1], p, ("a", "b", "c")))
    assert info.counts_CC.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    np.testing.assert_array_equal(info.share_CC, [[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [NAN, NAN, NAN]])
    assert (info.n_samples, info.accuracy, info.split) == (4, 0.5, "test")


def test_confusion_rows_are_true_classes() -> None:
    info = confusion_info(predicted([0, 0, 0], [[0, 1], [0, 1], [1, 0]], ("a", "b")))
    assert info.counts_CC.tolist() == [[1, 2], [0, 0]]
    axes = draw_confusion(info).axes[0]
    assert {(t.get_position(), t.get_text()) for t in axes.texts} == {((0, 0), "1"), ((1, 0), "2")}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    assert axes.get_title() == "test split: 3 samples, accuracy 0.3333"


@pytest.mark.parametrize(("n_classes", "numbers"), [(2, True), (10, True), (30, False), (90, False)])
def test_confusion_is_drawn_for_few_and_many_classes(n_classes: int, numbers: bool, tmp_path: Path) -> None:
    figure = draw_confusion(confusion_info(many(n_classes)))
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert bool(figure.axes[0].texts) is numbers
    assert len(labels) <= 45
    assert labels[0] == "class 0"
    assert_drawn(save_figure(figure, tmp_path / "confusion.png"))


def test_class_names_are_shown_as_they_are(tmp_path: Path) -> None:
    names = ("costs $5 or $6", "a_b^c\nsecond line", "x" * 100)
    figure = draw_confusion(confusion_info(many(3, names)))
    shown = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert shown[:2] == ["costs $5 or $6", "a_b^c second line"]
    assert not any(label.get_parse_math() for label in figure.axes[0].get_xticklabels())
    assert_drawn(save_figure(figure, tmp_path / "confusion.png"))
    assert_drawn(save_figure(draw_mistakes(mistakes_info(many(3, names, (2, 3)))), tmp_path / "mistakes.png"))


@given(st.text(max_size=60), st.integers(5, 30))
def test_short_names_are_short_and_on_one_line(name: str, limit: int) -> None:
    short = shorten(name, limit)
    assert len(short) <= limit
    assert short.isprintable()
    assert shorten(short, limit) == short


def test_a_shortened_name_keeps_its_end() -> None:
    assert shorten("tab\tand bell\x07", 13) == "tab and bell"
    assert shorten("a rather long name 17", 13) == "a rath…ame 17"


# --- mistakes


def test_mistakes_are_the_most_certain_first() -> None:
    p = [[0.6, 0.4], [0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.9, 0.1]]
    info = mistakes_info(predicted([1, 0, 1, 0, 1], p, ("a", "b")), max_shown=3)
    assert [mistake.row for mistake in info.shown] == [4, 2, 3]
    assert [(m.true, m.predicted) for m in info.shown] == [("b", "a"), ("b", "a"), ("a", "b")]
    assert [round(m.p_predicted, 6) for m in info.shown] == [0.9, 0.8, 0.7]
    assert [round(m.p_true, 6) for m in info.shown] == [0.1, 0.2, 0.3]
    assert info.x_KD[:, 0].tolist() == [24.0, 12.0, 18.0]
    assert (info.n_mistakes, info.n_samples) == (4, 5)


def test_mistakes_of_images_are_images(tmp_path: Path) -> None:
    info = mistakes_info(predicted([0, 1, 1], [[0, 1], [0.97, 0.03], [0, 1]], ("3", "5"), (2, 3)))
    figure = draw_mistakes(info)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["3 → 5 (1.00)\nrow 1", "5 → 3 (0.97)\nrow 2"]
    first, second = axes.get_images()
    assert first.get_array().tolist() == [[0, 1, 2], [3, 4, 5]]
    for image, text in zip((first, second), axes.texts, strict=True):
        left, right, bottom, top = image.get_extent()
        assert (right - left) / (top - bottom) == pytest.approx(
            3 / 2
        )  # square pixels, as axes and figure are in inches
        assert ((left + right) / 2, top) < text.get_position()
    assert first.get_extent()[1] < second.get_extent()[0]
    assert_drawn(save_figure(figure, tmp_path / "mistakes.png"))


def test_mistakes_of_other_data_are_bars(tmp_path: Path) -> None:
    figure = draw_mistakes(mistakes_info(many(3)))
    axes = figure.axes[0]
    widths = [bar.get_width() for bar in axes.patches]
    assert len(widths) == 16
    assert widths == sorted(widths, reverse=True)
    assert axes.get_yticklabels()[0].get_text().startswith("row ")
    assert_drawn(save_figure(figure, tmp_path / "mistakes.png"))


def test_no_mistake_is_said(tmp_path: Path) -> None:
    figure = draw_mistakes(mistakes_info(predicted([0, 1], [[1, 0], [0, 1]], ("a", "b"))))
    assert [text.get_text() for text in figure.axes[0].texts] == [
        "none of the 2 samples of the test split is misclassified"
    ]
    assert_drawn(save_figure(figure, tmp_path / "mistakes.png"))


# --- first layer


def described(n_features: int, names: tuple[str, ...] | None = None, shape: Any = None) -> Any:
    """As much of a `Dataset` as the first layer needs."""
    return SimpleNamespace(n_features=n_features, feature_names=names or (), image_shape=shape)


def test_first_layer_takes_the_largest_units_in_order() -> None:
    weight_HD = torch.zeros(100, 3)
    weight_HD[torch.arange(100), 0] = torch.arange(100).float()
    weight_HD[5, 1] = -500.0
    info = first_layer_info({"layers.0.bias": torch.ones(100), "layers.0.weight": weight_HD}, described(3))
    assert info is not None
    assert info.units_U.tolist() == [5, *range(100 - MAX_UNITS + 1, 100)]
    assert info.weights_UD[0].tolist() == [5.0, -500.0, 0.0]
    assert (info.n_units, info.feature_names) == (100, None)
    assert 99 <= info.limit < 500  # one outlier does not make the rest pale


def test_first_layer_names_at_most_sixty_features() -> None:
    for n_features, n_named in ((60, 60), (61, 31)):
        names = tuple(f"f{i}" for i in range(n_features))
        info = first_layer_info({"w": torch.ones(2, n_features)}, described(n_features, names))
        assert info is not None
        shown = [label.get_text() for label in draw_first_layer(info).axes[0].get_xticklabels()]
        assert shown == list(names)[:: 1 if n_named == 60 else 2]


@pytest.mark.parametrize(("name", "first"), [("wine", "alcohol"), ("thresholds", "x"), ("three_integers", "a")])
def test_the_first_layer_of_an_embedded_table_has_its_feature_names(name: str, first: str) -> None:
    data = load_dataset(DATASETS[name]())
    info = first_layer_info({"w": torch.ones(2, data.n_features)}, data)
    assert info is not None
    assert info.feature_names is not None
    assert info.feature_names[0] == first


def test_a_mistake_has_the_number_of_its_row_in_the_source_file(tmp_path: Path) -> None:
    rows = [f"{i},{'ab'[i % 2]}" for i in range(40)]
    rows[3] = ",a"  # is dropped, and the rows after it keep their numbers
    (tmp_path / "t.csv").write_text("\n".join(["x,c", *rows]) + "\n")
    data = load_dataset(DATASETS["csv"](path=str(tmp_path / "t.csv"), target="c", missing="drop_rows"))
    column = data.features.columns[0]  # type: ignore[attr-defined]
    for part, split in (("val", data.val), ("test", data.test)):
        values = split.x_ND[:, 0].numpy() * column.std + column.mean
        np.testing.assert_allclose(data.row_numbers[part], values, atol=1e-4)
    wrong = 1 - data.test.y_N.numpy()
    info = mistakes_info(
        Predicted("test", ("a", "b"), 1 - wrong, wrong, np.eye(2)[wrong], data.test.x_ND.numpy(),
                  rows_N=data.row_numbers["test"])
    )  # fmt: skip
    assert info.rows_of == "the source"
    assert [m.row for m in info.shown] == data.row_numbers["test"].tolist()
    shown = draw_mistakes(info).axes[0].get_yticklabels()[0].get_text()
    assert shown.startswith(f"row {data.row_numbers['test'][0] + 1}: ")


@pytest.mark.parametrize("window", [2, 3, 4, 9])
def test_running_values_are_those_of_a_loop(window: int) -> None:
    values = np.array([0.3, np.nan, -2.0, 1e18, 0.25, np.inf, np.nan, np.nan, -np.inf, 5.0])
    for place, found in enumerate(zip(*running(values, window), strict=True)):
        around = values[max(place - window // 2, 0) : place + (window - 1) // 2 + 1]
        there = around[np.isfinite(around)]
        wanted = [f(there) if len(there) else np.nan for f in (np.mean, np.min, np.max)]
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_thousands_of_epochs_are_running_means_with_a_band() -> None:
    values = np.where(np.arange(3000) % 2, 0.9, 0.7)
    info = curves_info([row(e + 1, accuracy=v) for e, v in enumerate(values.tolist())], 2886)
    assert info.window == 30
    mean, low, high = running(values, 30)
    assert (mean[100], low[100], high[100]) == (pytest.approx(0.8), 0.7, 0.9)
    assert len(mean) == 3000
    axes = draw_curves(info).axes[1]
    assert len(axes.collections) == 2  # bands
    dots = [line.get_xydata().tolist() for line in axes.get_lines() if line.get_marker() == "o"]
    assert dots == [[[2886, 0.9]], [[2886, 0.45]]]  # the best epoch has its own values
    assert np.isnan(running(np.full(5, np.nan), 3)[0]).all()
    assert curves_info([row(e + 1) for e in range(300)]).window == 1


def test_first_layer_survives_zero_and_broken_weights(tmp_path: Path) -> None:
    for value in (0.0, NAN):
        info = first_layer_info({"w": torch.full((2, 4), value)}, described(4, shape=(2, 2)))
        assert info is not None
        assert info.limit == 1.0
        save_figure(draw_first_layer(info), tmp_path / "first_layer.png")
    assert first_layer_info({"w": torch.ones(2, 3)}, described(4)) is None


def test_first_layer_images_share_one_symmetric_scale() -> None:
    weight_HD = torch.tensor([[1.0, -2.0, 0.5, 0.0], [0.0, 0.0, 0.0, 4.0], [1.0, 1.0, 1.0, 1.0]])
    figure = draw_first_layer(first_layer_info({"w": weight_HD}, described(4, shape=(2, 2))))
    (image,) = figure.axes[0].get_images()
    low, high = image.get_clim()
    assert low == -high
    shown = image.get_array()
    values = np.ma.masked_invalid(shown).compressed().reshape(2, 6)  # two rows of pixels of three units
    np.testing.assert_array_equal(values, [[1.0, -2.0, 0.0, 0.0, 1.0, 1.0], [0.5, 0.0, 0.0, 4.0, 1.0, 1.0]])


@pytest.mark.parametrize(
    ("n_units", "n_features", "names", "shape"),
    [(1, 1, None, None), (64, 60, "text", None), (200, 300, None, None), (2, 12, None, (3, 4)), (70, 64, None, (8, 8))],
)
def test_first_layer_is_drawn(n_units: int, n_features: int, names: Any, shape: Any, tmp_path: Path) -> None:
    names = tuple(f"{names} {i}" for i in range(n_features)) if names else None
    torch.manual_seed(0)
    info = first_layer_info({"w": torch.randn(n_units, n_features)}, described(n_features, names, shape))
    assert info is not None
    assert_drawn(save_figure(draw_first_layer(info), tmp_path / "first_layer.png"), 0.05)


def test_figure_that_fails_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(image: Any, path: Path, **options: Any) -> None:
        path.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr("PIL.Image.Image.save", fail)
    (tmp_path / "curves.png").write_text("old")
    figure = new_figure(2, 2)
    figure.text(0.5, 0.5, "text")
    with pytest.raises(OSError, match="disk full"):
        save_figure(figure, tmp_path / "curves.png")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


# --- comparison and layers


def test_a_metric_of_one_of_two_runs_has_its_curve_alone() -> None:
    further = replace(row(1), further={"train_f1_macro": 0.5, "val_f1_macro": 0.25})
    figure = draw_two_curves(two_curves_info(([further, further], [row(1)]), ("a", "b")))
    assert [axes.get_title() for axes in figure.axes] == ["loss", "accuracy", "likelihood", "f1_macro"]
    assert [len(axes.get_lines()) for axes in figure.axes] == [4, 4, 4, 2]


def test_the_histograms_show_every_value() -> None:
    shown = LayerHistogram("w", np.arange(10.0)), LayerHistogram("b", np.zeros(1)), LayerHistogram("v", np.array([]))
    figure = draw_layers(LayersInfo("t", shown))
    assert [sum(patch.get_height() for patch in axes.patches) for axes in figure.axes[:3]] == [10, 1, 0]
    assert figure.axes[0].get_title() == "w: 10 values"


def test_the_comparison_shows_every_seed_mean_and_interval(tmp_path: Path) -> None:
    (part,) = compared(write_grid(tmp_path / "g", {"mse": B, "nll": A, "huber": {0: 0.7}}), "loss").parts
    values = [list(group.seeds.values()) for group in part.groups]
    info = comparison_info(part, "test_accuracy, %", "digits by loss")
    assert info.labels == ("nll", "mse", "huber")
    assert info.summaries[2].low is None
    axes = draw_comparison([info]).axes[0]
    assert axes.get_title() == "digits by loss"
    dots = [line for line in axes.get_lines() if line.get_marker() == "o"]
    assert [sorted(line.get_xdata()) for line in dots] == [sorted(v) for v in values]
    means = [line.get_xdata()[0] for line in axes.get_lines() if line.get_marker() == "D"]
    assert means == pytest.approx([np.mean(v) for v in values])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["nll", "mse", "huber"]


def test_the_comparison_says_what_diverged_and_what_a_dot_is(tmp_path: Path) -> None:
    folder = write_grid(tmp_path / "g", {"mse": B, "nll": A})
    write_run(folder / "100", result(seed=9, status="diverged"), config(9, loss="nll"))
    (part,) = compared(folder, "loss").parts
    info = comparison_info(part, "test_accuracy, %", "digits by loss")
    assert info.labels == ("mse", "nll (1 diverged)")
    (legend,) = draw_comparison([info]).legends
    assert legend.get_texts()[0].get_text() == "one seed"
    (legend,) = draw_comparison([replace(info, repeat="split")]).legends
    assert legend.get_texts()[0].get_text() == "one split"


# --- a network of one input


@pytest.fixture(scope="module")
def one_input() -> tuple[Dataset, TrialSpec, TrialResult]:
    model = MODELS["mlp"](hidden=(4, 3), activation="tanh", dropout=0.5)
    spec = TrialSpec(data=Thresholds(), model=model, trainer=TrainerSpec(epochs=2))
    dataset = load_dataset(spec.data)
    return dataset, spec, train_trial(spec, dataset)


def test_decision_shows_the_split_in_the_order_of_x() -> None:
    given = predicted([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], ("a", "b"))
    given = replace(given, x_ND=np.array([[5.0], [1.0], [3.0]], dtype=np.float32))
    info = decision_info(given)
    assert info.x_X.tolist() == [1, 3, 5]
    assert info.y_X.tolist() == [1, 1, 0]
    assert info.predicted_X.tolist() == [1, 0, 0]
    assert info.p_XC[:, 0] == pytest.approx([0.2, 0.6, 0.9])
    assert "3 points, 1 of them misclassified" in draw_decision(info).get_suptitle()


def test_hidden_outputs_are_those_of_the_saved_network(one_input: Any) -> None:
    dataset, spec, result = one_input
    info = hidden_info(spec.model, dataset, result.weights)
    x = torch.from_numpy(info.x_X)[:, None]
    assert (x.min(), x.max()) == (dataset.train.x_ND.min(), dataset.train.x_ND.max())
    assert [layer.shape[1] for layer in info.layers] == [4, 3]
    for i, layer in enumerate(info.layers):
        x = torch.tanh(torch.nn.functional.linear(x, *(result.weights[f"layers.{i}.{k}"] for k in ("weight", "bias"))))
        assert layer == pytest.approx(x.numpy(), abs=1e-6)


def test_a_network_of_one_input_is_also_drawn_over_it(one_input: Any, tmp_path: Path) -> None:
    paths = draw_run(tmp_path, *one_input)
    assert sorted(path.name for path in paths) == sorted([*ALL, "decision.png", "hidden.png"])
    for path in paths:
        assert_drawn(path)


# --- a whole run


@pytest.fixture(scope="module")
def run() -> tuple[Dataset, TrialSpec, TrialResult]:
    spec = TrialSpec(data=Digits(n_train=200), model=MODELS["mlp"](hidden=(9,)), trainer=TrainerSpec(epochs=3))
    dataset = load_dataset(spec.data)
    return dataset, spec, train_trial(spec, dataset)


ALL = ["confusion.png", "curves.png", "first_layer.png", "mistakes.png", "reliability.png"]


def test_run_leaves_all_figures(run: Any, tmp_path: Path) -> None:
    paths = draw_run(tmp_path / "plots", *run)
    assert sorted(path.name for path in paths) == ALL
    assert sorted(os.listdir(tmp_path / "plots")) == ALL  # and no temporary file
    for path in paths:
        assert_drawn(path)


def test_a_confusion_matrix_of_too_many_classes_is_left_out(run: Any, tmp_path: Path) -> None:
    dataset, spec, _ = run
    crowded = replace(dataset, classes=tuple(map(str, range(501))))
    result = train_trial(replace(spec, trainer=TrainerSpec(epochs=1)), crowded)
    names = [path.name for path in draw_run(tmp_path, crowded, spec, result)]
    assert sorted(names) == ["curves.png", "first_layer.png", "mistakes.png", "reliability.png"]


def test_predictions_agree_with_the_metrics(run: Any) -> None:
    dataset, spec, result = run
    found = predict_split(spec, dataset, result)
    assert found.split == "test"
    assert confusion_info(found).accuracy == pytest.approx(result.metrics.test_accuracy, abs=1e-12)
    p_true = found.p_NC[np.arange(len(found.y_N)), found.y_N]
    assert np.exp(np.log(p_true).mean()) == pytest.approx(result.metrics.test_likelihood, rel=1e-4)


def test_test_split_stays_unread_where_training_left_it(run: Any, tmp_path: Path) -> None:
    dataset, spec, result = run
    metrics = replace(result.metrics, test_loss=None, test_accuracy=None, test_likelihood=None)
    searched = replace(result, metrics=metrics)
    unread = replace(dataset, test=None)
    assert predict_split(spec, unread, searched).split == "validation"
    assert len(draw_run(tmp_path, unread, spec, searched)) == 5


def test_run_without_weights_leaves_its_curves_only(run: Any, tmp_path: Path) -> None:
    dataset, spec, result = run
    diverged = replace(result, history=(row(1, NAN, NAN),), metrics=Metrics(), best_epoch=None, weights=None)
    assert [path.name for path in draw_run(tmp_path, dataset, spec, diverged)] == ["curves.png"]
    assert draw_run(tmp_path / "none", dataset, spec, replace(diverged, history=())) == []


def test_threads_draw_the_same_pictures(run: Any, tmp_path: Path) -> None:
    draw_run(tmp_path / "alone", *run)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda i: draw_run(tmp_path / str(i), *run), range(2)))
    for name in ALL:
        alone = pixels(tmp_path / "alone" / name)
        for i in range(2):
            np.testing.assert_array_equal(pixels(tmp_path / str(i) / name), alone, err_msg=name)


def test_matplotlib_is_imported_only_to_draw_and_pyplot_never() -> None:
    code = (
        "import sys, phalanx.report.run_figures.draw as plots\n"
        "assert 'matplotlib' not in sys.modules\n"
        "from phalanx.report.style import new_figure\n"
        "new_figure(2, 2).subplots()\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
    )
    source = str(Path(phalanx.__file__).parents[1])
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": source})


def test_plots_that_were_cut_off_by_a_kill_are_drawn_again_and_leave_nothing(tmp_path, monkeypatch):
    """A killed process leaves what it had drawn under a temporary name; the folder `plots` is whole or not there."""
    paths = RunPaths(tmp_path)
    left = tmp_path / f".plots.{ProcessIdentity(**json.loads(ended_process())).label}-01234567"
    left.mkdir()
    (left / "curves.png").write_bytes(b"half")
    seen = []

    def draw(folder, *args):
        seen.append(paths.plots.exists())
        folder.mkdir()
        (folder / "curves.png").write_bytes(b"whole")
        return []

    monkeypatch.setattr("phalanx.report.run_figures.draw.begin_run", draw)
    draw_plots(paths, None, None, None)
    assert seen == [False]
    assert [path.name for path in tmp_path.iterdir()] == ["plots"]
    assert (paths.plots / "curves.png").read_bytes() == b"whole"
