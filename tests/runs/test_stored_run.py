"""`result.json` as one record: what is read, what is refused, and who reads it."""

from __future__ import annotations

import ast
import json

import pytest
from support.places import ROOT
from support.run_folders import result, write_run

from hydra_plugins.phalanx._jobs import recorded
from phalanx.core.errors import RunFolderError
from phalanx.core.result import Objective, Status, Timing
from phalanx.runs.layout import RunPaths, SweepPaths
from phalanx.runs.provenance import GitState
from phalanx.runs.run_folder import write_failure
from phalanx.runs.stored_run import (
    DataSummary,
    SeedResult,
    find_stored_run,
    read_mlflow_run_id,
    read_stored_run,
    write_mlflow_run_id,
    write_stored_run,
)  # fmt: skip
from phalanx.runs.sweep_folder import collect, reuse, trials_csv

SOURCE = ROOT / "src"
ONLY = "phalanx/runs/stored_run.py"


def json_of(folder):
    return json.loads((folder / "result.json").read_text())


# Who reads the file


def readers(text: str) -> list[int]:
    """The lines of a source text that parse JSON of a path whose last part is `result`, or a file `result.json`."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("read_json", "load", "loads"):
            given = "".join(ast.unparse(argument) for argument in node.args)
            if ".result" in given or "result.json" in given:
                found.append(node.lineno)
        elif isinstance(node, ast.Attribute) and ast.unparse(node).endswith(".result.read_text"):
            found.append(node.lineno)
    return found


def test_one_module_reads_result_json():
    texts = {path.relative_to(SOURCE).as_posix(): path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py")}
    assert {name: len(readers(text)) for name, text in texts.items() if readers(text)} == {ONLY: 1}


@pytest.mark.parametrize(
    "text",
    [
        "stored = read_json(paths.result)",
        "stored = files.read_json(self.paths.final(3).result)",
        "def later():\n    return json.loads(paths.result.read_text())",
        "json.load(open(folder / 'result.json'))",
        "text = place.paths.result.read_text(encoding='utf-8')",
    ],
)
def test_a_second_reader_would_be_seen(text):
    assert readers(text)


# What it says


def full():
    """What a trial of several seeds and objectives leaves."""
    objective = {"name": "val_accuracy", "value": 0.9, "direction": "maximize"}
    row = {"seed": 7, "status": "completed", "value": 0.9, "metrics": {"val_accuracy": 0.9, "test_accuracy": None},
           "best_epoch": 1, "epochs": 3, "error": None}  # fmt: skip
    data = {"name": "digits", "source": "digits", "n_train": 1149, "n_val": 288, "n_test": 360, "n_features": 64,
            "n_classes": 10, "official_test": False}  # fmt: skip
    content = result(
        timing={"started": 1.5, "ended": 2.5, "cohort": "ab"}, aggregate="mean", repeats=[row, {**row, "seed": 8}],
        versions={"torch": "2.10", "mlflow": None}, git={"commit": "abc", "dirty": True}, same_as=4,
        objectives=[objective, {"name": "n_parameters", "value": 1234, "direction": "minimize"}],
    )  # fmt: skip
    del content["mlflow_run_id"]
    return {**content, "data": data}


def test_every_key_becomes_a_typed_field(tmp_path):
    folder = write_run(tmp_path / "3", full(), overrides=["+optimizer.lr=0.1", "loss=mse", "~x"])
    found = read_stored_run(folder)
    assert (found.status, found.number, found.folder, found.same_as) == (Status.COMPLETED, 3, folder, 4)
    assert found.objectives == (found.objective, Objective("n_parameters", 1234, "minimize"))
    assert (found.value, found.return_value, found.ending) == (0.9, (0.9, 1234), "completed")
    assert found.overrides == {"optimizer.lr": "0.1", "loss": "mse"}
    assert found.timing == Timing(1.5, 2.5, "ab")
    metrics = {"val_accuracy": 0.9, "test_accuracy": None}
    assert found.repeats == tuple(SeedResult(s, Status.COMPLETED, 0.9, metrics, 1, 3) for s in (7, 8))
    assert found.data == DataSummary("digits", "digits", 1149, 288, 360, 64, 10, False)
    assert found.git == GitState("abc", True)
    assert found.written_ns == (folder / "result.json").stat().st_mtime_ns


def test_the_overrides_are_those_of_the_result_and_without_these_those_of_hydra(tmp_path):
    given = ["optimizer.lr=0.1", "+model.new=[1,2]", "++seed=3", "~model.dropout", "~trainer.patience=null", "seed=4"]
    folder = write_run(tmp_path / "3", result(overrides=given), overrides=["loss=mse"])
    found = read_stored_run(folder)
    assert found.job_overrides == tuple(given)
    assert found.overrides == {"optimizer.lr": "0.1", "model.new": "[1,2]", "seed": "4"}
    assert found.to_json()["overrides"] == tuple(given)
    (folder / ".hydra" / "overrides.yaml").write_text("[")  # is not looked at
    assert read_stored_run(folder).overrides == found.overrides
    earlier = read_stored_run(write_run(tmp_path / "4", result(), overrides=["loss=mse", "~a=1"]))
    assert (earlier.overrides, earlier.job_overrides) == ({"loss": "mse"}, None)
    assert read_stored_run(write_run(tmp_path / "5", result(overrides=[]), overrides=["loss=mse"])).overrides == {}


@pytest.mark.parametrize(
    "content",
    [full(), result(overrides=["~x", "y=1"]), result(status="diverged"), result(status="failed", failure="crash")],
)
def test_what_is_read_is_written_again_as_it_was(tmp_path, content):
    content = {key: value for key, value in content.items() if key != "mlflow_run_id"}
    folder = write_run(tmp_path / "0", content)
    empty = {"data": None, "versions": None, "git": None}
    write_stored_run(RunPaths(folder), read_stored_run(folder))
    assert json_of(folder) == {**empty, **content}


def test_a_failure_before_the_configuration_was_read_has_no_objective(tmp_path):
    write_failure(RunPaths(tmp_path / "0"), "ValueError: no", seed=3)
    found, content = read_stored_run(tmp_path / "0"), json_of(tmp_path / "0")
    assert (found.value, found.objective.name, found.seed, found.epochs) == (None, "", 3, 0)
    assert content["objective"] == {"name": None, "value": None, "direction": None}
    assert (content["objectives"], content["failure"], content["error"]) == ([], None, "ValueError: no")
    assert found.to_json() == content


def test_a_run_that_was_stopped_is_told_from_one_that_failed(tmp_path):
    for name, failure in (("0", "interrupted"), ("1", "crash")):
        write_run(tmp_path / name, result(status="failed", failure=failure))
    assert [trial.ending for trial in collect(SweepPaths(tmp_path))] == ["interrupted", "failed"]


# What is refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "result.json is damaged"),
        ("[]", "is not a result of this version of Phalanx: it lacks"),
        ('{"status": 3}', "is not a result of this version of Phalanx: it lacks ['objective', 'metrics'"),
        (json.dumps(result(status="odd")), "is not a result of this version of Phalanx: ValueError: 'odd'"),
        (json.dumps({**result(), "objective": {}}), "is not a result of this version of Phalanx: KeyError: 'name'"),
        (json.dumps({**result(), "metrics": 3}), "is not a result of this version of Phalanx: TypeError"),
        (json.dumps({**result(), "repeats": [3]}), "is not a result of this version of Phalanx: TypeError"),
        (
            json.dumps({**result(), "overrides": [3]}),
            "is not a result of this version of Phalanx: ValueError: overrides",
        ),
        (
            json.dumps({**result(), "overrides": "a=1"}),
            "is not a result of this version of Phalanx: ValueError: overrides",
        ),
        (json.dumps({**result(), "git": {"odd": 1}}), "is not a result of this version of Phalanx: TypeError"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, text, message):
    folder = write_run(tmp_path / "0", result())
    (folder / "result.json").write_text(text)
    with pytest.raises(RunFolderError) as caught:
        read_stored_run(folder)
    assert message in str(caught.value)
    assert str(folder / "result.json") in str(caught.value)


def test_overrides_that_are_no_yaml_are_named(tmp_path):
    folder = write_run(tmp_path / "0", result())
    (folder / ".hydra" / "overrides.yaml").write_text("[")
    with pytest.raises(RunFolderError, match=r"overrides\.yaml is damaged"):
        read_stored_run(folder)


def test_no_result_is_none(tmp_path):
    assert find_stored_run(tmp_path) is find_stored_run(tmp_path / "absent") is None


# The id in MLflow


def test_the_id_in_mlflow_stands_beside_a_result_that_stays_as_it_is(tmp_path):
    folder = write_run(tmp_path / "0", full())
    before = (folder / "result.json").read_bytes(), (folder / "result.json").stat().st_mtime_ns
    write_mlflow_run_id(RunPaths(folder), "c0ffee")
    assert ((folder / "result.json").read_bytes(), (folder / "result.json").stat().st_mtime_ns) == before
    assert json.loads((folder / "mlflow_run.json").read_text()) == {"run_id": "c0ffee"}
    assert read_stored_run(folder).mlflow_run_id == read_mlflow_run_id(RunPaths(folder)) == "c0ffee"
    assert trials_csv([read_stored_run(folder)]).splitlines()[1].count("c0ffee") == 1


def test_a_folder_that_was_written_before_has_its_id_in_the_result(tmp_path):
    folder = write_run(tmp_path / "0", {**full(), "mlflow_run_id": "0ld"})
    assert read_stored_run(folder).mlflow_run_id == read_mlflow_run_id(RunPaths(folder)) == "0ld"
    assert "mlflow_run_id" not in read_stored_run(folder).to_json()
    write_mlflow_run_id(RunPaths(folder), "new")
    assert read_stored_run(folder).mlflow_run_id == "new"


def test_a_new_result_and_a_copy_have_no_id_yet(tmp_path):
    first = write_run(tmp_path / "0", full())
    write_mlflow_run_id(RunPaths(first), "c0ffee")
    reuse(SweepPaths(tmp_path), 1, 0)
    copy = read_stored_run(tmp_path / "1")
    assert (copy.mlflow_run_id, copy.same_as, copy.value) == (None, 0, 0.9)
    write_stored_run(RunPaths(first), copy)
    assert read_stored_run(first).mlflow_run_id is None


def test_a_damaged_result_is_named_and_no_copy_of_it_is_made(tmp_path, caplog):
    first = write_run(tmp_path / "0", full())
    (first / "result.json").write_text("{")
    reuse(SweepPaths(tmp_path), 1, 0)
    assert not (tmp_path / "1").exists()
    assert f"not used: {first / 'result.json'} is damaged" in caplog.text
    assert recorded(RunPaths(first)) is None  # so its search evaluates it again
    assert caplog.text.count("not used") == 2
