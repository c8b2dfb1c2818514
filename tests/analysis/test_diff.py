"""What differs between two runs, and on which samples they disagree, against SciPy and against each sample by itself."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_digits
from support.pairs import trained
from support.run_folders import config, result, write_grid, write_run

from phalanx.analysis.diff import diff_folders
from phalanx.analysis.diff.samples import mcnemar
from phalanx.analysis.diff.tables import samples_csv, verdict
from phalanx.core.errors import RequestError
from phalanx.runs.model_file import load_model
from phalanx.runs.tensor_file import read_tensors, write_tensors


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return trained(root / "a"), trained(root / "b", hidden=(6, 6), loss="mse")


@pytest.fixture
def copies(pair, tmp_path):
    return tuple(shutil.copytree(folder, tmp_path / folder.name) for folder in pair)


def rows(found, section):
    return {row.key: (row.a, row.b) for row in found.section(section)}


@pytest.mark.parametrize(("a", "b"), [(0, 0), (0, 1), (3, 3), (11, 2), (0, 5), (0, 6), (250, 180), (4000, 4200)])
def test_mcnemars_test_is_the_binomial_test_of_one_half(a, b):
    expected = stats.binomtest(a, a + b, 0.5).pvalue if a + b else 1.0
    assert mcnemar(a, b) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(b, a) == mcnemar(a, b)


def test_each_disagreement_is_what_both_models_say_of_that_row_of_the_source(pair):
    found = diff_folders(*pair).samples
    digits = load_digits()
    models = [load_model(folder) for folder in pair]
    p_a, p_b = (model.predict(digits.data) for model in models)
    assert found.split == "test"
    assert len(found.disagreements) > 20
    for d in found.disagreements:
        row = d.row - 1
        assert d.true == str(digits.target[row])
        assert (d.a, d.b) == (str(p_a[row].argmax()), str(p_b[row].argmax()))
        assert (d.p_a, d.p_b) == pytest.approx((p_a[row].max(), p_b[row].max()), abs=1e-6)
    confidences = [min(d.p_a, d.p_b) for d in found.disagreements]
    assert confidences == sorted(confidences, reverse=True)


def test_the_counts_are_those_of_the_results_and_of_the_disagreements(pair):
    found = diff_folders(*pair).samples
    accuracies = [json.loads((folder / "result.json").read_text())["metrics"]["test_accuracy"] for folder in pair]
    assert [n / found.n_samples for n in found.right] == pytest.approx(accuracies, abs=1e-12)
    alone = [sum(d.a == d.true for d in found.disagreements), sum(d.b == d.true for d in found.disagreements)]
    assert [found.only_a, found.only_b] == alone
    assert found.p == pytest.approx(stats.binomtest(alone[0], sum(alone), 0.5).pvalue)
    back = diff_folders(*reversed(pair)).samples
    assert (back.only_a, back.only_b, back.p) == (found.only_b, found.only_a, found.p)
    assert len(samples_csv(found).splitlines()) == len(found.disagreements) + 1


def test_the_verdict_names_the_better_one_only_where_the_test_does(pair):
    found = diff_folders(*pair).samples
    assert "no difference is shown" in verdict(replace(found, only_a=3, only_b=2, p=mcnemar(3, 2)))
    assert "B is better than A" in verdict(replace(found, only_a=3, only_b=20, p=mcnemar(3, 20)))
    assert "A is better than B" in verdict(replace(found, only_a=20, only_b=3, p=mcnemar(20, 3)))
    assert verdict(replace(found, only_a=0, only_b=0, p=1.0)).endswith("on the same ones")


def test_the_same_test_rows_are_found_behind_other_training_rows_and_other_digests(pair, tmp_path):
    other = trained(tmp_path / "c", n_train=200)
    found = diff_folders(pair[0], other)
    assert rows(found, "data")["digest"][0] != rows(found, "data")["digest"][1]
    assert found.samples is not None
    assert found.samples.n_samples == 360


def test_other_test_rows_are_not_compared(pair, tmp_path):
    found = diff_folders(pair[0], trained(tmp_path / "c", split_seed=1))
    assert found.samples is None
    assert "different test splits" in found.no_samples


def test_a_run_that_has_not_read_the_test_split_is_compared_on_the_validation_split(pair, tmp_path):
    found = diff_folders(pair[0], trained(tmp_path / "c", hidden=(7,), test=False)).samples
    assert (found.split, found.n_samples) == ("validation", 288)


def test_a_model_that_is_gone_and_data_that_changed_are_named(copies):
    (copies[0] / "model.safetensors").unlink()
    found = diff_folders(*copies)
    assert "this run kept no weights" in found.no_samples
    content = json.loads((copies[1] / "result.json").read_text())
    (copies[1] / "result.json").write_text(json.dumps({**content, "data_digest": "0" * 16}))
    (copies[1] / "model.safetensors").unlink()
    assert diff_folders(*copies).no_samples.count("this run kept no weights") == 2  # all faults at once


def test_data_that_changed_are_named(copies):
    content = json.loads((copies[1] / "result.json").read_text())
    (copies[1] / "result.json").write_text(json.dumps({**content, "data_digest": "0" * 16}))
    assert "have changed since it was trained" in diff_folders(*copies).no_samples


def test_a_network_of_nans_is_wrong_where_the_metrics_say_so(copies):
    about, weights = read_tensors(copies[0] / "model.safetensors")
    weights["layers.0.bias"][:] = float("nan")
    write_tensors(copies[0] / "model.safetensors", weights, about)
    found = diff_folders(*copies).samples
    assert all(np.isfinite([d.p_a, d.p_b]).all() for d in found.disagreements)


def test_only_keys_with_different_typed_values_are_told(tmp_path):
    values = {"optimizer__lr": 0.1, "trainer__clip_norm": 1, "trainer__tag": "1", "model__dropout": None}
    other = {
        "optimizer__lr": 0.1,
        "trainer__clip_norm": 1.0,
        "trainer__tag": 1,
        "model__dropout": "null",
        "loss__extra": [1, "a"],
    }
    write_run(tmp_path / "a", result(0.9), config(0, **values))
    write_run(tmp_path / "b", result(0.9, seed=1), config(1, **other))
    assert rows(diff_folders(tmp_path / "a", tmp_path / "b"), "configuration") == {
        "trainer.tag": ('"1"', "1"), "model.dropout": ("null", '"null"'), "loss.extra": ("–", "[1,a]"), "seed": ("0", "1"),
    }  # fmt: skip


def test_versions_commit_changes_and_metrics_are_told(tmp_path):
    git = {"commit": "a1", "dirty": True}
    write_run(tmp_path / "a", result(0.9, test=0.8, versions={"torch": "2.5"}, git=git))
    write_run(tmp_path / "b", result(0.95, test=None, versions={"torch": "2.6"}, git={**git, "commit": "b2"}))
    diff = "diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1 +1,2 @@\n-old\n+new\n+more\n"
    (tmp_path / "b" / "uncommitted.diff").write_text(diff)
    found = diff_folders(tmp_path / "a", tmp_path / "b")
    assert rows(found, "environment") == {"torch": ("2.5", "2.6")}
    code = rows(found, "code")
    assert code["commit"] == ("a1", "b2")
    assert code["uncommitted changes"][0] == "some, not kept"
    assert code["uncommitted changes"][1].startswith("+2 -1 lines in x.py")
    assert any(note.endswith("git diff a1 b2") for note in found.notes)
    metrics = {row.key: row for row in found.section("result")}
    assert metrics["val_accuracy"].change == pytest.approx(0.05)
    assert (metrics["test_accuracy"].a, metrics["test_accuracy"].b) == ("0.8", "-")
    assert metrics["test_accuracy"].change is None


def test_sweeps_differ_in_fixed_and_varied_settings_budgets_and_best_results(tmp_path):
    for name, options, n, space in (("a", ("mse", "nll"), 20, "x"), ("b", ("mse", "hinge"), 30, "y")):
        root = write_grid(tmp_path / name, {option: {0: 0.8, 1: 0.9 + n / 1000} for option in options})
        (root / "sweep.json").write_text(json.dumps({"search": True, "summary": {"status": "completed"}}))
        sweeper = {
            "n_trials": n,
            "study_name": name,
            "patience": None,
            "default_params": {"loss": space},
            "params": None,
        }
        del sweeper["patience" if name == "b" else "params"]  # null is the same as not asked for
        hydra = {"sweeper": sweeper, "overrides": {"task": [f"loss={','.join(options)}", "seed=0,1"]}}
        (root / "multirun.yaml").write_text(json.dumps({"hydra": hydra}))
    for folder in (tmp_path / "b").glob("[0-9]"):
        content = json.loads((folder / "config.yaml").read_text())
        content["optimizer"]["lr"] = 0.5
        (folder / "config.yaml").write_text(json.dumps(content))
    found = diff_folders(tmp_path / "a", tmp_path / "b")
    assert rows(found, "fixed settings") == {"optimizer.lr": ("0.01", "0.5")}
    assert rows(found, "varied settings") == {"loss.name": ("mse, nll", "hinge, mse")}
    assert rows(found, "search and budget") == {"sweeper.n_trials": ("20", "30")}
    assert rows(found, "search space") == {"loss": ("mse,nll", "mse,hinge"), "default_params.loss": ("x", "y")}
    best = {row.key: row for row in found.section("best result")}
    assert best["val_accuracy"].change == pytest.approx(0.01)
    assert [len(curve) for curve in found.curves] == [2, 2]
    assert any("phalanx diff" in note for note in found.notes)


def test_folders_that_cannot_be_compared_are_all_named(pair, tmp_path):
    write_grid(tmp_path / "s", {"mse": {0: 0.8}})
    (tmp_path / "s" / "sweep.json").write_text('{"search": false}')
    (tmp_path / "link").symlink_to(pair[0])
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestError, match="the same folder"):
        diff_folders(pair[0], tmp_path / "link")
    with pytest.raises(RequestError, match="is a sweep and"):
        diff_folders(pair[0], tmp_path / "s")
    with pytest.raises(RequestError, match=r"absent is not a folder(.|\n)*empty is not the folder of a finished run"):
        diff_folders(tmp_path / "absent", tmp_path / "empty")
