"""`mistakes.png`: the misclassified samples with the highest confidence. Axes: K samples shown, D features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from phalanx.report.style import (
    BLACK,
    LABEL,
    TICK,
    VALIDATION,
    label_axes,
    name_ticks,
    new_figure,
    set_margins,
    shorten,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from phalanx.report.run_figures.predicted import Predicted

MAX_SHOWN = 16


@dataclass(frozen=True)
class Mistake:
    """One misclassified sample."""

    row: int  # in the source, or where that is not known in its split; from 0
    true: str
    predicted: str
    p_predicted: float
    p_true: float


@dataclass(frozen=True)
class MistakesInfo:
    """The mistakes of one split, those with the highest confidence first."""

    split: str
    n_samples: int
    n_mistakes: int
    shown: tuple[Mistake, ...]
    x_KD: np.ndarray  # features of the mistakes shown
    image_shape: tuple[int, int] | None
    rows_of: str  # what the rows are counted in


def mistakes_info(predicted: Predicted, max_shown: int = MAX_SHOWN) -> MistakesInfo:
    """At most `max_shown` mistakes of a split; of equal confidence, the earlier row comes first."""
    rows = np.flatnonzero(predicted.predicted_N != predicted.y_N)
    certainty = predicted.p_NC[rows, predicted.predicted_N[rows]]
    order = rows[np.argsort(-certainty, kind="stable")][:max_shown]
    shown = []
    for row in order:
        true, taken, p_C = predicted.y_N[row], predicted.predicted_N[row], predicted.p_NC[row]
        names = predicted.classes[true], predicted.classes[taken]
        number = row if predicted.rows_N is None else predicted.rows_N[row]
        shown.append(Mistake(int(number), *names, p_predicted=float(p_C[taken]), p_true=float(p_C[true])))
    n_samples = len(predicted.y_N)
    x_KD = predicted.x_ND[order]
    rows_of = (
        "this split" if predicted.rows_N is None else "the source" + ("'s test split" if predicted.official else "")
    )
    return MistakesInfo(predicted.split, n_samples, len(rows), tuple(shown), x_KD, predicted.image_shape, rows_of)


def draw_mistakes(info: MistakesInfo) -> Figure:
    """Images titled `true → predicted (p)`; bars for other data; a sentence where there is no mistake."""
    if not info.shown:
        return _draw_none(info)
    return _draw_images(info) if info.image_shape else _draw_bars(info)


def _draw_none(info: MistakesInfo) -> Figure:
    figure = new_figure(7, 1.8)
    axes = figure.subplots()
    axes.set(xticks=[], yticks=[])
    text = f"none of the {info.n_samples:,} samples of the {info.split} split is misclassified"
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=LABEL)
    return figure


def _title(info: MistakesInfo) -> str:
    shown, total = len(info.shown), info.n_mistakes
    which = f"the {shown} most certain of {total:,} mistakes" if shown < total else f"all {total} mistakes"
    which = "the only mistake" if total == 1 else which
    return f"{info.split} split: {which} in {info.n_samples:,} samples"


def _draw_images(info: MistakesInfo) -> Figure:
    """All images in one pair of axes, in inches: axes for each image take three times as long to draw."""
    captions = [_caption(mistake) for mistake in info.shown]
    n_rows, n_columns, column = -(-len(captions) // 4), 4, 2.0
    height, width = info.image_shape or (1, 1)
    text = 0.2 * max(caption.count("\n") + 1 for caption in captions)  # inches above an image
    side = 1.7 * min(max(height / width, 0.4), 2.5)  # inches that an image may be high
    total = n_rows * (side + text) + 0.8
    title = _title(info) + f"\ntrue → predicted (p of the predicted class), row of {info.rows_of} from 1"
    figure = new_figure(n_columns * column, total, title, layout="none")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, n_columns * column), ylim=(0, total))
    axes.set_axis_off()
    inches = min((side - 0.1) / height, (column - 0.2) / width)  # of a pixel
    for place, (caption, x_D) in enumerate(zip(captions, info.x_KD, strict=True)):
        row, middle = place // n_columns, (place % n_columns + 0.5) * column
        top = total - 0.7 - text - row * (side + text)
        extent = (middle - width * inches / 2, middle + width * inches / 2, top - height * inches, top)
        axes.imshow(x_D.reshape(height, width), cmap="gray", extent=extent, aspect="auto")
        axes.text(middle, top + 0.08, caption, ha="center", fontsize=LABEL, parse_math=False)
    axes.set(xlim=(0, n_columns * column), ylim=(0, total))  # an image changes the limits
    return figure


def _caption(mistake: Mistake) -> str:
    true, taken = shorten(mistake.true, 18), shorten(mistake.predicted, 18)
    separator = " → " if len(true) + len(taken) <= 9 else " →\n"
    return f"{true}{separator}{taken} ({mistake.p_predicted:.2f})\nrow {mistake.row + 1:,}"


def _draw_bars(info: MistakesInfo) -> Figure:
    n_shown = len(info.shown)
    names = [f"row {m.row + 1:,}: {shorten(m.true, 20)} → {shorten(m.predicted, 20)}" for m in info.shown]
    left = 0.2 + 0.085 * max(map(len, names))
    title = _title(info) + f"\ntrue → predicted; rows of {info.rows_of}, from 1"
    figure = new_figure(5.5 + left, 0.34 * n_shown + 2.0, title, layout="none")
    axes = figure.subplots()
    set_margins(figure, left, 0.2, 0.95, 0.75)
    places = np.arange(n_shown)
    bars = axes.barh(places, [m.p_predicted for m in info.shown], 0.7, color=VALIDATION)
    points = axes.scatter([m.p_true for m in info.shown], places, 42, color=BLACK, marker="D", zorder=3, clip_on=False)
    name_ticks(axes.yaxis, names, limit=60)
    axes.set_ylim(n_shown - 0.4, -0.6)
    axes.set_xlim(0, 1.02)
    label_axes(axes, x="probability", grid="x")
    axes.set_axisbelow(True)
    entries = ["p(predicted class)", "p(true class)"]
    figure.legend([bars.patches[0], points], entries, loc="lower center", ncols=2, fontsize=TICK, frameon=False)
    return figure
