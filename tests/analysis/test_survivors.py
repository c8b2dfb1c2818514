"""A setting of which runs were not completed wins nothing, however good the runs are that are left."""

from __future__ import annotations

import pytest
from support.comparisons import A, B, compared
from support.run_folders import config, result, write_grid, write_run

from phalanx.analysis.statistics import compare, paired
from phalanx.analysis.wording import Lost, sentence

GOOD = {seed: 0.99 + 0.001 * seed for seed in range(3)}
SOUND = {seed: 0.90 + 0.002 * (seed % 3) for seed in range(10)}


def with_lost(root, values, status, n_lost, loss="mse", start=3):
    """`loss` with `values`, and `n_lost` runs that ended otherwise."""
    write_grid(root, {loss: values, "nll": SOUND})
    for seed in range(start, start + n_lost):
        write_run(root / str(100 + seed), result(seed=seed, status=status), config(seed, loss=loss))
    return root


@pytest.mark.parametrize("status", ["diverged", "failed", "pruned"])
def test_three_runs_that_went_well_of_ten_beat_nobody(tmp_path, status):
    (part,) = compared(with_lost(tmp_path, GOOD, status, 7), "loss").parts
    assert [group.label for group in part.groups] == ["nll", "mse"]  # the sound one first
    assert part.differences[0].shown  # the numbers are tested all the same
    (text,) = part.sentences
    assert text.startswith("mse is no winner over nll: better by 8.90 points [8.64, 9.16] on this split (3 seeds, ")
    assert text.endswith(f"), but of its 10 runs 7 {status}")
    assert f"mse: of 10 runs 7 {status}, left out of its mean" in part.notes


def test_a_sound_setting_beats_one_that_diverges_and_the_sentence_says_so(tmp_path):
    worse = {seed: 0.5 + 0.001 * seed for seed in range(3)}
    (part,) = compared(with_lost(tmp_path, worse, "diverged", 7), "loss").parts
    assert part.sentences[0].startswith("nll beats mse by 4")
    assert part.sentences[0].endswith("; mse: of 10 runs 7 diverged")


def test_no_equality_is_said_of_a_setting_that_diverges(tmp_path):
    equal = {seed: SOUND[seed] for seed in range(3)}
    folder = with_lost(tmp_path, equal, "diverged", 7)
    (part,) = compared(folder, "loss", relevant=50.0).parts
    assert part.sentences[0].startswith("no difference shown between nll and mse")
    assert part.sentences[0].endswith("; mse: of 10 runs 7 diverged")
    assert "smaller" not in part.sentences[0]
    (part,) = compared(folder, "loss", relevant=50.0, where=["loss=nll"]).parts
    assert not part.sentences


def test_a_seed_that_was_trained_again_is_not_lost(tmp_path):
    write_run(tmp_path / "f" / "0", result(seed=0, status="failed"), config(0, loss="mse"))
    (part,) = compared([tmp_path / "f", write_grid(tmp_path / "g", {"mse": A, "nll": B})], "loss").parts
    assert "mse beats nll by" in part.sentences[0]
    assert part.groups[0].lost is None


def test_runs_that_were_interrupted_cost_nothing(tmp_path):
    folder = write_grid(tmp_path, {"mse": A, "nll": B})
    stopped = result(seed=9, status="failed", failure="interrupted")
    write_run(folder / "100", stopped, config(9, loss="mse"))
    (part,) = compared(folder, "loss").parts
    assert "mse beats nll by" in part.sentences[0]
    assert "mse: of 7 runs 1 interrupted, left out of its mean" in part.notes


def test_what_diverged_at_a_setting_that_is_not_compared_does_not_count(tmp_path):
    folder = write_grid(tmp_path, {"mse": A, "nll": B})
    for seed in range(3):
        status = "diverged" if seed else "completed"
        cfg = config(seed, loss="mse", optimizer__lr=0.5)
        write_run(folder / str(100 + seed), result(0.1, seed, status=status, test=0.1), cfg)
    (part,) = compared(folder, "loss").parts
    assert part.sentences[0].startswith("mse beats nll")
    assert "diverged" not in part.sentences[0]


def test_the_best_of_many_pairs_is_a_sound_one(tmp_path):
    values = {0.1 * k: {s: v - 0.01 * k for s, v in A.items()} for k in range(1, 7)}
    folder = write_grid(tmp_path, values, "optimizer.lr")
    write_run(folder / "100", result(seed=9, status="diverged"), config(9, optimizer__lr=0.1))
    (part,) = compared(folder).parts
    assert [group.label for group in part.groups] == [*(f"lr=0.{k}" for k in range(2, 7)), "lr=0.1"]
    assert len([text for text in part.sentences if "lr=0.2" in text]) == 5


def test_a_lost_run_changes_the_verdict_and_not_the_numbers():
    found = paired(A, B)
    lost = {"a": Lost({"diverged": 1}, 7)}
    assert sentence(found, lost=lost).endswith(", but of its 7 runs 1 diverged")
    assert sentence(found, lost={"b": Lost({"diverged": 2, "failed": 1}, 1)}).endswith(
        "; b: of 1 run 2 diverged, 1 failed"
    )
    both = lost | {"b": Lost({"failed": 1}, 9, "seeds")}
    assert sentence(found, lost=both).endswith(", but of its 7 runs 1 diverged; b: of 9 seeds 1 failed")
    (few,) = compare({"a": {0: 1.0}, "b": {0: 2.0}}, "maximize")
    assert sentence(few, lost=lost).endswith("at least 3 are needed; a: of 7 runs 1 diverged")
