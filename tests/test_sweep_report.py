"""The sweep's page: its numbers, and that nothing a trial says can break out of it."""

from __future__ import annotations

from phalanx.report.sweep import draw_final, draw_front, history_info, report_html


def trial(number, value, error=None, **overrides):
    return {
        "number": number, "objective": {"name": "val_accuracy", "value": value, "direction": "maximize"},
        "metrics": {"val_loss": 0.5, "test_accuracy": None}, "n_parameters": 1234, "best_epoch": 3,
        "train_seconds": 1.5, "status": "completed" if value is not None else "failed", "error": error,
        "overrides": overrides,
    }  # fmt: skip


TRIALS = [trial(0, 0.5, a="1"), trial(2, None, "boom <b>", a="2"), trial(3, 0.75, a="3"), trial(4, 0.7, a="4")]


def test_history_follows_the_best_in_either_direction():
    up, down = (history_info(TRIALS, direction) for direction in ("maximize", "minimize"))
    assert up.numbers == (0, 3, 4)
    assert up.values == (0.5, 0.75, 0.7)
    assert up.best == (0.5, 0.75, 0.75)
    assert down.best == (0.5, 0.5, 0.5)
    assert up.failed == (2,)


def test_the_page_holds_best_and_failures_and_escapes_them():
    page = report_html("a <study>", TRIALS, [TRIALS[2], TRIALS[3], TRIALS[0]], "maximize")
    assert "a &lt;study&gt;" in page
    assert "boom &lt;b&gt;" in page
    firsts = [page.index(f"<tr><td class=number>{number}</td>") for number in (3, 4, 0)]
    assert firsts == sorted(firsts)
    assert "4 trials, 1 failed or diverged, 6.0 s" in page


def test_a_sweep_without_any_success_has_a_page():
    page = report_html("s", [TRIALS[1]], [], "maximize")
    assert "boom" in page
    assert "<img" not in page


def test_several_objectives_show_their_front_and_a_final_its_intervals():
    def two(number, value, size, front):
        found = [{"name": "val_accuracy", "value": value}, {"name": "n_parameters", "value": size}]
        return {**trial(number, value, a=str(number)), "objectives": found, "front": front}

    best = [two(1, 0.9, 500, True), two(2, 0.8, 100, True), two(3, 0.7, 300, False)]
    row = {f"{m}{end}": 0.5 for m in ("objective", "test_accuracy") for end in ("", "_std", "_low", "_high")}
    finalists = [{"number": 1, **row}, {"number": 2, **row, "objective_low": None, "objective_high": None}]
    page = report_html("s", best, best, "maximize", finalists, ["trial 1 beats <trial 2>"])
    assert page.count("<img") == 3
    assert "Pareto front" in page
    assert "trial 1 beats &lt;trial 2&gt;" in page
    figure = draw_front(best)
    lines = {line.get_label(): line.get_xydata().tolist() for line in figure.axes[0].get_lines()}
    assert lines == {"trial": [[300, 0.7]], "Pareto front": [[100, 0.8], [500, 0.9]]}
    figure = draw_final(finalists)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["trial 2", "trial 1"]
