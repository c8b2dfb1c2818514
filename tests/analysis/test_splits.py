"""Runs on several splits: pooled with the split as the repeat, and sentences that say what they hold for."""

from __future__ import annotations

import csv
import io
import math

import numpy as np
import pytest
from scipy import stats
from support.comparisons import A, B, compared
from support.run_folders import config, result, write_grid, write_run

from phalanx.analysis.compare.tables import differences_csv, groups_csv, markdown
from phalanx.analysis.statistics import compare, paired, repeat_means, summarise

SPLITS, SEEDS = range(5), range(3)
EFFECT = {"nll": [0.0, 0.01, 0.02, 0.0, 0.01], "mse": [-0.02, 0.0, -0.01, -0.01, 0.0]}


def accuracy(loss, split, seed):
    return 0.9 + EFFECT[loss][split] + 0.001 * ((7 * split + 3 * seed + len(loss)) % 5)


def on_splits(root, splits=SPLITS, seeds=lambda split: SEEDS, losses=("nll", "mse")):
    """Runs of two losses on several splits, each with a digest of its own."""
    number = 0
    for loss in losses:
        for split in splits:
            for seed in seeds(split):
                value = accuracy(loss, split, seed)
                cfg = config(seed, loss=loss, data__split_seed=split)
                write_run(root / str(number), result(value, seed, test=value, data=f"d{split}"), cfg)
                number += 1
    return root


def means(loss, splits=SPLITS, seeds=lambda split: SEEDS):
    return [100 * np.mean([accuracy(loss, split, seed) for seed in seeds(split)]) for split in splits]


def test_splits_are_the_repeats_and_their_seeds_are_averaged(tmp_path):
    found = compared(on_splits(tmp_path), "loss")
    (part,) = found.parts
    assert (part.data, part.repeats) == ("digits", "splits")
    low, high = stats.t.interval(0.95, 4, np.mean(means("nll")), stats.sem(means("nll")))
    summary = part.summaries[0]
    assert (summary.n, summary.low, summary.high) == pytest.approx((5, low, high))
    (pair,) = part.differences
    away = np.subtract(means("nll"), means("mse"))
    assert (pair.n, pair.repeats, pair.mean) == (5, "splits", pytest.approx(away.mean()))
    spread = math.hypot(away.std(ddof=1), pair.step / math.sqrt(12))
    assert pair.p == pytest.approx(2 * stats.t.sf(away.mean() / spread * math.sqrt(5), 4))
    assert "(5 splits, p" in part.sentences[0]
    assert "this split" not in part.sentences[0]
    assert part.notes[0] == "each split (data.split_seed) is one repeat, 5 in all; its value is the mean over its seeds"
    assert "| group | splits |" in markdown(found)
    assert "over splits" in markdown(found)
    assert {row["repeats"] for row in csv.DictReader(io.StringIO(groups_csv(found)))} == {"splits"}
    assert {row["repeats"] for row in csv.DictReader(io.StringIO(differences_csv(found)))} == {"splits"}


def test_each_split_may_have_a_seed_of_its_own(tmp_path):
    own = lambda split: [split]  # noqa: E731
    (part,) = compared(on_splits(tmp_path, seeds=own), "loss").parts
    away = np.subtract(means("nll", seeds=own), means("mse", seeds=own))
    assert (part.differences[0].n, part.differences[0].mean) == (5, pytest.approx(away.mean()))


def test_only_seeds_that_both_have_on_a_split_are_paired():
    a = {(0, 0): 1.0, (0, 1): 5.0, (1, 0): 2.0, (2, 0): 4.0, (3, 0): 9.0}
    b = {(0, 0): 0.5, (0, 2): 7.0, (1, 0): 1.0, (2, 0): 2.5, (4, 0): 9.0}
    found = paired(a, b)
    assert (found.n, found.mean) == (3, pytest.approx((0.5 + 1.0 + 1.5) / 3))
    assert found.p == pytest.approx(stats.ttest_1samp([0.5, 1.0, 1.5], 0).pvalue)
    assert repeat_means(a) == {0: 3.0, 1: 2.0, 2: 4.0, 3: 9.0}
    assert summarise(a).mean == pytest.approx(4.5)


def test_two_splits_are_compared_apart_on_each(tmp_path):
    found = compared(on_splits(tmp_path, splits=range(2)), "loss")
    assert [part.data for part in found.parts] == ["digits data.split_seed=0", "digits data.split_seed=1"]
    assert all("on this split (3 seeds" in part.sentences[0] for part in found.parts)
    assert any("2 data sets" in note for note in found.notes)


def test_splits_that_one_group_has_alone_pool_nothing(tmp_path):
    on_splits(tmp_path, splits=range(1))
    for number, split in enumerate(range(1, 5), 100):
        cfg = config(0, loss="nll", data__split_seed=split)
        write_run(tmp_path / str(number), result(0.9, 0, test=0.9, data=f"d{split}"), cfg)
    first = compared(tmp_path, "loss").parts[0]
    assert (first.repeats, first.differences[0].n) == ("seeds", 3)


def test_other_rows_under_the_same_split_seed_are_not_pooled(tmp_path):
    """Say, because the file of the data has changed."""
    on_splits(tmp_path / "a")
    number = 0
    for loss in ("nll", "mse"):
        for seed in SEEDS:
            cfg = config(seed, loss=loss, data__split_seed=0)
            write_run(tmp_path / "b" / str(number), result(0.5, seed, test=0.5, data="changed"), cfg)
            number += 1
    found = compared([tmp_path / "a", tmp_path / "b"], "loss")
    assert len(found.parts) == 6
    assert {part.repeats for part in found.parts} == {"seeds"}


def test_another_size_of_the_data_is_not_pooled(tmp_path):
    on_splits(tmp_path)
    for number, split in enumerate(SPLITS, 100):
        cfg = config(0, loss="nll", data__split_seed=split, data__n_val=100)
        write_run(tmp_path / str(number), result(0.1, 0, test=0.1, data=f"e{split}"), cfg)
    parts = compared(tmp_path, "loss").parts
    assert sorted(len(part.groups) for part in parts) == [1, 2]
    assert "n_val=288" in parts[0].data
    assert "split_seed" not in parts[0].data


def test_the_split_itself_can_be_what_is_selected_and_what_makes_groups(tmp_path):
    folder = on_splits(tmp_path)
    (part,) = compared(folder, "loss", where=["data.split_seed=3"]).parts
    assert (part.repeats, part.summaries[0].n) == ("seeds", 3)
    assert len(compared(folder, "loss", "data.split_seed").parts) == 5


def test_a_diverged_seed_on_one_split_costs_the_win(tmp_path):
    folder = on_splits(tmp_path)
    cfg = config(9, loss="nll", data__split_seed=2)
    write_run(folder / "900", result(seed=9, status="diverged", data="d2"), cfg)
    (part,) = compared(folder, "loss").parts
    assert part.sentences[0].startswith("nll is no winner over mse: better by")
    assert part.sentences[0].endswith("but of its 16 runs 1 diverged")


def test_a_sentence_about_seeds_says_that_it_holds_on_this_split(tmp_path):
    found = compared(write_grid(tmp_path, {"mse": B, "nll": A}), "loss")
    assert "] on this split (6 seeds, p" in found.parts[0].sentences[0]
    assert "by loss, on this split" in markdown(found)


# By simulation


def with_effects_of_splits(n_splits, n_seeds, sd, stream):
    """Two equal groups on several splits; what a split does to a group has the spread `sd`, a seed's noise has 1."""
    effects = stream.normal(0, sd, (2, n_splits, 1)) + stream.normal(size=(2, n_splits, n_seeds))
    return [{(split, seed): float(effect) for split, row in enumerate(table) for seed, effect in enumerate(row)}
            for table in effects]  # fmt: skip


@pytest.mark.slow
def test_pooled_splits_keep_their_error_rate_where_seeds_as_repeats_do_not():
    stream, n = np.random.default_rng(0), 1500
    pooled = naive = covered = 0
    for _ in range(n):
        a, b = with_effects_of_splits(6, 5, 1.0, stream)
        (found,) = compare({"a": a, "b": b}, "maximize")
        pooled += found.shown
        covered += found.low <= 0 <= found.high
        naive += paired(dict(enumerate(a.values())), dict(enumerate(b.values()))).shown
    margin = 3 * math.sqrt(0.05 * 0.95 / n)
    assert abs(pooled / n - 0.05) < margin
    assert abs(covered / n - 0.95) < margin
    assert naive / n > 0.2  # every run a repeat of its own


@pytest.mark.slow
def test_seeds_on_one_split_speak_of_that_split():
    """Among equals over splits, a difference is shown much too often; for this split the interval is right."""
    stream, n = np.random.default_rng(1), 1000
    shown = 0
    for _ in range(n):
        a, b = with_effects_of_splits(1, 10, 1.0, stream)
        shown += paired({seed: v for (_, seed), v in a.items()}, {seed: v for (_, seed), v in b.items()}).shown
    assert shown / n > 0.3


def scaled_otherwise(root, changed=()):
    """Runs of two scalings on several splits: the rows are the same, and each encoding has a digest of its own."""
    cases = [(s, split, seed) for s in ("standard", "robust") for split in SPLITS for seed in SEEDS]
    for number, (scaling, split, seed) in enumerate(cases):
        value = accuracy("mse" if scaling == "standard" else "nll", split, seed)
        digest = f"d{split}{scaling}" + ("again" if (scaling, split, seed) in changed else "")
        cfg = config(seed, data__split_seed=split, data__scaling=scaling)
        write_run(root / str(number), result(value, seed, test=value, data=digest), cfg)
    return root


def test_scalings_are_compared_on_the_rows_that_they_share(tmp_path):
    (part,) = compared(scaled_otherwise(tmp_path), "data.scaling").parts
    (pair,) = part.differences
    assert (pair.n, pair.repeats) == (5, "splits")
    assert pair.mean == pytest.approx(np.subtract(means("nll"), means("mse")).mean())
    (one,) = compared(tmp_path, "data.scaling", where=["data.split_seed=1"]).parts
    (pair,) = one.differences
    assert (pair.n, pair.repeats) == (3, "seeds")
    assert len(compared(tmp_path, "loss").parts) == 2  # what makes no groups keeps runs apart


def test_scalings_of_a_file_that_has_changed_are_kept_apart(tmp_path):
    scaled_otherwise(tmp_path, changed=[("robust", 1, 2)])
    assert len(compared(tmp_path, "data.scaling", where=["data.split_seed=1"]).parts) == 3
