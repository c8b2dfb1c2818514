"""The report of a sweep or a run: the numbers of each figure, the page, and that no name breaks out of it."""

from __future__ import annotations

import html.parser
import json
import math
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from scipy import stats
from support.run_folders import config, result, stored, write_grid, write_run

from phalanx.analysis.final import Finalist
from phalanx.analysis.wording import Lost
from phalanx.cli.main import main
from phalanx.core.reading import read_json
from phalanx.core.result import Status
from phalanx.report.build import write_report, write_sweep_report
from phalanx.report.differences import differences
from phalanx.report.pages.sweep import MAX_DRAWN, SweepContent, sampled, sweep_html
from phalanx.report.style import BLUE, RAMP
from phalanx.report.sweep_figures.contour import contour_info, draw_contour
from phalanx.report.sweep_figures.history import draw_history, history_info
from phalanx.report.sweep_figures.importances import importances_info
from phalanx.report.sweep_figures.intervals import draw_intervals, intervals_infos
from phalanx.report.sweep_figures.learning_curves import MAX_POINTS, draw_learning, learning_info
from phalanx.report.sweep_figures.parallel_coordinates import ABSENT, apart, draw_parallel, parallel_info
from phalanx.report.sweep_figures.pareto_front import draw_front, front_infos
from phalanx.report.sweep_figures.scale import Scale, scale_for, scale_of
from phalanx.report.sweep_figures.slices import draw_slice, slice_info
from phalanx.report.sweep_figures.timeline import draw_timeline, timeline_info
from phalanx.report.sweep_figures.trials import parameter, parameters
from phalanx.runs.layout import SweepPaths
from phalanx.runs.stored_run import DataSummary, SeedResult
from phalanx.runs.sweep_folder import collect
from phalanx.study import importances

CHROMIUM = shutil.which("chromium") and shutil.which("chromedriver")
HOSTILE = "<script>alert(1)</script>&\"'"


def trial(number, value, status="completed", error=None, objectives=None, timing=None, **overrides):
    more = {} if objectives is None else {"objectives": objectives}
    return stored(value, 0, status, number, {k.replace("__", "."): v for k, v in overrides.items()}, error=error,
                  timing=timing, **more)  # fmt: skip


TRIALS = [
    trial(0, 0.5, a="1", b="x"),
    trial(1, 0.9, "pruned", a="2", b="y"),
    trial(2, None, "failed", "boom <b>", a="3", b="y"),
    trial(3, 0.75, a="4", b="x"),
    trial(4, 0.7, a="5", b="y"),
]
BEST = [TRIALS[3], TRIALS[4], TRIALS[0]]


def page_of(**changes):
    return sweep_html(SweepContent(**{"name": "s", "trials": TRIALS, "best": BEST, **changes}))


# The numbers


def test_history_follows_the_best_completed_trial_in_either_direction():
    lowest = [replace(one, objective=replace(one.objective, direction="minimize")) for one in TRIALS]
    up, down = history_info(TRIALS, Scale()), history_info(lowest, Scale())
    assert up.completed == ((0, 3, 4), (0.5, 0.75, 0.7))
    assert up.pruned == ((1,), (0.9,))
    assert up.best == (0.5, 0.75, 0.75)  # a pruned trial is never the best
    assert down.best == (0.5, 0.5, 0.5)
    assert up.failed == (2,)
    axes = draw_history(up).axes[0]
    assert {c.get_label(): c.get_urls() for c in axes.collections} == {
        "completed": ["#trial-0", "#trial-3", "#trial-4"], "pruned": ["#trial-1"], "failed": ["#trial-2"],
    }  # fmt: skip


def test_baselines_are_lines_in_the_history_unless_they_are_far_from_all_trials():
    drawn = draw_history(history_info(TRIALS, Scale(), {"majority": -3.0, "logistic_regression": 0.6})).axes[0]
    plain = draw_history(history_info(TRIALS, Scale())).axes[0]
    flat = [
        line.get_ydata()[0] for line in drawn.lines if len(line.get_ydata()) == 2 and len(set(line.get_ydata())) == 1
    ]
    assert flat == [0.6]
    labels = [line.get_label() for line in drawn.lines]
    assert {"majority (below) -3", "logistic regression 0.6"} <= set(labels)
    assert drawn.get_ylim() == plain.get_ylim()
    assert "logistic regression 0.6" in page_of(baselines={"logistic_regression": 0.6})


def test_parameters_are_what_varies():
    found = parameters([trial(0, 0.5, a="1", b="x", c="7", seed="1"), trial(1, 0.5, a="2", c="7", seed="2")])
    assert [(p.key, p.values, p.numeric) for p in found] == [("a", (1.0, 2.0), True), ("b", ("x", None), False)]
    assert parameter("h", ["[8,8]", "[16]"]).places() == [1.0, 0.0]


def test_an_axis_is_logarithmic_where_that_spreads_the_values():
    spread = [f"{10**-k}" for k in range(6)]
    assert parameter("lr", spread).log
    assert not parameter("lr", spread, log=False).log  # the request knows better
    assert not parameter("p", [str(k / 100) for k in range(1, 100)]).log
    assert not parameter("p", ["0", *spread], log=True).log


def test_a_page_has_one_scale_which_is_never_logarithmic_for_shares():
    pressed = [0.001, 0.02, 0.4, 0.97, 0.975, 0.98, 0.985, 0.986, 0.99]  # a few bad ones, as in a search
    scale = scale_of(pressed, "val_accuracy", maximize=True)
    assert (scale.kind, scale.low, scale.n_outside) == ("linear", 0.95, 3)
    assert (scale.shown(0.4), scale.shown(0.98)) == (0.95, 0.98)
    assert scale.explained("val_accuracy") == (
        "Every axis of val_accuracy is linear and goes from 0.95 on; 3 trials beyond stand at the edge."
    )
    even = scale_of([0.1 * k for k in range(1, 10)], "val_accuracy", maximize=True)
    assert (even.kind, even.n_outside) == ("linear", 0)
    assert scale_of([0.001, 0.01, 0.1, 1, 100], "val_loss", maximize=False).log
    assert not scale_of([0.001, 0.01, 0.1, 0.2, 1], "val_accuracy", maximize=True).log
    few = scale_of([1.0, 1.1, 1.2, 1.3, 1.35, 1.4, 1.5, 9.0], "val_loss", maximize=False)
    assert (few.kind, few.n_outside, few.high < 9.0) == ("linear", 1, True)
    trials = [trial(n, value, a=str(n)) for n, value in enumerate(pressed)]
    scale = scale_for(trials)
    figures = [
        draw_history(history_info(trials, scale)),
        draw_slice(slice_info(trials, *parameters(trials), None, scale)),
    ]
    for figure in figures:
        bottom, top = figure.axes[0].get_ylim()
        assert 0.94 < bottom < 0.95
        assert 0.99 < top <= 1.0
        assert "≤ 0.95" in [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert parallel_info(trials, parameters(trials), scale).axes[-1].ticks[0] == (0.0, "≤ 0.95")
    assert "Every axis of val_accuracy is linear and goes from 0.95 on" in page_of(trials=trials, best=[])


def test_an_accuracy_never_has_an_axis_beyond_one():
    trials = [trial(n, 0.9 + 0.02 * n) for n in range(6)]
    curves = {n: ([1, 2], [0.5, 1.0]) for n in range(6)}
    for figure in (draw_history(history_info(trials, scale_for(trials))),
                   draw_learning(learning_info(trials, curves, 5, scale_for(trials)))):  # fmt: skip
        assert max(float(label.get_text()) for label in figure.axes[0].get_yticklabels()) <= 1.0
        assert figure.axes[0].get_ylim()[1] < 1.05


def test_the_front_and_what_lies_behind_it():
    def two(number, value, size, front):
        objectives = (("val_accuracy", value, "maximize"), ("n_parameters", size, "minimize"))
        found = [{"name": name, "value": value, "direction": direction} for name, value, direction in objectives]
        return replace(trial(number, value, objectives=found, a=str(number)), front=front)

    best = [two(1, 0.9, 500, True), two(2, 0.8, 100, True), two(3, 0.7, 300, False)]
    (info,) = front_infos(best, Scale(low=0.75, n_outside=1))  # a front is shown whole
    assert info.front == ((2, 100, 0.8), (1, 500, 0.9))
    assert info.dominated == ((3, 300, 0.7),)
    assert [line.get_xydata().tolist() for line in draw_front(info).axes[0].get_lines()] == [[[100, 0.8], [500, 0.9]]]
    page = page_of(trials=best, best=best)
    assert "Pareto front" in page
    assert "<th>front</th>" in page


def test_parallel_coordinates_pass_below_an_axis_that_a_trial_does_not_have():
    trials = [trial(0, 0.5, a="1", b="x"), trial(1, 0.6, a="3", b="y", c="1"), trial(2, 0.9, a="2", b="x", c="2"),
              trial(3, 0.99, "pruned", a="9", b="z", c="9")]  # fmt: skip
    info = parallel_info(trials, parameters(trials), Scale())
    assert info.numbers == (0, 1, 2)  # the worst first
    assert [axis.name for axis in info.axes] == ["a", "b", "c", "val_accuracy"]
    assert info.axes[0].heights == (0, 1, 0.5)
    assert info.axes[2].heights[0] is None
    lines = draw_parallel(info).axes[0].get_lines()
    assert lines[0].get_ydata()[2] == ABSENT
    assert [line.get_url() for line in lines[:3]] == ["#trial-0", "#trial-1", "#trial-2"]
    assert (lines[0].get_color(), lines[2].get_color()) == (RAMP[0], RAMP[-1])  # by value
    assert parallel_info(trials[:1], parameters(trials), Scale()) is None


def test_equal_lines_of_parallel_coordinates_lie_beside_each_other():
    trials = [trial(n, 0.5 + 0.1 * n, a="x", b="pq"[n % 2]) for n in range(4)] + [trial(4, 0.55, a="y", b="p")]
    info = parallel_info(trials, parameters(trials), Scale())
    for axis in info.axes[:2]:
        places = apart(axis)
        assert len(set(places)) == 5
        assert all(abs(place - height) <= 0.04 for place, height in zip(places, axis.heights, strict=True))


def test_parallel_coordinates_of_many_trials_say_how_many_they_leave_out():
    trials = [trial(n, n / 2000, a=str(n)) for n in range(2000)]
    info = parallel_info(trials, parameters(trials), Scale())
    assert (len(info.numbers), info.n_left_out) == (500, 1500)
    assert (info.numbers[0], info.numbers[-1]) == (0, 1999)


@pytest.mark.parametrize("maximized", [True, False])
def test_the_thickest_line_of_parallel_coordinates_is_the_best_trial_of_the_page(maximized):
    values = [0.5, 0.9, 0.9, 0.6] if maximized else [0.9, 0.5, 0.5, 0.6]
    trials = [trial(n, value, a=str(n)) for n, value in enumerate(values)]
    if not maximized:
        trials = [replace(one, objective=replace(one.objective, direction="minimize")) for one in trials]

    def thickest(**chosen):
        info = parallel_info(trials, parameters(trials), Scale(), **chosen)
        lines = [line for line in draw_parallel(info).axes[0].get_lines() if line.get_url()]
        return max(lines, key=lambda line: line.get_linewidth()).get_url()

    assert thickest() == "#trial-1"  # of equal ones the first, as everywhere
    assert thickest(best=3) == "#trial-3"  # which a final has chosen


def test_a_slice_shows_each_trial_at_its_value_and_marks_the_best():
    numbers, names = parameters(TRIALS)
    info = slice_info(TRIALS, numbers, 3, Scale())
    assert (info.numbers, info.places, info.completed) == ((0, 1, 3, 4), (1, 2, 4, 5), (True, False, True, True))
    (star,) = [line for line in draw_slice(info).axes[0].get_lines() if line.get_marker() == "*"]
    assert star.get_xydata().tolist() == [[4, 0.75]]
    info = slice_info(TRIALS, names, None, Scale())
    assert info.parameter.categories == ("x", "y")
    assert [label.get_text() for label in draw_slice(info).axes[0].get_xticklabels()] == ["x", "y"]


def test_contours_are_a_surface_or_a_table_of_means():
    stream = np.random.default_rng(0)
    trials = [trial(n, 0.5 + 0.01 * n, a=str(x), b=str(y), c="xy"[n % 2], d=str(n % 3))
              for n, (x, y) in enumerate(stream.random((20, 2)))]  # fmt: skip
    a, b, c, d = parameters(trials)
    surface = contour_info(trials, a, b, Scale())
    assert surface.cells is None
    assert surface.points.shape == (20, 2)
    draw_contour(surface)
    table = contour_info(trials, c, d, Scale())
    assert table.cells[0.0, 0.0] == (pytest.approx(np.mean([0.5 + 0.01 * n for n in range(0, 20, 6)])), 4)
    assert len(draw_contour(table).axes[0].texts) == 6
    assert contour_info(trials, a, c, Scale()) is None  # neither
    assert contour_info(trials[:5], *parameters(trials[:5])[:2], Scale()) is None


def test_parameters_that_follow_each_other_have_dots_without_a_surface():
    trials = [trial(n, 0.5 + 0.01 * n, a=str(n), b=str(2 * n)) for n in range(20)]
    figure = draw_contour(contour_info(trials, *parameters(trials), Scale()))
    (axes,) = figure.axes  # and no colour bar
    (dots,) = axes.collections
    assert dots.get_offsets().tolist() == [[n, 2 * n] for n in range(20)]


def test_a_report_has_the_contours_of_the_most_important_pairs(monkeypatch):
    trials = [trial(n, 0.5 + 0.4 * row[1], **dict(zip("abcd", map(str, row), strict=True)))
              for n, row in enumerate(np.random.default_rng(1).random((40, 4)))]  # fmt: skip
    shares = {"d": 0.5, "b": 0.3, "a": 0.15, "c": 0.05}
    monkeypatch.setattr("phalanx.study.importances", lambda *_: shares)
    page = page_of(trials=trials)
    assert re.findall(r"<h3>([a-d] and [a-d])</h3>", page) == ["d and b", "d and a", "b and a"]


def test_curves_are_thinned_out_and_keep_their_ends():
    epochs = list(range(1, 1001))
    info = learning_info(
        TRIALS, {0: (epochs, [1 / e for e in epochs]), 1: ([1, 2], [0.1, 0.2]), 3: ([], [])}, 0, Scale()
    )
    assert set(info.curves) == {0, 1}
    assert (len(info.curves[0][0]), info.window) == (MAX_POINTS, 18)
    assert info.curves[0][1][1] == pytest.approx(np.mean([1 / e for e in epochs[1:18]]))  # a mean, not a sample
    assert (info.curves[0][0][0], info.curves[0][0][-1]) == (1, 1000)
    lines = {line.get_url(): line for line in draw_learning(info).axes[0].get_lines() if line.get_url()}
    assert lines["#trial-1"].get_linestyle() == "--"
    assert (lines["#trial-1"].get_marker(), lines["#trial-1"].get_markevery()) == ("v", [1])


def test_the_time_line_cuts_long_pauses_and_tells_cohorts_apart():
    def timed(number, start, end, cohort):
        return trial(number, 0.5, timing={"started": start, "ended": end, "cohort": cohort})

    trials = [timed(0, 100.0, 102.0, "a"), timed(1, 100.0, 103.0, "a"), timed(2, 90_000.0, 90_002.0, "b"), TRIALS[0]]
    info = timeline_info(trials)
    assert [(bar.number, bar.cohort) for bar in info.bars] == [(0, 0), (1, 0), (2, 1)]
    assert [bar.end - bar.start for bar in info.bars] == pytest.approx([2, 3, 2])
    (legend,) = draw_timeline(info).legends
    assert [text.get_text() for text in legend.get_texts()] == ["completed"]
    assert {bar.get_facecolor() for bar in draw_timeline(info).axes[0].patches} == {to_rgba(BLUE)}  # as elsewhere
    assert info.bars[2].start < 4  # and not a day later
    assert info.cuts[0][1] == pytest.approx(89_897)
    assert (info.n_cohorts, info.n_untimed) == (2, 1)
    draw_timeline(info)
    assert timeline_info(TRIALS) is None
    assert "No times recorded." in page_of()


def test_importances_find_what_matters():
    stream = np.random.default_rng(0)
    points = [{"a": float(x), "b": float(y), "c": "pq"[n % 2], **({} if n else {"d": 1.0})}
              for n, (x, y) in enumerate(stream.random((60, 2)))]  # fmt: skip
    found = importances(points, [1 - (p["a"] - 0.5) ** 2 for p in points], "maximize", {})
    assert set(found) == {"a", "b", "c"}  # d is not in every point
    assert max(found, key=found.get) == "a"
    assert sum(found.values()) == pytest.approx(1)
    assert importances_info("v", found).names[0] == "a"
    assert importances(points, [1.0] * 60, "maximize", {}) == {}
    assert importances([], [], "maximize", {}) == {}


# The page


class Structure(html.parser.HTMLParser):
    """Which elements a page has; complains about those that are not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "use", "path", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in ("use", "path"):
            assert self.open.pop() == tag


def test_the_page_is_one_file_without_address():
    seen = Structure(page_of(curves={0: ([1, 2], [0.1, 0.5])})).seen
    assert not [tag for tag, _ in seen if tag in ("link", "iframe")]
    assert [attrs for tag, attrs in seen if tag == "script"] == [{}]  # one, inline: it sorts tables
    outside = [
        attrs for _, attrs in seen for key in ("src", "href") if not attrs.get(key, "#").startswith(("#", "data:"))
    ]
    assert not outside
    assert any(tag == "svg" and attrs["aria-label"] == "Optimisation history" for tag, attrs in seen)
    anchors = {attrs["id"] for _, attrs in seen if attrs.get("id")}
    assert {attrs["href"][1:] for tag, attrs in seen if tag == "a"} <= anchors


def test_names_stay_text():
    odd = [trial(n, 0.5 + 0.1 * n, **{HOSTILE: f"{HOSTILE}{n}"}) for n in range(3)]
    odd.append(trial(4, None, "failed", HOSTILE, **{HOSTILE: "\ud800\x00"}))
    page = page_of(name=HOSTILE, trials=odd, best=odd[:3], configs={0: HOSTILE}, ending=HOSTILE, sentences=[HOSTILE])
    page.encode()
    tags = [tag for tag, _ in Structure(page).seen]
    assert tags.count("script") == 1  # ours
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;&#34;&#39;" in page


def test_the_page_tells_the_best_the_failures_and_the_ends():
    page = page_of()
    assert "5 trials: 3 completed, 1 pruned, 1 failed. 2.5 s of training." in page
    assert "Best val_accuracy: 0.75, trial 3" in page
    assert "boom &lt;b&gt;" in page
    best = page[page.index("<h2>Best trials</h2>") :]
    firsts = [best.index(f"<tr><td class=number>{number}</td>") for number in (3, 4, 0)]
    assert firsts == sorted(firsts)
    assert "Importances need 20 completed trials; there are 3." in page


def test_a_sweep_without_any_success_has_a_page():
    page = page_of(trials=[TRIALS[2]], best=[])
    assert "No trial was completed." in page
    assert "boom" in page
    assert "<svg" not in page


def test_a_final_has_its_table_and_figures():
    ten, one = dict.fromkeys(range(10), 0.5), {0: 0.5}
    lost = Lost({"diverged": 1}, 2, "seeds")
    finalists = [
        Finalist(3, {"a": "4"}, "val_accuracy", {"val_accuracy": ten, "test_accuracy": ten}, 10),
        Finalist(4, {}, "val_accuracy", {"val_accuracy": one, "test_accuracy": one}, 2, lost),
        Finalist(5, {}, "val_accuracy", {}, 2, Lost({"diverged": 2}, 2, "seeds")),
    ]
    page = page_of(finalists=finalists, sentences=["trial 3 beats <trial 4>"])
    assert "trial 3 beats &lt;trial 4&gt;" in page
    assert "0.5000 to 0.5000" in page
    info, chose = intervals_infos(finalists)
    assert (info.title, chose.title) == ("test_accuracy, which judges", "val_accuracy, which chose")
    figure = draw_intervals(info)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["trial 3", "trial 4"]
    assert len([line for line in figure.axes[0].get_lines() if line.get_linestyle() == "-"]) == 1
    row = re.search(r"<tr><td class=number>4</td>.*?</tr>", page[page.index("<h2>Final on") :])[0]
    assert "<td class=number>1</td><td class=number>1</td><td class=number>0.5000</td><td class=number>–</td>" in row
    row = re.search(r"<tr><td class=number>5</td>.*?</tr>", page[page.index("<h2>Final on") :])[0]
    assert "<td class=number>0</td><td class=number>2</td>" + "<td class=number>–</td>" * 6 in row.replace("\n", "")


def test_no_interval_of_a_trials_seeds_leaves_the_range_of_its_metric():
    seeds = [SeedResult(seed, Status.COMPLETED, value, {}, 1, 1) for seed, value in enumerate((1.0, 0.8, 1.0))]
    several = replace(TRIALS[0], repeats=tuple(seeds))
    assert "<td class=number>0.6465 to 1.0000</td>" in page_of(trials=[several], best=[several])


def test_the_interval_of_a_point_on_folds_is_over_folds_and_corrected():
    values = np.array([[0.5, 0.7, 0.6], [0.7, 0.5, 0.4]])  # by seed and fold
    rows = [SeedResult(s, Status.COMPLETED, v, {}, 1, 1, split_seed=0, fold=f) for (s, f), v in np.ndenumerate(values)]
    data = DataSummary("wine", "wine", 94, 48, 36, 13, 3)
    page = page_of(trials=[one := replace(TRIALS[0], repeats=tuple(rows), data=data)], best=[one])
    mean, error = values.mean(), values.mean(axis=0).std(ddof=1) * math.sqrt(1 / 3 + 48 / 94)
    low, high = stats.t.interval(0.95, 2, mean, error)
    assert "95 % interval over folds" in page
    assert f"<td class=number>3</td><td class=number>{low:.4f} to {high:.4f}</td>" in page.replace("\n", "")


# From folders


def test_the_report_of_a_grid_compares_its_groups(tmp_path, capsys):
    folder = write_grid(tmp_path / "a <grid>", {"mse": {s: 0.8 + 0.01 * s for s in range(4)},
                                                "nll": {s: 0.9 + 0.01 * s for s in range(4)}}, "loss")  # fmt: skip
    (folder / "1" / "config.yaml").unlink()  # of a trial that is not compared then
    (folder / "2" / "metrics.csv").write_text("epoch,val_accuracy\n1,nan\n2,\x00\n")
    assert main(["report", str(folder)]) == 1
    out, err = capsys.readouterr()
    assert "report.html" in out
    assert "2/metrics.csv is damaged: line 3" in err
    page = (folder / "report.html").read_text()
    assert "2/metrics.csv is damaged: line 3" in page
    assert "a &lt;grid&gt;" in page
    assert "nll beats mse by" in page
    assert "Whole configuration of trial 7" in page
    assert "1 trial has no curve" in page
    Structure(page)


def test_the_report_of_a_grid_compares_every_data_set_and_pools_splits(tmp_path):
    values = {"mse": {s: 0.8 + 0.01 * s for s in range(4)}, "nll": {s: 0.9 + 0.01 * s for s in range(4)}}
    write_grid(tmp_path / "two", values)
    for number, (loss, seeds) in enumerate(values.items()):
        for seed, value in seeds.items():
            cfg = {**config(seed, loss=loss), "data": {"name": "wine"}}
            write_run(
                tmp_path / "two" / str(100 + 10 * number + seed), result(value, seed, test=1 - value, data="w"), cfg
            )
            cfg = config(0, loss=loss, data__split_seed=seed)
            content = result(value, 0, test=value, data=f"d{seed}")
            write_run(tmp_path / "splits" / str(10 * number + seed), content, cfg)
            cfg = config(0, loss=loss, data__resampling="kfold", data__folds=5, data__fold=seed)
            write_run(tmp_path / "folds" / str(10 * number + seed), content, cfg)
    page = write_report(tmp_path / "two").read_text()
    assert all(f"<h3>{data}: test_accuracy, % by loss, on this split</h3>" in page for data in ("digits", "wine"))
    assert all(text in page for text in ("nll beats mse by", "mse beats nll by"))
    page = write_report(tmp_path / "splits").read_text()
    assert "nll beats mse by" in page
    assert "(4 splits, p" in page
    assert "<th>splits</th>" in page
    page = write_report(tmp_path / "folds").read_text()
    assert "<h3>digits: val_accuracy, % by loss, over folds</h3>" in page
    assert "over folds (4 folds, p" in page


def test_a_search_says_which_scales_it_drew_from(tmp_path):
    for number in range(24):
        value = 0.9 - 0.001 * (number - 12) ** 2
        overrides = [f"optimizer.lr={1 + number}", f"model.dropout={number / 50}"]
        write_run(tmp_path / str(number), result(value), config(), overrides, [0.1, value])
    (tmp_path / "multirun.yaml").write_text(
        "hydra: {overrides: {task: ['optimizer.lr=tag(log, interval(1,30))', 'seed=1']}, sweeper: {params: "
        "{model.dropout: 'interval(0,1)'}, default_params: null}}\n"
    )
    (tmp_path / "sweep.json").write_text(json.dumps({"search": True, "ending": "n_trials=24 reached"}))
    page = write_report(tmp_path).read_text()
    assert "Ended: n_trials=24 reached." in page
    assert "importance for val_accuracy" in page
    from phalanx.report.build import _log_keys
    from phalanx.runs.layout import SweepPaths

    assert _log_keys(SweepPaths(tmp_path)) == {"optimizer.lr": True, "model.dropout": False}


def test_the_report_of_a_run(tmp_path):
    run = write_run(tmp_path / "r", result(0.75, error="odd <error>"), config(), (), [0.5, 0.75])
    page = write_report(run).read_text()
    assert "val_accuracy: 0.75 at epoch 2." in page
    assert "odd &lt;error&gt;" in page
    assert "<svg" in page
    assert "kind: none" not in page  # tracking may hold secrets
    (run / "plots").mkdir()
    (run / "plots" / "confusion.png").write_bytes(b"2")
    (run / "plots" / "curves.png").write_bytes(b"1")
    images = re.findall(r'alt="(\w+)" src="data:image/png', write_report(run).read_text())
    assert images == ["confusion", "curves"]  # beside the table of the classes


def test_results_are_read_once(tmp_path, monkeypatch):
    root = write_grid(tmp_path / "g", {"mse": {0: 0.5, 1: 0.6}, "nll": {0: 0.7, 1: 0.8}})
    trials, read = collect(SweepPaths(root)), []
    monkeypatch.setattr("phalanx.runs.stored_run.read_json", lambda path: read.append(path.name) or read_json(path))
    write_sweep_report(SweepPaths(root), trials)
    assert read == []
    assert "Groups of seeds" in SweepPaths(root).report.read_text()
    write_report(root)
    assert read == ["result.json"] * 4


@pytest.mark.parametrize(("name", "message"), [
    ("absent", "absent is not a folder"), ("empty", "empty holds no results"), ("damaged", "result.json is damaged"),
    ("other", "it lacks"), ("curve", "metrics.csv is damaged"),
])  # fmt: skip
def test_a_report_of_nothing_is_refused(tmp_path, monkeypatch, capsys, name, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for folder in ("damaged", "other", "curve"):
        write_run(tmp_path / folder, result(), curve=[0.5])
    (tmp_path / "damaged" / "result.json").write_text("{")
    (tmp_path / "other" / "result.json").write_text("[]")
    (tmp_path / "curve" / "metrics.csv").write_text("epoch,val_loss\n1,x\n")
    assert main(["report", name]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert main(["report", "empty", "--output", "empty"]) == 2


def test_a_report_begins_with_where_its_numbers_come_from(tmp_path):
    values = {"mse": {s: 0.8 + 0.01 * s for s in range(3)}, "nll": {s: 0.9 + 0.01 * s for s in range(3)}}
    root = write_grid(tmp_path / "g", values, "loss")
    data = {"name": "csv", "source": "irises.csv", "n_train": 96, "n_val": 24, "n_test": 30, "n_features": 7,
            "n_classes": 3}  # fmt: skip
    for number in range(6):
        file = root / str(number) / "result.json"
        timing = {"started": 1.7e9 + 10 * number, "ended": 1.7e9 + 10 * number + 5, "cohort": f"c{number}"}
        more = {"data": data, "timing": timing, "machine": "a processor, 2 cores", "versions": {"torch": "2.15.0"},
                "git": {"commit": "abc", "dirty": number == 5}}  # fmt: skip
        file.write_text(json.dumps({**json.loads(file.read_text()), **more}))
    (root / "multirun.yaml").write_text(
        "hydra: {overrides: {hydra: [hydra.sweep.dir=a b, hydra.mode=MULTIRUN], task: ['seed=range(3)', "
        "'tracking.uri=postgresql://me:secret@host/db']}}"
    )
    (root / "sweep.json").write_text(json.dumps({"search": False, "mlflow_run_id": "f" * 32}))
    page = write_report(root).read_text()
    for text in (
        "python train.py -m &#39;hydra.sweep.dir=a b&#39; &#39;seed=range(3)&#39;",
        "csv (irises.csv): 96 train, 24 val, 30 test; 7 features, 3 classes; digest d1",
        "2023-11-14 22:13:20 to 22:14:15 UTC", "55.0 s from the first start to the last end, 30.0 s of it with a trial",
        "3.0 s of training, summed over trials", "a processor, 2 cores · cpu", "torch 2.15.0",
        "abc with uncommitted changes", f"mlflow ui, then open http://127.0.0.1:5000/#/runs/{'f' * 32}",
    ):  # fmt: skip
        assert text in page
    assert "secret" not in page
    assert page.index("Groups of seeds") < page.index("Best trials")
    row = re.search(r"<tr><td class=number>5</td>.*?</tr>", page[page.index("<h2>Best trials") :], re.DOTALL)[0]
    heads = re.findall(r"<th>(.*?)</th>", page[page.index("<h2>Best trials") :])
    cells = dict(zip(heads, re.findall(r"<td.*?>(.*?)</td>", row), strict=False))
    assert (cells["seed"], cells["epochs"]) == ("2", "2")


@pytest.mark.parametrize(("storage", "shown"), [
    ("null", "optuna-dashboard sqlite:///s/study.db"),
    ("${oc.env:STUDY_URL}", "optuna-dashboard &#34;$STUDY_URL&#34;"),
    ("postgresql://me:secret@host/db", "optuna-dashboard &#39;postgresql://***@host/db&#39;"),
])  # fmt: skip
def test_the_report_of_a_search_has_the_command_of_optunas_dashboard(tmp_path, monkeypatch, storage, shown):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "s" / "0", result(), config())
    (tmp_path / "s" / "sweep.json").write_text(json.dumps({"search": True}))
    (tmp_path / "s" / "study.db").touch()
    (tmp_path / "s" / "multirun.yaml").write_text(
        f"hydra: {{sweeper: {{storage: '{storage}'}}}}".replace("'null'", "null")
    )
    page = write_report(tmp_path / "s").read_text()
    assert f"<code>{shown}</code>" in page
    assert "secret" not in page


@pytest.mark.parametrize(("uri", "shown"), [
    ("http://host:5000/", '<a href="http://host:5000/#/runs/r1">'),
    ("sqlite:///other.db", "mlflow ui --backend-store-uri sqlite:///other.db, then open"),
    ("http://me:secret@host", "mlflow ui --backend-store-uri"),
])  # fmt: skip
def test_a_run_in_mlflow_is_linked_without_secrets(tmp_path, uri, shown):
    run = write_run(tmp_path / "r", result(mlflow_run_id="r1"), {**config(), "tracking": {"uri": uri}})
    page = write_report(run).read_text()
    assert shown in page
    assert "secret" not in page


def test_differences_from_the_defaults_and_from_the_best_trial(tmp_path):
    root = tmp_path / "s"
    for number, (lr, value) in enumerate([(0.1, 0.7), (0.01, 0.9)]):
        overrides = ["model=mlp3", f"optimizer.lr={lr}", "trainer.epochs=3"]
        write_run(root / str(number), result(value), config(optimizer__lr=lr), overrides)
    (root / "sweep.json").write_text(json.dumps({"search": True, "summary": {"best": 1}}))
    best, other = ((config(optimizer__lr=lr), {"model": "mlp3", "trainer.epochs": "3"}) for lr in (0.01, 0.1))
    assert [(row.key, row.values, row.alike) for row in differences([best, other])] == [
        ("model", ("mlp3", "mlp3"), (True, True)), ("optimizer.lr", ("0.01", "0.1"), (True, False)),
        ("trainer.epochs", ("3", "3"), (True, True)),
    ]  # fmt: skip
    page = write_report(root).read_text()
    assert "What the best trials change" in page
    page = write_report(root / "0").read_text()
    assert "<th>best trial 1</th><th>this trial</th>" in page
    assert "<td>optimizer.lr</td><td>0.01</td><td>0.1</td>" in page
    assert "<th>this run</th>" in write_report(root / "1").read_text()


def test_a_list_is_shown_as_it_is_typed():
    typed = {"trainer.metrics": "[f1_macro,auroc]", "model.hidden": "[64,32]"}
    one = (config(trainer__metrics=["f1_macro", "auroc"], model__hidden=[64, 32]), typed)
    shown = {row.key: row.values for row in differences([one])}
    assert shown["trainer.metrics"] == ("[f1_macro, auroc]",)
    assert shown["model.hidden"] == ("[64, 32]",)


def test_more_than_twenty_groups_of_seeds_are_shown_and_too_many_are_said(tmp_path, monkeypatch):
    values = {0.01 * k: {s: 0.5 + 0.01 * s + 0.001 * k for s in range(3)} for k in range(1, 26)}
    root = write_grid(tmp_path / "g", values, "optimizer.lr")
    page = write_report(root).read_text()
    groups = page[page.index("<h2>Groups of seeds") : page.index("<h2>Best trials")]
    assert groups.count("<tr>") == 26
    monkeypatch.setattr("phalanx.report.build.MOST_GROUPS", 24)
    assert "The groups are not compared: these 75 runs are nearly all different" in write_report(root).read_text()


def test_figures_of_very_many_trials_show_a_sample_and_say_so():
    trials = [trial(n, 0.5 + n / 10_000, a=str(n % 7), b=str(n)) for n in range(2500)]
    best = trials[::-1]
    drawn = sampled(trials, best)
    assert len(drawn) == MAX_DRAWN
    assert {t.number for t in best[:100]} <= {t.number for t in drawn}
    page = page_of(trials=trials, best=best)
    assert "The figures show 1,000 of 2,500 trials" in page
    assert page.count('<tr id="trial-') == 2500


def thousand(root):
    stream = np.random.default_rng(0)
    for number in range(1000):
        lr, dropout, width = 10 ** stream.uniform(-4, 0), stream.uniform(0, 0.6), 2 ** stream.integers(3, 9)
        status = ["completed", "pruned", "diverged"][int(stream.choice(3, p=[0.6, 0.35, 0.05]))]
        value = 0.95 - 0.05 * (np.log10(lr) + 2) ** 2 - 0.1 * dropout**2
        timing = {"started": number // 16 * 3.0, "ended": number // 16 * 3.0 + 2, "cohort": f"c{number // 16}"}
        overrides = [f"optimizer.lr={lr}", f"model.dropout={dropout}", f"model.width={width}",
                     f"optimizer={'sgd' if number % 2 else 'adam'}"]  # fmt: skip
        write_run(root / str(number), result(float(value), 0, status, timing=timing), config(), overrides,
                  [float(value) * (1 - 0.8**e) for e in range(1, 21)])  # fmt: skip
    return root


@pytest.fixture
def browser(tmp_path):
    """A headless Chromium with a profile of its own."""
    if not CHROMIUM:
        pytest.skip("chromium and chromedriver are not installed: apt-get install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for flag in ("headless", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking",
                 "disable-component-update", "disable-sync", f"user-data-dir={tmp_path / 'profile'}"):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.mark.slow
@pytest.mark.browser
def test_a_thousand_trials_stay_small_and_open_on_a_phone(tmp_path, browser):
    path = write_report(thousand(tmp_path / "sweep"))
    assert path.stat().st_size < 5e6
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    browser.get(path.as_uri())
    width, figures, errors = browser.execute_script(
        "return [document.documentElement.scrollWidth, document.querySelectorAll('figure svg').length, "
        "[...document.querySelectorAll('svg')].filter(s => s.getBoundingClientRect().height < 50).length]"
    )
    assert width <= 390  # the page itself does not scroll sideways; tables and wide figures do
    assert figures >= 9
    assert errors == 0
    browser.execute_script("location.hash = '#trial-17'")
    assert browser.execute_script("return document.querySelector('tr:target').textContent").startswith("17")
    sizes = browser.execute_script(
        "return [...document.querySelectorAll('figure:not(.broad) svg')].map(s => "
        "s.getBoundingClientRect().width / s.viewBox.baseVal.width)"
    )
    assert max(sizes) == pytest.approx(min(sizes), rel=0.02)  # so their texts are of the same size
    assert not browser.get_log("browser")


COLUMN = "return [...document.querySelectorAll('table.sortable')[0].tBodies[0].rows].map(r => r.cells[{}].textContent)"


@pytest.mark.slow
@pytest.mark.browser
def test_a_click_on_a_heading_sorts_and_without_scripts_the_table_stays(tmp_path, browser):
    path = tmp_path / "report.html"
    best = sorted(TRIALS[:1] + TRIALS[3:], key=lambda one: -one.value)
    path.write_text(page_of(best=best))
    browser.get(path.as_uri())
    assert browser.execute_script(COLUMN.format(0)) == ["3", "4", "0"]
    button = browser.find_element("css selector", "table.sortable th button")
    button.click()
    assert browser.execute_script(COLUMN.format(0)) == ["0", "3", "4"]
    button.click()
    assert browser.execute_script(COLUMN.format(0)) == ["4", "3", "0"]
    assert button.find_element("xpath", "..").get_attribute("aria-sort") == "descending"
    assert not browser.get_log("browser")
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(path.as_uri())
    assert not browser.find_elements("css selector", "table.sortable th button")
    assert len(browser.find_elements("css selector", "table.sortable")[0].find_elements("css selector", "tr")) == 4


@pytest.mark.slow
@pytest.mark.browser
def test_a_page_is_printed_without_what_needs_a_screen(tmp_path, browser):
    path = write_report(write_grid(tmp_path / "g", {"mse": {s: 0.8 + 0.01 * s for s in range(4)},
                                                    "nll": {s: 0.9 + 0.01 * s for s in range(4)}}, "loss"))  # fmt: skip
    dark = {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                            {"width": 720, "height": 1000, "deviceScaleFactor": 1, "mobile": False})  # fmt: skip
    browser.get(path.as_uri())
    style = "return getComputedStyle(document.querySelector('{}')).{}"
    assert browser.execute_script(style.format("nav", "display")) == "none"
    assert browser.execute_script(style.format("body", "backgroundColor")) == "rgb(255, 255, 255)"
    assert browser.execute_script(style.format(".wide", "overflowX")) == "visible"
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 720  # nothing is cut off


@pytest.mark.slow
@pytest.mark.browser
def test_a_page_loads_itself_again_while_its_sweep_runs(tmp_path, browser):
    from selenium.webdriver.support.ui import WebDriverWait

    path = tmp_path / "report.html"
    path.write_text(page_of(refresh_s=1.0))
    browser.get(path.as_uri())
    path.write_text(page_of(name="ended"))
    WebDriverWait(browser, 60).until(lambda driver: driver.title == "ended")
    assert not browser.find_elements("css selector", "meta[http-equiv=refresh]")
