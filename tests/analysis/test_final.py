"""The final of a search: its points on fresh seeds, their table, and the tests between them."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from support.run_folders import result, stored, write_run

from phalanx.analysis.final import chosen, read_finalists, write_final
from phalanx.core.result import Objective
from phalanx.runs.layout import SweepPaths


def trial(number, value, **overrides):
    return stored(value, number=number, overrides=overrides)


def test_equal_points_enter_the_final_once():
    best = [trial(4, 0.9, lr="1"), trial(7, 0.9, lr="1"), trial(2, 0.8, lr="2"), trial(3, 0.7, lr="3")]
    assert [t.number for t in chosen(best, 2)] == [4, 2]
    assert [t.number for t in chosen(best, 9)] == [4, 2, 3]


def finalist(paths, number, values, tests):
    repeats = [
        {"seed": seed, "status": "completed", "value": value, "metrics": {"test_accuracy": test}, "best_epoch": 1,
         "epochs": 1}
        for seed, (value, test) in enumerate(zip(values, tests, strict=True), start=10)
    ]  # fmt: skip
    write_run(paths.final(number).root, result(repeats=repeats))


def test_the_final_names_the_best_on_fresh_seeds_and_tests_the_others_against_it(tmp_path):
    paths = SweepPaths(tmp_path)
    finalist(paths, 4, [0.90, 0.91, 0.92, 0.90], [0.8, 0.8, 0.9, 0.8])
    finalist(paths, 2, [0.95, 0.96, 0.97, 0.96], [0.7, 0.8, 0.7, 0.8])
    finalist(paths, 3, [0.95, None, 0.98, 0.94], [0.7, None, 0.7, 0.7])
    found = read_finalists(paths, [trial(4, 0.99, lr="4"), trial(2, 0.9, lr="2"), trial(3, 0.8, lr="3"), trial(9, 0.1)])
    sentences = write_final(paths, found, "maximize")
    stored = json.loads(paths.final_tests.read_text())
    assert stored["best"] == "trial 2"
    assert stored["sentences"] == sentences
    assert any("trial 2 beats trial 4" in text for text in sentences)
    table = {int(row["number"]): row for row in csv.DictReader(open(paths.final_table))}
    assert list(table) == [2, 3, 4]
    assert (table[3]["n"], table[3]["diverged"]) == ("3", "1")
    assert float(table[4]["objective"]) == pytest.approx(0.9075)
    assert float(table[4]["test_accuracy"]) == pytest.approx(0.825)
    low, high = stats.t.interval(0.95, 3, 0.9075, stats.sem([0.90, 0.91, 0.92, 0.90]))
    assert (float(table[4]["objective_low"]), float(table[4]["objective_high"])) == pytest.approx((low, high))
    raw = {d["a"] + d["b"]: d for d in stored["differences"]["objective"]}
    (pair,) = [d for key, d in raw.items() if "trial 4" in key]
    away = np.subtract([0.95, 0.96, 0.97, 0.96], [0.90, 0.91, 0.92, 0.90])
    spread = np.sqrt(away.var(ddof=1) + 0.01**2 / 12)  # values are seen in steps of 0.01
    expected = 2 * stats.t.sf(away.mean() / spread * np.sqrt(4), 3)
    assert pair["p"] == pytest.approx(expected)
    assert pair["p_holm"] == pytest.approx(3 * expected)  # three pairs, since the values chose the best


def test_no_interval_of_the_final_leaves_the_range_of_its_metric(tmp_path):
    paths = SweepPaths(tmp_path)
    finalist(paths, 4, [1.0, 1.0, 0.9], [1.0, 0.95, 1.0])
    finalist(paths, 2, [0.2, 0.3, 0.9], [0.0, 0.05, 0.0])
    found = read_finalists(paths, [trial(4, 1.0, lr="4"), trial(2, 0.9, lr="2")])
    write_final(paths, found, "maximize")
    best, other = csv.DictReader(open(paths.final_table))
    assert (best["objective_high"], best["test_accuracy_high"]) == ("1.0", "1.0")
    assert (other["objective_low"], other["test_accuracy_low"]) == ("0.0", "0.0")
    (pair,) = json.loads(paths.final_tests.read_text())["differences"]["objective"]
    assert pair["high"] == 1.0
    assert pair["p"] > 0.05
    (loss,) = read_finalists(paths, [replace(trial(2, 0.9), objective=Objective("val_loss", 0.2, "minimize"))])
    assert loss.value.low == 0 < 1 < loss.value.high
