"""What a sweep shows at its end."""

from __future__ import annotations

import io
import itertools
import re

import pytest
from support.run_folders import stored

from phalanx.core.console import plain_console, print_words
from phalanx.core.quantities import counted, number
from phalanx.core.result import Objective
from phalanx.jobs.closing_tables import closing_tables, shortened
from phalanx.jobs.sweep_progress import SweepProgress
from phalanx.runs.sweep_folder import front_first, ranked

LR = "0.26182935378360395"


def grid(values, *, test=None):
    """Trials of `values[loss][seed]`; a value of None stands for a seed that diverged."""
    found = []
    for place, (loss, seeds) in enumerate(values.items()):
        for seed, value in enumerate(seeds):
            overrides = {"loss": loss, "seed": str(seed), "optimizer.lr": f"{LR}{place}"}
            status = "diverged" if value is None else "completed"
            found.append(stored(value, seed, status, len(found), overrides, test=test))
    return found


def tables(trials, direction="maximize"):
    return closing_tables(trials, front_first(ranked(trials, direction)), direction)


def test_means_over_seeds_come_before_single_seeds():
    means, best = tables(grid({"mse": [0.9, 0.5, 0.7], "nll": [0.8, 0.8, 0.86], "x": [0.99, 0.99, None]}, test=0.5))
    assert means.title == "best 3 of 3 settings, means over seeds"
    assert means.lines() == [
        f"mean  seeds 3  val_accuracy 0.82  test_accuracy 0.5  loss=nll optimizer.lr={LR}1",
        f"mean  seeds 3  val_accuracy 0.7  test_accuracy 0.5  loss=mse optimizer.lr={LR}0",
        f"mean  seeds 2 of 3  val_accuracy 0.99  test_accuracy 0.5  loss=x optimizer.lr={LR}2",
    ]
    assert best.title == "best 5 of 9 trials"
    values = "val_accuracy 0.99  test_accuracy 0.5  parameters 1,234"
    assert best.lines()[0] == f"best  trial 6  {values}  loss=x seed=0 optimizer.lr={LR}2"


def test_a_sweep_over_seeds_alone_or_without_seeds_has_no_means():
    assert [t.kind for t in tables(grid({"mse": [0.9, 0.5, 0.7]}))] == ["best"]
    assert [t.kind for t in tables(grid({"mse": [0.9], "nll": [0.8]}))] == ["best"]
    assert tables([]) == []


def test_a_cross_validation_of_one_setting_ends_with_its_mean():
    folds = [{"data.fold": str(fold), "seed": seed} for fold in range(3) for seed in "01"]
    values = [0.9, 0.8, 0.7, 0.8, 0.9, 0.7]
    means, _ = tables([stored(v, number=i, overrides=o) for i, (v, o) in enumerate(zip(values, folds, strict=True))])
    assert means.title == "mean over seeds and folds"
    assert means.lines() == ["mean  runs 6  val_accuracy 0.8"]


def test_outer_folds_are_no_settings():
    at = [{"data.outer_fold": str(fold), "data.fold": inner} for fold in range(3) for inner in "01"]
    means, _ = tables([stored(0.8, number=i, overrides=overrides) for i, overrides in enumerate(at)])
    assert means.title == "mean over outer folds and folds"
    (alone, _) = tables([stored(0.8, number=i, overrides=overrides) for i, overrides in enumerate(at[::2])])
    assert (alone.title, alone.lines()) == ("mean over outer folds", ["mean  outer folds 3  val_accuracy 0.8"])


@pytest.mark.parametrize(
    ("seeds", "splits", "count", "title"),
    [
        ("0123", "0", "seeds 4", "means over seeds"),
        ("0", "0123", "splits 4", "means over splits"),
        ("01", "01", "runs 4", "means over seeds and splits"),
        ("00", "0", "runs 2", "means over runs"),
    ],
)
def test_means_say_what_they_are_taken_over(seeds, splits, count, title):
    keys = ("loss", "seed", "data.split_seed")
    settings = [dict(zip(keys, point, strict=True)) for point in itertools.product(("mse", "nll"), seeds, splits)]
    means, _ = tables([stored(0.5, number=i, overrides=overrides) for i, overrides in enumerate(settings)])
    assert means.title.endswith(title)
    assert means.lines()[0].startswith(f"mean  {count}  ")


def test_a_front_is_shown_whole_and_with_every_objective():
    trials = []
    for place in range(8):
        objectives = [
            Objective("val_accuracy", 0.5 + place / 100, "maximize"),
            Objective("val_loss", place, "minimize"),
        ]
        trials.append(stored(objectives[0].value, number=place, objectives=[vars(o) for o in objectives]))
    dominated = [Objective("val_accuracy", 0.5, "maximize"), Objective("val_loss", 9.0, "minimize")]
    trials.append(stored(0.5, number=8, objectives=[vars(o) for o in dominated]))
    (front,) = tables(trials)
    assert (front.title, front.kind) == ("Pareto front: 8 of 9 trials", "front")
    assert front.lines()[0] == "front  trial 7  val_accuracy 0.57  val_loss 7  parameters 1,234"


@pytest.mark.parametrize("width", [80, 100, 160])
def test_a_terminal_of_any_width_shows_bar_times_and_whole_words(width):
    out = io.StringIO()
    progress = SweepProgress(plain_console(out, width, terminal=True), 12, "maximize")
    progress.start("outputs/sweeps/first")
    trials = grid({"cross_entropy": [0.91234567] * 6, "sampled_softmax": [0.9] * 6}, test=0.87654321)
    for trial in trials:
        progress.add(trial)
        progress.training("cohort of 12, epoch 1000")
    progress.bar.refresh()
    progress.stop()
    progress.summary(front_first(ranked(trials, "maximize")), "outputs/sweeps/first", "n_trials=12 reached")
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", out.getvalue().replace("\r", "\n")).splitlines()
    assert max(map(len, lines)) <= width
    assert any("12/12" in line and "left" in line for line in "".join(lines).split("trials "))
    words = {word for line in lines for word in line.split()}
    assert {"1000", "0.912346", "0.876543", "val_accuracy", "loss=sampled_softmax", "optimizer.lr=0.261829"} <= words
    assert {"reached)", "(n_trials=12"} <= words


def test_numbers_have_six_significant_digits_and_counts_all_of_theirs():
    assert [number(x) for x in (0.123456789, 1e-7, 8970.0, 12345678, 0.5, None)] == [
        "0.123457", "1e-07", "8,970", "12,345,678", "0.5", "-",
    ]  # fmt: skip
    assert [shortened(t) for t in (LR, "0.1", "1234567890", "[0.26182935378]", "nll")] == [
        "0.261829", "0.1", "1234567890", "[0.26182935378]", "nll",
    ]  # fmt: skip
    assert (counted(1, "epoch"), counted(2000, "epoch")) == ("1 epoch", "2,000 epochs")


def test_lines_end_between_words_on_a_terminal_alone():
    text = "done: " + "word " * 30 + "a/very/long/path/" * 6
    for terminal in (True, False):
        out = io.StringIO()
        print_words(plain_console(out, 40, terminal=terminal), text.strip())
        lines = out.getvalue().splitlines()
        assert " ".join(line.strip() for line in lines) == text.strip()
        assert (len(lines) > 1) == terminal


def test_what_goes_on_in_the_next_line_is_indented_more_than_its_first():
    out = io.StringIO()
    print_words(plain_console(out, 20, terminal=True), "done: one two three four\n  trial 6  accuracy 0.5")
    assert out.getvalue().splitlines() == ["done: one two three", "  four", "  trial 6  accuracy", "    0.5"]
