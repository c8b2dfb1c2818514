"""`phalanx compare`: which runs are put together, what is tested, and what is said about it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats
from support.comparisons import A, B, compared, scaled_ttest
from support.run_folders import config, result, write_grid, write_run

from phalanx.analysis.compare.tables import markdown
from phalanx.core.errors import RequestError


def by_label(part):
    return {group.label: (group, summary) for group, summary in zip(part.groups, part.summaries, strict=True)}


def test_groups_have_means_intervals_and_a_paired_test(tmp_path):
    (part,) = compared(write_grid(tmp_path / "g", {"mse": B, "cross_entropy": A}), "loss").parts
    assert [group.label for group in part.groups] == ["cross_entropy", "mse"]  # the better one first
    summary = part.summaries[0]
    low, high = stats.t.interval(0.95, 5, 100 * np.mean(list(A.values())), 100 * stats.sem(list(A.values())))
    assert (summary.n, summary.low, summary.high) == (6, pytest.approx(low), pytest.approx(high))
    p, mean = scaled_ttest(list(A.values()), list(B.values()), 0.001)
    (pair,) = part.differences
    assert (pair.p, pair.mean) == (pytest.approx(p), pytest.approx(mean))
    assert part.sentences[0].startswith("cross_entropy beats mse by 1.9 points [1.6")
    assert "(6 seeds, p" in part.sentences[0]


def test_tables_are_called_by_their_files(tmp_path):
    for number, (path, title) in enumerate([("tables/iris.csv", None), ("wine\x1b.csv", None), ("a.csv", "Autos")]):
        for seed in (0, 1):
            more = {"data__path": path, "data__title": title, "data__name": "csv"}
            content = result(0.9, seed, test=0.9, data=f"d{number}")
            write_run(tmp_path / str(2 * number + seed), content, config(seed, **more))
    found = compared(tmp_path, "loss")
    assert [part.data for part in found.parts] == ["iris", "wine\N{REPLACEMENT CHARACTER}", "Autos"]


def test_no_interval_leaves_the_range_of_its_metric(tmp_path):
    values = {"mse": {0: 0.0, 1: 0.3, 2: 0.9}, "cross_entropy": {0: 1.0, 1: 0.9, 2: 1.0}}
    folder = write_grid(tmp_path / "g", values)
    found = compared(folder, "loss")
    best, other = found.parts[0].summaries
    assert best.low < best.high == 100
    assert (other.low, 50 < other.high <= 100) == (0, True)
    assert found.parts[0].differences[0].high == 100
    assert " to 100.00 |" in markdown(found)
    losses = compared(folder, "loss", metric="val_loss", where=["loss=cross_entropy"]).parts[0].summaries
    assert losses[0].low == 0 < losses[0].high


def test_a_metric_that_gets_better_downwards(tmp_path):
    (part,) = compared(write_grid(tmp_path / "g", {0.1: A, 0.2: B}, "optimizer.lr"), "lr", metric="val_loss").parts
    assert [group.label for group in part.groups] == ["lr=0.1", "lr=0.2"]
    p = stats.ttest_rel([1 - v for v in A.values()], [1 - v for v in B.values()]).pvalue
    assert part.differences[0].p == pytest.approx(p)  # a loss is not seen in steps


def test_a_loss_is_not_compared_between_losses(tmp_path):
    found = compared(write_grid(tmp_path / "g", {"mse": B, "cross_entropy": A}), "loss", metric="val_loss")
    assert not found.parts[0].sentences
    assert any("means something else where loss.name differs" in note for note in found.parts[0].notes)


def crossed(root, values):
    """Runs by loss, optimizer and seed; `values[loss][optimizer][seed]`."""
    number = 0
    for loss, optimizers in values.items():
        for optimizer, seeds in optimizers.items():
            for seed, value in seeds.items():
                lr = {"sgd": 0.05, "adam": 0.01}[optimizer] * (10 if loss == "mse" else 1)
                cfg = config(seed, loss=loss, optimizer=optimizer, optimizer__lr=lr)
                write_run(root / str(number), result(value, seed, test=value), cfg)
                number += 1
    return root


def test_a_seed_is_the_mean_over_settings_that_all_groups_share(tmp_path):
    worse = {seed: value - 0.1 for seed, value in A.items()}
    folder = crossed(tmp_path, {"nll": {"sgd": A, "adam": worse}, "mse": {"sgd": B, "adam": B}})
    found = compared(folder, "loss")
    groups = by_label(found.parts[0])
    assert groups["nll"][0].seeds[0] == pytest.approx(100 * (A[0] + worse[0]) / 2)
    assert (groups["nll"][1].n, groups["nll"][0].n_runs) == (6, 12)
    notes = " ".join(found.parts[0].notes)
    assert "mean over 2 settings of optimizer, the same in every group" in notes
    assert "also differ in optimizer.lr: 0.05, 0.01, 0.5, 0.1" in notes


def test_options_of_different_baselines_are_not_those_of_each_other(tmp_path):
    options = {
        "mlp": {"model__dropout": 0.1}, "mlp4": {"model__dropout": 0.2},
        "logistic_regression": {"model__max_iter": 1000}, "hist_gradient_boosting": {"model__max_iter": 100},
    }  # fmt: skip
    for place, (name, own) in enumerate(options.items()):
        for seed, value in A.items():
            content = result(value, seed, test=value)
            write_run(tmp_path / str(10 * place + seed), content, config(seed, model__name=name, **own))
    notes = " ".join(compared(tmp_path, "model").parts[0].notes)
    assert "also differ in model.dropout: 0.1, 0.2" in notes
    assert "max_iter" not in notes


def test_only_shared_settings_are_compared(tmp_path):
    folder = crossed(tmp_path, {"nll": {"sgd": A, "adam": {0: 0.1}}, "mse": {"sgd": B}})
    found = compared(folder, "loss")
    assert by_label(found.parts[0])["nll"][0].seeds[0] == pytest.approx(100 * A[0])
    assert any("1 run left out, at values of optimizer that not every" in note for note in found.parts[0].notes)


def test_groups_without_a_shared_setting_are_not_tested(tmp_path):
    for number, seed in enumerate([0, 1, 2] * 4):
        loss, lr = ("mse", "nll")[number % 2], 0.01 * (number + 1)
        write_run(tmp_path / str(number), result(0.5 + 0.01 * number, seed, test=0.5),
                  config(seed, loss=loss, optimizer__lr=lr))  # fmt: skip
    (part,) = compared(tmp_path, "loss").parts
    assert not part.differences
    assert not part.sentences
    assert any("share no setting of optimizer.lr, so they are not tested" in note for note in part.notes)


def test_a_seed_that_lacks_a_setting_is_left_out(tmp_path):
    folder = crossed(tmp_path, {"nll": {"sgd": A, "adam": A}, "mse": {"sgd": B, "adam": B}})
    content = result(status="diverged", seed=0)
    write_run(folder / "6", content, config(0, loss="nll", optimizer="adam"))  # replaces nll, adam, seed 0
    (part,) = compared(folder, "loss").parts
    assert sorted(by_label(part)["nll"][0].seeds) == [1, 2, 3, 4, 5]
    assert part.differences[0].n == 5
    assert "nll: of 12 runs 1 diverged, left out of its mean" in part.notes
    assert "nll: seed 0 left out, where not every setting has a value" in part.notes


def test_the_metric_is_the_objective_where_the_test_split_was_left_alone(tmp_path):
    some = write_grid(tmp_path / "s", {"mse": B}, test=False)
    found = compared([write_grid(tmp_path / "g", {"nll": A}), some], "loss")
    assert found.measure.metric == "val_accuracy"
    assert "val_accuracy is compared: test_accuracy is missing in 6 of 12 runs" in found.notes[-1]
    found = compared([tmp_path / "g", some], "loss", metric="test_accuracy")
    assert by_label(found.parts[0])["mse"][1] is None
    assert "mse: test_accuracy is missing in 6 of 6 runs" in found.parts[0].notes


def test_other_data_are_compared_apart(tmp_path):
    both = [
        write_grid(tmp_path / "g", {"mse": B, "nll": A}),
        write_grid(tmp_path / "h", {"mse": A, "nll": B}, data="d2"),
    ]
    found = compared(both, "loss")
    assert [part.groups[0].label for part in found.parts] == ["nll", "mse"]
    assert "2 data sets (digits (d1), digits (d2)): compared apart, never averaged" in found.notes


def test_one_seed_and_two_seeds_tell_nothing(tmp_path):
    one = compared(write_grid(tmp_path / "g", {"mse": {4: 0.5}, "nll": {4: 0.9}}), "loss").parts[0]
    assert one.sentences == ("not enough seeds to tell nll from mse: 1 shared, at least 3 are needed",)
    assert one.notes[-1].startswith("one seed only (4)")
    two = compared(write_grid(tmp_path / "h", {"mse": {4: 0.5, 5: 0.5}, "nll": {4: 0.9, 5: 0.9}}), "loss").parts[0]
    assert "at least 3 are needed" in two.sentences[0]
    apart = compared(
        write_grid(tmp_path / "i", {"mse": {s: v for s, v in B.items() if s < 3}, "nll": {7: 0.9}}), "loss"
    )
    assert any("share no seed" in note for note in apart.parts[0].notes)


def test_runs_that_repeat_others_count_once(tmp_path):
    first, again = write_grid(tmp_path / "g", {"mse": B, "nll": A}), write_grid(tmp_path / "h", {"mse": B})
    (part,) = compared([first, again], "loss").parts
    assert by_label(part)["mse"][1].n == 6
    assert any("6 runs with the configuration and seed of another one" in note for note in part.notes)


def test_repeats_are_read_as_seeds(tmp_path):
    rows = [{"seed": s, "status": "completed", "value": v, "metrics": {"val_accuracy": v, "test_accuracy": None},
             "best_epoch": 1, "epochs": 3, "error": None} for s, v in A.items()]  # fmt: skip
    write_run(tmp_path / "0", result(0.9, 0, repeats=rows), config(0, loss="nll"))
    (part,) = compared(tmp_path, "loss").parts
    assert by_label(part)["nll"][0].seeds == pytest.approx({s: 100 * v for s, v in A.items()})


def test_trials_can_be_told_apart_by_number(tmp_path):
    (part,) = compared(write_grid(tmp_path / "g", {"mse": {0: 0.5}, "nll": {0: 0.6}}), "trial").parts
    assert [group.label for group in part.groups] == ["trial 1", "trial 0"]


def test_many_pairs_are_counted_and_the_best_is_told(tmp_path):
    values = {0.1 * k: {s: v - 0.01 * k for s, v in A.items()} for k in range(1, 7)}
    (part,) = compared(write_grid(tmp_path / "g", values, "optimizer.lr")).parts
    assert len(part.differences) == 15
    assert len(part.sentences) == 6
    assert part.sentences[-1].startswith("(15 pairs were compared")
    smallest = min(d.p for d in part.differences)
    assert part.differences[0].p_adjusted >= 15 * smallest
    (part,) = compared(tmp_path / "g", baseline="lr=0.3").parts
    assert len(part.differences) == 5


def test_many_pairs_without_a_difference_are_one_sentence(tmp_path):
    stream = np.random.default_rng(3)
    values = {0.1 * k: dict(enumerate(0.9 + 0.01 * stream.normal(size=5))) for k in range(1, 5)}
    (part,) = compared(write_grid(tmp_path / "g", values, "optimizer.lr")).parts
    (text,) = part.sentences
    assert text.startswith("no difference shown in any of 6 pairs on this split (5 seeds, smallest adjusted p = ")
    values = {**values, 0.5: dict.fromkeys(range(5), 0.999), 0.6: dict(enumerate(0.9 + 0.01 * stream.normal(size=5)))}
    (part,) = compared(write_grid(tmp_path / "h", values, "optimizer.lr")).parts
    assert all(" beats " in text for text in part.sentences[:5])
    few = {key: values[key] for key in list(values)[:3]}
    (part,) = compared(write_grid(tmp_path / "i", few, "optimizer.lr")).parts
    assert len(part.sentences) == 3  # few are told one by one


def test_only_runs_with_a_value(tmp_path):
    folder = crossed(tmp_path, {"nll": {"sgd": A, "adam": B}, "mse": {"sgd": B, "adam": B}})
    (part,) = compared(folder, "loss", where=["optimizer=sgd"]).parts
    assert by_label(part)["nll"][0].n_runs == 6
    with pytest.raises(RequestError, match=r"no run is left by --where lr=7; .*0\.05"):
        compared(folder, "loss", where=["lr=7"])


def test_a_damaged_trial_is_left_out_and_named(tmp_path):
    folder = write_grid(tmp_path / "g", {"mse": B, "nll": A})
    (folder / "3" / "result.json").write_text("{")
    (folder / "12").mkdir()
    found = compared(folder, "loss")
    assert any("3/result.json is damaged" in note for note in found.notes)
    assert "trial 12 of g left no result, being unfinished or deleted" in found.notes
    assert by_label(found.parts[0])["mse"][1].n == 5


def test_failed_runs_without_data_are_counted(tmp_path):
    folder = write_grid(tmp_path / "g", {"mse": B, "nll": A})
    write_run(folder / "20", result(status="failed", data=None))
    assert "1 run left out, on data for which there is no value" in compared(folder, "loss").notes


def test_nearly_different_runs_need_a_key(tmp_path):
    write_grid(tmp_path / "g", {0.01 * k: {0: 0.5} for k in range(30)}, "optimizer.lr")
    with pytest.raises(RequestError, match=r"nearly all different; .*--by optimizer\.lr"):
        compared(tmp_path / "g")


# What is written


def test_a_thousand_runs(tmp_path):
    stream = np.random.default_rng(0)
    values = {0.001 * k: dict(enumerate(0.9 + 0.01 * stream.normal(size=50))) for k in range(1, 21)}
    (part,) = compared(write_grid(tmp_path / "g", values, "optimizer.lr"), "lr").parts
    assert sum(group.n_runs for group in part.groups) == 1000
    assert len(part.differences) == 190
    assert not any(d.shown for d in part.differences)  # there is nothing to find


def test_results_of_the_real_json(tmp_path):
    """The fields that are read are those that training writes."""
    from phalanx.core.result import Metrics, TrialResult

    written = result()
    assert set(written["metrics"]) == set(Metrics.__dataclass_fields__) - {"further"}
    assert set(TrialResult.__dataclass_fields__) - {"history", "weights", "way", "notes", "classes"} <= set(
        json.loads(json.dumps(written))
    )


def test_pruned_runs_have_a_value_and_are_left_out(tmp_path):
    folder = write_grid(tmp_path / "g", {"mse": B, "nll": A})
    write_run(folder / "30", result(0.1, 7, status="pruned", test=0.1), config(7, loss="nll"))
    (part,) = compared(folder, "loss").parts
    assert sorted(by_label(part)["nll"][0].seeds) == [0, 1, 2, 3, 4, 5]
    assert "nll: of 7 runs 1 pruned, left out of its mean" in part.notes


def test_a_key_that_varies_by_itself_in_one_group_is_a_setting(tmp_path):
    number = 0
    for loss, optimizer, lr, value in [("nll", "sgd", 0.05, 0.9), ("nll", "adam", 0.01, 0.8), ("mse", "sgd", 0.05, 0.7),
                                       ("mse", "sgd", 0.1, 0.1), ("mse", "adam", 0.01, 0.6)]:  # fmt: skip
        for seed in range(3):
            cfg = config(seed, loss=loss, optimizer=optimizer, optimizer__lr=lr)
            write_run(tmp_path / str(number), result(value, seed, test=value), cfg)
            number += 1
    (part,) = compared(tmp_path, "loss").parts
    assert by_label(part)["mse"][0].seeds[0] == pytest.approx(65)
    assert any("3 runs left out, at values of" in note for note in part.notes)
