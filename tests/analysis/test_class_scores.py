"""Precision, recall, F1 and support of each class, against scikit-learn, from training to tables and pages."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support
from support.datasets import blobs
from support.run_folders import config, result, write_run

from phalanx import TrainerSpec, TrialSpec
from phalanx.analysis.class_scores import MOST_SHOWN, class_scores, class_table, mean_scores
from phalanx.analysis.compare import compare_runs, read_sources
from phalanx.analysis.compare.tables import class_table as compared
from phalanx.analysis.repeats import counted_repeats
from phalanx.cli.main import main
from phalanx.core.errors import RunFolderError
from phalanx.core.result import ClassCounts, TrialResult
from phalanx.report.build import write_report
from phalanx.runs.stored_run import StoredRun, read_stored_run
from phalanx.training.loop import train_trial


def counts_of(y_N, predicted_N, n_classes, split="test"):
    counted = [np.bincount(part, minlength=n_classes) for part in (y_N, predicted_N, y_N[y_N == predicted_N])]
    return ClassCounts(split, *(tuple(part.tolist()) for part in counted))


def stored(counts, names="abcdef", **more):
    """A result with these counts; `names` has a letter for each class."""
    data = {"name": "letters", "source": "letters", "n_train": 1, "n_val": 1, "n_test": 1, "n_features": 1,
            "n_classes": len(counts.true), "classes": list(names[: len(counts.true)])}  # fmt: skip
    content = {"split": counts.split, "true": counts.true, "predicted": counts.predicted, "hit": counts.hit}
    return {**result(**more), "classes": json.loads(json.dumps(content)), "data": data}


@pytest.mark.parametrize("seed", range(4))
def test_the_scores_are_those_of_scikit_learn(seed):
    random = np.random.default_rng(seed)
    y_N, predicted_N = random.choice(6, 40, p=[0.6, 0.2, 0.1, 0.1, 0, 0]), random.integers(0, 5, 40)
    counts = counts_of(y_N, predicted_N, 6)
    found = class_scores(StoredRun.from_json(stored(counts)), counts)
    columns = precision_recall_fscore_support(y_N, predicted_N, labels=range(6), zero_division=0)
    for name, precision, recall, f1, support in zip("abcdef", *columns, strict=True):
        score = found[name]
        ours = [score.precision or 0.0, score.recall or 0.0, score.f1 or 0.0, score.support]
        assert ours == pytest.approx([precision, recall, f1, support], abs=1e-12)
    assert (found["f"].precision, found["f"].recall, found["f"].f1) == (None, None, None)  # neither true nor predicted
    assert found["e"].recall is None
    assert found["e"].precision == 0


def test_training_counts_the_test_split_or_validation(tmp_path):
    data, spec = blobs(), TrialSpec(trainer=TrainerSpec(epochs=3))
    for test, split in ((True, "test"), (False, "val")):
        found = train_trial(spec, data, test=test)
        classes = found.classes
        assert classes is not None
        assert classes.split == split
        assert classes.true == tuple(getattr(data, split).class_counts(data.n_classes))
        assert sum(classes.hit) / sum(classes.true) == pytest.approx(found.metrics[f"{split}_accuracy"])
        recalls = np.array(classes.hit) / np.array(classes.true)
        assert recalls.mean() == pytest.approx(found.metrics[f"{split}_balanced_accuracy"])
        again = TrialResult.from_json(json.loads(json.dumps(found.to_json())), found.history, None)
        assert again.classes == classes


def test_counts_of_unequal_length_are_refused_by_name(tmp_path):
    content = stored(counts_of(np.array([0, 1]), np.array([0, 1]), 2))
    content["classes"]["hit"] = [1]
    folder = write_run(tmp_path / "0", content)
    with pytest.raises(RunFolderError, match="not of equal length"):
        read_stored_run(folder)


def test_seeds_have_the_mean_of_their_scores():
    one = counts_of(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0]), 2)
    other = counts_of(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), 2)
    record = StoredRun.from_json(stored(one))
    found = mean_scores([class_scores(record, counts) for counts in (one, other)])
    assert (found["b"].recall, found["b"].precision, found["b"].support) == (0.75, 1.0, 2)
    assert found["a"].precision == pytest.approx((2 / 3 + 1) / 2)


def test_of_many_classes_those_with_the_lowest_recall_are_shown():
    n = MOST_SHOWN + 10
    y_N = np.arange(n).repeat(2)
    predicted_N = np.where(y_N % 3 == 0, 0, y_N)
    names = [f"c{i}" for i in range(n)]
    counts = counts_of(y_N, predicted_N, n)
    content = stored(counts)
    content["data"]["classes"] = names
    table = class_table(StoredRun.from_json(content))
    assert len(table.rows) == MOST_SHOWN
    assert {f"c{i}" for i in range(3, n, 3)} <= set(table.rows)
    assert table.note == f"Of the test split: the {MOST_SHOWN} of {n} classes with the lowest recall."


@pytest.fixture
def folder(tmp_path):
    """Two settings with two seeds each; the second one finds the rare class."""
    y_N = np.array([0] * 8 + [1] * 2)
    for number, (weights, seed) in enumerate((w, s) for w in ("none", "balanced") for s in (0, 1)):
        predicted_N = np.zeros(10, int) if weights == "none" else np.array([0] * (7 + seed) + [1] * (3 - seed))
        content = stored(counts_of(y_N, predicted_N, 2), seed=seed, test=0.8)
        balanced = 0.5 + (weights != "none") / 2
        content["metrics"] |= {"val_balanced_accuracy": 0.5, "test_balanced_accuracy": balanced}
        content["objective"]["name"] = "val_balanced_accuracy"
        cfg = config(seed, loss__class_weights=weights)
        write_run(tmp_path / "sweep" / str(number), content, cfg, [f"loss.class_weights={weights}", f"seed={seed}"])
    return tmp_path / "sweep"


def test_compare_shows_each_class_in_each_group(folder, capsys):
    found = compare_runs(read_sources([str(folder)]).runs)
    assert found.measure.metric == "test_balanced_accuracy"  # the objective's, on the test split
    title, header, rows = compared(found.parts[0])
    assert title.endswith("each class, test split, means over runs")
    assert header == ["class", "group", "support", "precision", "recall", "F1"]
    assert rows[2:] == [
        ["b", "class_weights=balanced", "2", "0.8333", "1.0000", "0.9000"],
        ["b", "class_weights=none", "2", "0.0000", "0.0000", "0.0000"],
    ]
    assert main(["compare", str(folder), "--classes", "--markdown", str(folder / "t.md")]) == 0
    assert "0.8333" in capsys.readouterr().out
    assert "| b | class_weights=balanced | 2 | 0.8333 | 1.0000 |" in (folder / "t.md").read_text()
    assert main(["compare", str(folder)]) == 0
    assert "precision" not in capsys.readouterr().out


def test_reports_show_each_class(folder):
    page = write_report(folder / "2").read_text()
    assert [text in page for text in ("<td>b</td>", ">0.6667<", "Of the test split.")] == [True] * 3
    sweep = write_report(folder).read_text()
    assert "<h3>Each class, trial " in sweep
    assert "<th>test_balanced_accuracy</th>" in sweep


@pytest.mark.parametrize(
    ("places", "text"),
    [
        ([(0, None, None), (1, None, None)], "2 seeds"),
        ([(0, 0, None), (1, 1, None), (2, 2, None)], "3 splits"),
        ([(0, 0, fold) for fold in range(3)], "3 folds"),
        ([(seed, 0, fold) for seed in range(5) for fold in range(3)], "3 folds with 5 seeds each"),
    ],
)
def test_means_say_over_what_they_are(places, text):
    rows = [
        {"seed": seed, "status": "completed", "value": 0.9, "metrics": {}, "best_epoch": 1, "epochs": 1,
         **({} if split is None else {"split_seed": split}), **({} if fold is None else {"fold": fold})}
        for seed, split, fold in places
    ]  # fmt: skip
    record = StoredRun.from_json(result(repeats=rows))
    assert counted_repeats(record) == text
    assert class_table(record).note.endswith(f", means over {text}.")
