"""The final of a search: its points on fresh seeds, their table, and the tests between them."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy import stats
from support.comparisons import compared
from support.run_folders import result, stored, write_run

from phalanx.analysis.final import chosen, read_finalists, write_final
from phalanx.analysis.statistics import bonferroni
from phalanx.core.errors import UnreadableFile
from phalanx.core.result import Objective
from phalanx.runs.layout import SweepPaths
from phalanx.runs.left_out import LeftOut


def trial(number, value, **overrides):
    return stored(value, number=number, overrides=overrides)


def test_equal_points_enter_the_final_once():
    best = [trial(4, 0.9, lr="1"), trial(7, 0.9, lr="1"), trial(2, 0.8, lr="2"), trial(3, 0.7, lr="3")]
    assert [t.number for t in chosen(best, 2)] == [4, 2]
    assert [t.number for t in chosen(best, 9)] == [4, 2, 3]


def test_points_are_equal_if_their_values_are_however_they_were_typed():
    texts = ["0.1", "1e-1", "0.10", "+0.1"]
    assert [t.number for t in chosen([trial(i, 0.9, lr=text) for i, text in enumerate(texts)], 9)] == [0]
    texts = ["[64,64]", "[64, 64]", "[64]", "'mse'", "mse", "1", "1.0", "null", "'null'"]
    best = [trial(i, 0.9, x=text) for i, text in enumerate(texts)]
    assert [t.number for t in chosen(best, 99)] == [0, 2, 3, 5, 7, 8]


def finalist(paths, number, values, tests, metric="test_accuracy", splits=False):
    """A point on its seeds from 10 on; a value of None stands for a seed that diverged. With `splits` each seed has a
    split of its own."""
    repeats = [
        {"seed": seed, "status": "diverged" if value is None else "completed", "value": value,
         "metrics": {"test_accuracy": None, metric: test}, "best_epoch": 1, "epochs": 1,
         **({"split_seed": seed - 9, "data_digest": f"d{seed - 9}"} if splits else {})}
        for seed, (value, test) in enumerate(zip(values, tests, strict=True), start=10)
    ]  # fmt: skip
    write_run(paths.final(number).root, result(repeats=repeats))


def written(paths, trials, direction="maximize"):
    """What the final says, its `final.json`, and its `final.csv` by number of the trial."""
    sentences = write_final(paths, read_finalists(paths, trials), direction)
    stored = json.loads(paths.final_tests.read_text())
    assert stored["sentences"] == sentences
    return sentences, stored, {int(row["number"]): row for row in csv.DictReader(open(paths.final_table))}


def test_an_override_never_takes_the_column_of_a_result(tmp_path):
    paths = SweepPaths(tmp_path)
    finalist(paths, 4, [0.5, 0.25], [0.75, 0.5])
    given = {"objective": "val_accuracy", "test_accuracy": "x", "optimizer.lr": "4", "seed": "7"}
    _, _, table = written(paths, [replace(trial(4, 0.9), overrides=given)])
    row = table[4]
    assert (row["objective"], row["test_accuracy"], row["optimizer.lr"]) == ("0.375", "0.625", "4")
    assert (row["override.objective"], row["override.test_accuracy"]) == ("val_accuracy", "x")
    assert row["override.seed"] == "7"  # as in trials.csv; the final has other seeds


def test_the_test_split_judges_the_points_that_validation_chose(tmp_path):
    paths = SweepPaths(tmp_path)
    finalist(paths, 4, [0.90, 0.91, 0.92, 0.90], [0.85, 0.86, 0.87, 0.86])
    finalist(paths, 2, [0.99, 0.98, 0.99, 0.99], [0.70, 0.73, 0.70, 0.71])  # best on the split that chose it
    finalist(paths, 3, [0.95, 0.94, 0.98, 0.94], [0.71, 0.70, 0.72, 0.70])
    trials = [trial(2, 0.99, lr="2"), trial(4, 0.9, lr="4"), trial(3, 0.8, lr="3"), trial(9, 0.1)]
    sentences, stored, table = written(paths, trials)
    assert stored["best"] == "trial 4"
    assert (stored["chosen_by"], stored["judged_by"]) == ("val_accuracy", "test_accuracy")
    assert sentences[0] == (
        "val_accuracy on the validation split chose these points; test_accuracy on the test split judges them"
    )
    assert any(text.startswith("trial 4 beats trial 2 by 0.15 [") for text in sentences)
    assert all("on this test split (4 seeds" in text for text in sentences[1:])
    assert next(iter(table)) == 4
    assert {(row["chosen_by"], row["judged_by"]) for row in table.values()} == {("val_accuracy", "test_accuracy")}
    assert float(table[4]["objective"]) == pytest.approx(0.9075)
    assert float(table[4]["test_accuracy"]) == pytest.approx(0.86)
    low, high = stats.t.interval(0.95, 3, 0.86, stats.sem([0.85, 0.86, 0.87, 0.86]))
    ends = float(table[4]["test_accuracy_low"]), float(table[4]["test_accuracy_high"])
    assert ends == pytest.approx((low, high))
    assert list(stored["differences"]) == ["test_accuracy"]
    found = {(d["a"], d["b"]): d for d in stored["differences"]["test_accuracy"]}
    tests = {4: [0.85, 0.86, 0.87, 0.86], 3: [0.71, 0.70, 0.72, 0.70], 2: [0.70, 0.73, 0.70, 0.71]}
    p_values = {(f"trial {a}", f"trial {b}"): p_with_step(tests[a], tests[b]) for a, b in combinations(tests, 2)}
    for pair, adjusted in zip(p_values, bonferroni(list(p_values.values())), strict=True):
        if "trial 4" in pair:  # the values chose the best one, so all three pairs are counted
            assert (found[pair]["p"], found[pair]["p_adjusted"]) == pytest.approx((p_values[pair], adjusted))


def p_with_step(a, b, step=0.01):
    """Student's paired t-test, with the variance that steps of 0.01 add."""
    away = np.subtract(a, b)
    spread = np.sqrt(away.var(ddof=1) + step**2 / 12)
    return 2 * stats.t.sf(abs(away.mean()) / spread * np.sqrt(len(away)), len(away) - 1)


def test_a_search_for_a_low_loss_is_judged_by_the_test_loss(tmp_path):
    paths = SweepPaths(tmp_path)
    finalist(paths, 4, [0.2, 0.3, 0.2], [0.9, 0.8, 0.9], metric="test_loss")
    finalist(paths, 2, [0.4, 0.5, 0.4], [0.2, 0.3, 0.2], metric="test_loss")
    trials = [replace(trial(n, 0.2, lr=str(n)), objective=Objective("val_loss", 0.2, "minimize")) for n in (4, 2)]
    sentences, stored, table = written(paths, trials, "minimize")
    assert (stored["best"], stored["judged_by"]) == ("trial 2", "test_loss")
    assert sentences[1].startswith("trial 2 beats trial 4 by")
    assert float(table[2]["test_loss"]) == pytest.approx(0.7 / 3)
    assert table[2]["test_accuracy"] == ""


def test_a_point_that_diverged_on_some_seeds_is_not_the_best(tmp_path):
    paths = SweepPaths(tmp_path)
    finalist(paths, 4, [0.9] * 10, [0.80 + 0.001 * k for k in range(10)])
    finalist(paths, 2, [0.9] * 3 + [None] * 7, [0.99, 0.991, 0.993] + [None] * 7)
    finalist(paths, 3, [None] * 10, [None] * 10)
    sentences, stored, table = written(paths, [trial(n, 0.9, lr=str(n)) for n in (2, 3, 4)])
    assert stored["best"] == "trial 4"
    assert sentences[1].startswith("trial 2 is no winner over trial 4: better by 0.19")
    assert sentences[1].endswith("but of its 10 seeds 7 diverged")
    assert sentences[2] == "trial 3: of 10 seeds 10 diverged"
    assert list(table) == [4, 2, 3]
    assert [(row["n"], row["diverged"]) for row in table.values()] == [("10", "0"), ("3", "7"), ("0", "10")]
    assert table[3]["test_accuracy"] == ""


def test_where_every_point_diverged_on_some_seed_none_is_the_best(tmp_path):
    paths = SweepPaths(tmp_path)
    finalist(paths, 4, [0.9, 0.9, 0.9, None], [0.80, 0.81, 0.80, None])
    finalist(paths, 2, [0.9, 0.9, 0.9, None], [0.90, 0.91, 0.90, None])
    sentences, stored, _ = written(paths, [trial(n, 0.9, lr=str(n)) for n in (2, 4)])
    assert stored["best"] is None
    assert "trial 2 is no winner over trial 4" in sentences[1]
    assert not any("beats" in text for text in sentences)


def test_fresh_splits_judge_where_each_seed_has_one(tmp_path):
    paths = SweepPaths(tmp_path)
    a, b = [0.85, 0.86, 0.87, 0.86], [0.70, 0.73, 0.70, 0.71]
    finalist(paths, 4, [0.9] * 4, a, splits=True)
    finalist(paths, 2, [0.9] * 4, b, splits=True)
    sentences, stored, _ = written(paths, [trial(n, 0.9, lr=str(n)) for n in (2, 4)])
    assert sentences[0].endswith("; test_accuracy on 4 fresh splits judges them")
    assert sentences[1].startswith("trial 4 beats trial 2 by 0.150 [")
    assert "(4 splits, p" in sentences[1]
    (pair,) = stored["differences"]["test_accuracy"]
    assert (pair["repeats"], pair["p"]) == ("splits", pytest.approx(p_with_step(a, b)))
    (part,) = compared(paths.root / "final", "trial", metric="test_accuracy").parts
    assert (part.repeats, part.differences[0].n) == ("splits", 4)
    assert part.differences[0].p == pytest.approx(pair["p"])


def test_no_interval_of_the_final_leaves_the_range_of_its_metric(tmp_path):
    paths = SweepPaths(tmp_path)
    finalist(paths, 4, [1.0, 1.0, 0.9], [1.0, 0.95, 1.0])
    finalist(paths, 2, [0.2, 0.3, 0.9], [0.0, 0.05, 0.0])
    _, stored, table = written(paths, [trial(4, 1.0, lr="4"), trial(2, 0.9, lr="2")])
    assert (table[4]["objective_high"], table[4]["test_accuracy_high"]) == ("1.0", "1.0")
    assert (table[2]["objective_low"], table[2]["test_accuracy_low"]) == ("0.0", "0.0")
    (pair,) = stored["differences"]["test_accuracy"]
    assert pair["high"] == 1.0
    (loss,) = read_finalists(paths, [replace(trial(2, 0.9), objective=Objective("val_loss", 0.2, "minimize"))])
    assert loss.value.low == 0 < 1 < loss.value.high


def test_a_damaged_point_is_named_and_the_others_are_read(tmp_path):
    paths, left_out = SweepPaths(tmp_path), LeftOut()
    finalist(paths, 4, [0.5, 0.25], [0.75, 0.5])
    finalist(paths, 2, [0.2, 0.3], [0.25, 0.5])
    paths.final(4).result.write_text("{")
    trials = [trial(4, 0.9), trial(2, 0.8)]
    assert [point.number for point in read_finalists(paths, trials, left_out)] == [2]
    assert [str(paths.final(4).result) in fault for fault in left_out.faults] == [True]
    with pytest.raises(UnreadableFile):  # nothing is decided among the points that are left
        read_finalists(paths, trials)
