"""An emptied or damaged file of a folder is refused by its name, and never taken for "nothing there"."""

from __future__ import annotations

import pytest
from support.run_folders import result, stored, write_run

from phalanx.core.errors import RunFolderError, UnreadableFile
from phalanx.runs.config_file import read_values
from phalanx.runs.fencing import FencingToken
from phalanx.runs.layout import RunPaths
from phalanx.runs.metrics_csv import check_length, read_curve, read_metrics, read_seeds
from phalanx.runs.stored_run import read_mlflow_run_id, read_stored_run

HEAD = "epoch,train_loss,train_accuracy,train_likelihood,val_loss,val_accuracy,val_likelihood,lr,seconds\n"
JSON = ["", "{", "null", "[]", "{}", "\x00", "[" * 60_000]
YAML = ["", "# nothing\n", "null", "3", "a: [", "\x00", "- &a 1"]
TABLES = ["", "\n", "epoch\n1\n", HEAD + "1,2\n", HEAD + "x" + ",1" * 8 + "\n", HEAD + "1" + ",y" * 8 + "\n", HEAD.strip() + ",x\n"
          + "1" + ",1" * 9 + "\n", HEAD + "1" + ",1" * 9 + "\n", HEAD + '"' + "1" * 200_000]  # fmt: skip
READERS = {
    "result.json": (JSON, lambda paths: read_stored_run(paths.root)),
    "mlflow_run.json": ([*JSON, '{"run_id": 3}'], read_mlflow_run_id),
    ".attempt.json": ([*JSON, '{"attempt": "2"}'], FencingToken),
    "config.yaml": ([*YAML, "[a]", "{}", "1: 2"], lambda paths: read_values(paths.config_resolved)),
    ".hydra/overrides.yaml": ([*YAML, "a: 1", "[1]"], lambda paths: read_stored_run(paths.root)),
    "metrics.csv": (TABLES, lambda paths: read_metrics(paths.metrics)),
    "seeds.csv": (TABLES, lambda paths: read_seeds(paths.seeds)),
}
CASES = [(name, text, read) for name, (texts, read) in READERS.items() for text in texts]


@pytest.fixture
def paths(tmp_path):
    return RunPaths(write_run(tmp_path / "run", result(), overrides=["loss=mse"], curve=[0.5, 0.6]))


@pytest.mark.parametrize(("name", "text", "read"), CASES, ids=[f"{name} {text[:12]!r}" for name, text, _ in CASES])
def test_a_damaged_file_is_refused_by_its_name(paths, name, text, read):
    (paths.root / name).write_text(text)
    with pytest.raises(RunFolderError, match=f"{name} is (damaged|not a result of this version)") as caught:
        read(paths)
    assert len(str(caught.value)) < 1000


def test_a_file_that_is_not_there_is_nothing(paths):
    for name in ("metrics.csv", ".hydra/overrides.yaml"):
        (paths.root / name).unlink()
    assert read_metrics(paths.metrics) == ()
    assert read_seeds(paths.seeds) == {}
    assert read_stored_run(paths.root).overrides == {}
    assert FencingToken(paths).seen is None


def test_a_job_without_overrides_has_an_empty_list(paths):
    paths.overrides.write_text("[]\n")
    assert read_stored_run(paths.root).overrides == {}


@pytest.mark.parametrize("text", ["epoch\n", HEAD])
def test_a_curve_of_a_table_without_rows_is_empty(paths, text):
    paths.metrics.write_text(text)
    assert read_curve(paths, "val_accuracy") == ([], [])


@pytest.mark.parametrize("text", ["", "\xff", HEAD + '"' + "1" * 200_000])
def test_a_curve_of_a_damaged_table_is_refused_by_name(paths, text):
    paths.metrics.write_bytes(text.encode("latin-1"))
    with pytest.raises(UnreadableFile, match=r"metrics\.csv"):
        read_curve(paths, "val_accuracy")


def test_a_curve_that_lacks_epochs_is_refused_and_says_how_many(paths):
    whole = paths.metrics.read_text()
    said = r"metrics\.csv is damaged: it has 1 of the 2 epochs that its result\.json names"
    n_rows = read_stored_run(paths.root).n_rows
    reads = [lambda: read_metrics(paths.metrics, n_rows), lambda: read_curve(paths, "val_accuracy", n_rows),
             lambda: check_length(paths.metrics, n_rows)]  # fmt: skip
    for read in reads:
        paths.metrics.write_text(whole)
        read()
        paths.metrics.write_text("".join(whole.splitlines(keepends=True)[:-1]))
        with pytest.raises(UnreadableFile, match=said):
            read()
    paths.metrics.unlink()
    for read in reads:
        read()


def test_the_curve_of_a_point_on_several_splits_is_that_of_one_of_them():
    rows = [{"seed": s, "status": "completed", "value": 0.5, "metrics": {}, "best_epoch": 1, "epochs": 2 + s,
             "split_seed": s} for s in (1, 2)]  # fmt: skip
    assert stored(epochs=4, repeats=rows).n_rows == 3
    assert stored(epochs=4).n_rows == 4
