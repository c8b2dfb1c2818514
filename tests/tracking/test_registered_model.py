"""The registered model: what it takes and refuses, from Python and over HTTP, and what the registry says of it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from types import SimpleNamespace

import importlib_metadata
import numpy as np
import pandas as pd
import pytest
import torch
from support.mlflow_servers import Server
from support.saved_models import CLASSES, N_FEATURES, SHAPE, SPEC, save_run
from support.tracking_records import environment, run_folder, sweep_folder, without_variables

from phalanx.core.errors import DataError
from phalanx.data import load_dataset
from phalanx.data.csv_table import Csv
from phalanx.runs.layout import RunPaths
from phalanx.runs.model_file import load_model, save_model
from phalanx.runs.run_folder import write_example
from phalanx.tracking import TrackingSpec
from phalanx.tracking.model_files import REQUIREMENTS, SERVED, prepare_process, save_model_files, write_archive
from phalanx.tracking.model_registry import model_name
from phalanx.tracking.sync import FolderSync
from phalanx.training.loop import train_trial
from phalanx.training.spec import TrialSpec

pytestmark = pytest.mark.slow  # the store and the models take seconds

IMAGES = np.random.default_rng(0).integers(0, 256, (3, *SHAPE), dtype=np.uint8)
FLAT = IMAGES.reshape(3, -1)


def table_model(folder):
    """A model of a table with a column of numbers, one of codes with zeros in front, and one of words."""
    draw = np.random.default_rng(1)
    rows = [f"{draw.normal():.3f},{'A' if i == 5 else f'{i % 3:03d}'},{'' if i == 7 else 'red' if i % 2 else 'blue'},{'ab'[i % 2]}"
            for i in range(60)]  # fmt: skip
    (folder / "rows.csv").write_text("\n".join(["size,code,colour,kind", *rows]))
    data = Csv(path=str(folder / "rows.csv"), target="kind", missing="impute", categorical=("code",))
    spec = TrialSpec(data=data, model=SPEC.model, trainer=SPEC.trainer)
    dataset = load_dataset(spec.data)
    save_model(folder / "table.safetensors", spec, dataset, train_trial(spec, dataset))
    return folder / "table.safetensors"


def registered(root, name, model, example, tracking=None, **result):
    sweep = sweep_folder(root / name, 1)
    run_folder(sweep / "0", **result)
    shutil.copy(model, sweep / "0" / "model.safetensors")
    (sweep / "0" / "input_example.json").write_text(json.dumps(example))
    said = []
    sync = FolderSync(sweep, tracking or TrackingSpec(experiment=name), lambda *message: said.append(message))
    assert sync.finish("completed") == 0
    sync.close()
    assert [value for kind, value in said if kind == "warning"] == []
    return dict(said)["model"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A store in which a model of images and one of a table are registered."""
    root = tmp_path_factory.mktemp("registry")
    with contextlib.chdir(root), pytest.MonkeyPatch.context() as patch:
        without_variables(patch)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
        array = save_run(root / "array", largest=(255.0,) * N_FEATURES) / "model.safetensors"
        table = table_model(root)
        example = {"columns": ["size", "code", "colour"], "data": [[0.5, "001", "red"], [1.5, "002", "blue"]]}
        yield SimpleNamespace(
            root=root, array=load_model(array), table=load_model(table), array_file=array,
            array_uri=registered(root, "images", array, {"data": FLAT.tolist()}),
            table_uri=registered(root, "tables", table, example),
        )  # fmt: skip


@pytest.fixture(scope="module")
def loaded(site):
    from mlflow.pyfunc import load_model as load

    return SimpleNamespace(array=load(site.array_uri), table=load(site.table_uri))


OTHER_UNITS = "give them in the units of the training data"
FORMS = {
    "float32": FLAT.astype(np.float32),
    "float16": FLAT.astype(np.float16),
    "int64": FLAT.astype(np.int64),
    "uint8": FLAT,
    "images": IMAGES,
    "images with a channel": IMAGES[:, None],
    "tensor": torch.from_numpy(FLAT),
    "tensor of images that wants gradients": torch.from_numpy(IMAGES).float().requires_grad_(),
    "bfloat16": torch.from_numpy(FLAT).to(torch.bfloat16),
    "lists": FLAT.tolist(),
    "lists of lists": IMAGES.tolist(),
    "table": pd.DataFrame(FLAT),
    "table with the class": pd.DataFrame(FLAT).assign(Label="cat"),
    "table of texts": pd.DataFrame(FLAT.astype(str)),
}


def test_rows_in_other_units_are_noted_in_the_log(loaded, caplog):
    loaded.array.predict(FLAT)
    assert caplog.messages == []
    for rows in (FLAT / 255, FLAT * 257.0):
        caplog.clear()
        loaded.array.predict(rows)
        (message,) = caplog.messages
        assert OTHER_UNITS in message


@pytest.mark.parametrize("form", FORMS)
def test_rows_of_an_array_model_may_have_any_form(site, loaded, form):
    found = loaded.array.predict(FORMS[form])
    wanted = site.array.predict(FLAT.astype(np.float64))
    assert found["predicted"].tolist() == [CLASSES[c] for c in wanted.argmax(1)]
    np.testing.assert_allclose(found.drop(columns="predicted"), wanted, rtol=1e-6)


def changed(value, row=1, column=4):
    rows = FLAT.astype(object).tolist()
    rows[row][column] = value
    return rows


BAD = {
    "null": (changed(None), "null in row 2, column 5"),
    "nan": (changed(float("nan")), "nan in row 2, column 5"),
    "infinite": (changed(float("1e400")), "inf in row 2, column 5"),
    "too large": (changed(1e300), "1e+300 in row 2, column 5"),
    "text": (changed("seven"), "text ('seven') in row 2, column 5"),
    "wrong width": (FLAT[:, 1:].tolist(), "must have the shape (N, 20) or (N, 4, 5), got (3, 19)"),
    "one row": (FLAT[0].tolist(), "got (20,)"),
    "no row": (np.zeros((0, N_FEATURES)), "has no rows"),
    "images on their side": (IMAGES.transpose(0, 2, 1), "got (3, 5, 4)"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_rows_are_refused_from_python(site, loaded, case):
    from mlflow.exceptions import MlflowException

    rows, said = BAD[case]
    with pytest.raises(DataError) as ours:
        site.array.predict(rows)
    with pytest.raises(MlflowException) as served:
        loaded.array.predict(rows)
    assert said in str(ours.value)
    assert (served.value.message, served.value.get_http_status_code()) == (str(ours.value), 400)


def test_rows_of_two_lengths_are_refused_by_row(site):
    with pytest.raises(DataError, match="got 20 numbers in row 1, 19 in row 3"):
        site.array.predict([*FLAT[:2].tolist(), FLAT[2, 1:].tolist()])


TABLE = pd.DataFrame({"size": [1.0, 2.0], "code": ["001", "002"], "colour": ["red", "blue"]})
TABLES = {
    "other order": TABLE[["colour", "size", "code"]].assign(more=1),
    "whole numbers": TABLE.assign(size=[1, 2]),
    "numbers as text": TABLE.assign(size=["1", "2.0"]),
    "codes as numbers": TABLE.assign(code=[1, 2]),
    "codes as decimals": TABLE.assign(code=[1.0, 2.0]),
    "records": TABLE.to_dict("records"),
    "columns": TABLE.to_dict("list"),
}


@pytest.mark.parametrize("form", TABLES)
def test_rows_of_a_table_model_may_have_any_form(site, loaded, form):
    wanted = site.table.predict(TABLE)
    np.testing.assert_allclose(loaded.table.predict(TABLES[form]).drop(columns="predicted"), wanted, rtol=1e-6)


def test_an_absent_column_is_one_without_values(site, loaded):
    wanted = site.table.predict(TABLE.assign(colour=None))
    found = loaded.table.predict(TABLE.drop(columns="colour"))
    np.testing.assert_allclose(found.drop(columns="predicted"), wanted, rtol=1e-6)
    with pytest.raises(DataError, match="lacks the columns 'size', 'code', 'colour'; it has other"):
        site.table.predict(pd.DataFrame({"other": [1]}))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (TABLE.assign(size=[1, "big"]), "column 'size' must hold numbers, got text ('big'), in row 2"),
        (TABLE.assign(size=[1, np.inf]), "column 'size' must hold numbers, got an infinite or too large number ('inf'), in row 2"),
        (FLAT, "rows must be a table with the columns size, code, colour"),
        ({"size": [1, 2], "code": ["001"], "colour": ["red"]}, "2 of 'size', 1 of 'code'"),
        (TABLE[:0], "has no rows"),
    ],
)  # fmt: skip
def test_bad_rows_of_a_table_are_refused(site, rows, said):
    with pytest.raises(DataError) as caught:
        site.table.predict(rows)
    assert said in str(caught.value)


@pytest.fixture(scope="module")
def whole_numbers(tmp_path_factory):
    """A table in which every column could be one of whole numbers, its model, and that as MLflow loads it."""
    from mlflow.models import Model
    from mlflow.pyfunc import load_model as load

    folder = tmp_path_factory.mktemp("whole")
    rows = [f"{i % 9},{2000 + i},{i % 3:02d},{i % 2}" for i in range(40)]
    (folder / "rows.csv").write_text("\n".join(["age,year,code,kind", *rows]))
    data = Csv(path=str(folder / "rows.csv"), target="kind", categorical=("code",))
    spec = TrialSpec(data=data, model=SPEC.model, trainer=SPEC.trainer)
    save_model(folder / "model.safetensors", spec, dataset := load_dataset(data), train_trial(spec, dataset))
    write_example(RunPaths(folder), data)
    save_model_files(Model(), RunPaths(folder), folder / "mlflow")
    own = load_model(folder / "model.safetensors")
    return SimpleNamespace(file=folder / "rows.csv", own=own, served=load(str(folder / "mlflow")))


def test_the_training_file_as_pandas_reads_it_is_predicted(whole_numbers):
    texts = pd.read_csv(whole_numbers.file, dtype=str)
    wanted = whole_numbers.own.predict(texts)
    frame = pd.read_csv(whole_numbers.file)
    assert {str(kind) for kind in frame.dtypes} == {"int64"}
    for rows in (frame, frame.convert_dtypes(), frame.astype("int32"), frame.astype(float), frame.to_dict("records"),
                 frame.to_dict("list"), frame.astype(object), frame.drop(columns="kind")):  # fmt: skip
        found = whole_numbers.served.predict(rows)
        np.testing.assert_array_equal(found.drop(columns="predicted").to_numpy(np.float32), wanted)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda frame: frame.drop(columns="year"), "the table lacks the columns 'year'; it has age, code, kind"),
        (lambda frame: frame.assign(age=["x", *frame.age[1:]]), "column 'age' must hold numbers, got text ('x'), in row 1"),
        (lambda frame: frame.assign(age=[*frame.age[1:], None]), "column 'age' has 1 missing values, the first in row 40"),
        (lambda frame: frame.assign(age=[10**400, *frame.age[1:]]), "got an infinite or too large number"),
        (lambda frame: frame.assign(age=[-(10**400), *frame.age[1:]]), "got an infinite or too large number"),
        (lambda frame: frame.to_numpy(), "rows must be a table with the columns age, year, code, got ndarray"),
        (lambda frame: {**frame.to_dict("list"), "age": np.ones((40, 1))}, "age' must hold numbers, got text ('[1.0]'), in row 1"),
        (lambda frame: None, "rows must be a table with the columns age, year, code, got NoneType"),
        (lambda frame: 3, "rows must be a table with the columns age, year, code, got int"),
    ],
)  # fmt: skip
def test_rows_that_do_not_fit_are_told_by_row_and_column(whole_numbers, change, said):
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException) as refused:
        whole_numbers.served.predict(change(pd.read_csv(whole_numbers.file)))
    assert said in refused.value.message
    assert (refused.value.error_code, refused.value.get_http_status_code()) == ("INVALID_PARAMETER_VALUE", 400)


def test_a_code_of_any_size_is_a_text(whole_numbers):
    rows = pd.DataFrame({"age": [1], "year": [2000], "code": [10**400]})
    assert len(whole_numbers.served.predict(rows)) == 1


# --- over HTTP


def ask(server, body, kind="application/json"):
    """Status, and the answer or the message."""
    content = (body if isinstance(body, str) else json.dumps(body)).encode()
    request = urllib.request.Request(f"{server.url}/invocations", content, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read(), parse_constant=pytest.fail)["predictions"]
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())["message"]


def csv_of(rows, **more):
    return pd.DataFrame(rows).to_csv(index=False, **more)


def test_an_array_model_over_http(site, monkeypatch):
    serve = ["models", "serve", "-m", "models:/images-shapes@best", "--env-manager", "local"]
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", f"sqlite:///{site.root}/mlflow.db")
    wanted = [CLASSES[c] for c in site.array.predict(FLAT).argmax(1)]
    good = {
        "inputs": ({"inputs": FLAT.tolist()}, "application/json"),
        "images": ({"inputs": IMAGES.tolist()}, "application/json"),
        "instances": ({"instances": FLAT.tolist()}, "application/json"),
        "split": ({"dataframe_split": {"data": FLAT.tolist()}}, "application/json"),
        "csv": (csv_of(FLAT), "text/csv"),
        "csv with names": (csv_of(FLAT, header=[f"p{i}" for i in range(N_FEATURES)]), "text/csv"),
    }
    with Server(site.root, *serve, health="/ping") as server:
        for name, (body, kind) in good.items():
            status, rows = ask(server, body, kind)
            assert (status, [row["predicted"] for row in rows]) == (200, wanted), name
        for case in ("null", "nan", "infinite", "too large", "text", "wrong width", "one row", "images on their side"):
            rows, said = BAD[case]
            body = json.dumps({"inputs": rows.tolist() if isinstance(rows, np.ndarray) else rows})
            status, text = ask(server, body.replace("Infinity", "1e400"))
            assert (status, said in text, "unexpected error" in text) == (400, True, False), (case, text)
        assert OTHER_UNITS not in (site.root / "server.log").read_text()
        assert ask(server, {"inputs": (FLAT / 255).tolist()})[0] == 200  # MLflow's answers have no place for a note
        assert OTHER_UNITS in (site.root / "server.log").read_text()
        status, text = ask(server, csv_of(changed(None)), "text/csv")
        assert (status, "nan in row 2, column '4'" in text) == (400, True), text
        status, text = ask(server, csv_of(FLAT, header=False), "text/csv")
        assert (status, "has no header" in text) == (400, True), text
        status, text = ask(server, {"inputs": [[1, 2], [1]]})
        assert status == 400
        assert "unexpected error" not in text


def test_a_table_model_over_http(site, monkeypatch):
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", f"sqlite:///{site.root}/mlflow.db")
    wanted = site.table.predict(TABLE)
    split = {"columns": list(TABLE), "data": TABLE.to_numpy().tolist()}
    good = {
        "split": ({"dataframe_split": split}, "application/json"),
        "records": ({"dataframe_records": TABLE.to_dict("records")}, "application/json"),
        "instances": ({"instances": TABLE.to_dict("records")}, "application/json"),
        "inputs": ({"inputs": TABLE.to_dict("list")}, "application/json"),
        "csv": (csv_of(TABLE.assign(size=[1, 2])), "text/csv"),
    }
    serve = ["models", "serve", "-m", site.table_uri, "--env-manager", "local"]
    with Server(site.root, *serve, health="/ping") as server:
        for name, (body, kind) in good.items():
            status, rows = ask(server, body, kind)
            assert status == 200, (name, rows)
            np.testing.assert_allclose([[row["p_a"], row["p_b"]] for row in rows], wanted, rtol=1e-6, err_msg=name)
        file = pd.read_csv(site.root / "rows.csv").assign(size=range(60))
        status, rows = ask(server, csv_of(file), "text/csv")
        assert (status, len(rows)) == (200, 60)
        for change, said in (
            ({"size": "big"}, "column 'size' must hold numbers, got text ('big'), in row 1"),
            ({"size": 10**400}, "column 'size' must hold numbers, got an infinite or too large number"),
            ({"size": True}, ""), ({"code": 10**400}, ""), ({"code": None}, ""), ({"size": [1]}, "got text ('[1]'), in row 1"),
        ):  # fmt: skip
            records = [{**TABLE.to_dict("records")[0], **change}]
            for body in ({"dataframe_records": records}, {"inputs": records}, {"instances": records}):
                status, text = ask(server, body)
                assert (status, said in str(text)) == (400 if said else 200, True), (body, text)
        status, text = ask(server, {"dataframe_records": [{"other": 1}]})
        assert (status, "lacks the columns 'size', 'code', 'colour'; it has other" in text) == (400, True), text
        records = TABLE.drop(columns="colour").to_dict("records")
        assert ask(server, {"dataframe_records": records})[0] == 200
        records[1]["size"] = "big"
        status, text = ask(server, {"dataframe_records": records})
        assert (status, "got text ('big'), in row 2" in text) == (400, True), text


# --- what it is made of


def test_it_is_loaded_from_its_own_archive_and_in_silence(site):
    """A process without Phalanx on its path; MLflow warned at each load that `predict` has no type hints."""
    script = f"""
import pathlib, sys, warnings
warnings.simplefilter("default")
sys.path = [path for path in sys.path if not pathlib.Path(path, "phalanx").is_dir()]
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
import mlflow, numpy as np
model = mlflow.pyfunc.load_model({site.array_uri!r})
model.predict(np.zeros((2, {N_FEATURES}), np.float32))
import phalanx
print(phalanx.__file__)
"""
    plain = {**environment(), "MLFLOW_TRACKING_URI": f"sqlite:///{site.root}/mlflow.db"}
    plain.pop("PYTHONPATH")
    done = subprocess.run([sys.executable, "-c", script], env=plain, capture_output=True, text=True, cwd=site.root)
    assert done.returncode == 0, done.stderr
    assert "phalanx.zip" in done.stdout
    assert "hint" not in done.stderr
    assert "WARNING" not in done.stderr


def test_the_archive_is_what_the_rules_of_import_allow(tmp_path):
    import zipfile

    write_archive(tmp_path / "phalanx.zip")
    names = zipfile.ZipFile(tmp_path / "phalanx.zip").namelist()
    assert {name.split("/")[1] for name in names} == set(SERVED)
    assert "phalanx/nn/models/mlp.py" in names
    assert all(name.endswith(".py") for name in names)


# --- what the registry says


def client():
    from mlflow import MlflowClient

    return MlflowClient()


def test_versions_have_a_description_and_the_best_one_an_alias(site):
    name = "images-shapes"
    better = {"objective": {"name": "val_accuracy", "value": 0.95, "direction": "maximize"}}
    worse = {"objective": {"name": "val_accuracy", "value": 0.5, "direction": "maximize"}}
    example = {"data": FLAT.tolist()}
    for folder, result, best in (("worse", worse, "1"), ("better", better, "3")):
        with contextlib.chdir(site.root):
            sweep = site.root / folder
            sweep.mkdir()
            shutil.move(_registered_folder(sweep, site.array_file, example, result), site.root / f"{folder} sweep")
            sync = FolderSync(site.root / f"{folder} sweep", TrackingSpec(experiment="images"))
            sync.finish("completed")
            sync.close()
        assert str(client().get_model_version_by_alias(name, "best").version) == best
    version = client().get_model_version(name, "3")
    assert "Trial 0 of the sweep better sweep, trained on shapes" in version.description
    assert "| val_accuracy | 0.9 |" in version.description
    assert "rows of 20 numbers (4 × 5 pixels)" in version.description
    assert "Classifier of cat" in client().get_registered_model(name).description
    about = client().get_registered_model("tables-csv").description
    assert "`size` (numbers), `code` (text), `colour` (text). A column may be absent" in about
    client().set_registered_model_alias(name, "best", "1")


@pytest.mark.parametrize("lost", ["create_model_version", "set_registered_model_alias", "set_tag"])
def test_a_registration_whose_answer_was_lost_is_completed(site, lost, monkeypatch):
    """A server that is far away may do what was asked, and its answer comes too late."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    real = getattr(MlflowClient, lost)
    monkeypatch.setattr("phalanx.tracking.sync.PAUSES_S", (0.0,))

    def answers_late(self, *arguments, **keys):
        monkeypatch.setattr(MlflowClient, lost, real)
        real(self, *arguments, **keys)
        raise MlflowException("read timed out")

    sweep = sweep_folder(site.root / f"late-{lost}", 1)
    run_folder(sweep / "0")
    shutil.copy(site.array_file, sweep / "0" / "model.safetensors")
    said = []
    sync = FolderSync(sweep, TrackingSpec(experiment=lost), lambda *message: said.append(message))
    sync.update()
    monkeypatch.setattr(MlflowClient, lost, answers_late)
    sync.register_best(0)
    sync.finish("completed")
    sync.finish("completed")
    sync.close()
    uri = f"models:/{lost}-shapes/1"
    assert [value for kind, value in said if kind == "model"] == ([] if lost == "set_tag" else [uri])
    assert str(client().get_model_version_by_alias(f"{lost}-shapes", "best").version) == "1"
    (parent,) = [run for run in client().search_runs([client().get_experiment_by_name(lost).experiment_id])
                 if "phalanx.model" in run.data.tags]  # fmt: skip
    assert parent.data.tags["phalanx.model"] == uri
    assert len(client().search_model_versions(f"name='{lost}-shapes'")) == 1


def _registered_folder(folder, model, example, result):
    sweep = sweep_folder(folder / "s", 1)
    run_folder(sweep / "0", **result)
    shutil.copy(model, sweep / "0" / "model.safetensors")
    (sweep / "0" / "input_example.json").write_text(json.dumps(example))
    return sweep


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({}, "e-digits"),
        ({"data.path": "tables/iris.csv", "data.target": "species"}, "e-iris-species"),
        ({"data.path": "tables/wine.parquet", "data.target": "a/b:c"}, "e-wine-a_b_c"),
        ({"data.path": "t/iris.csv", "data.title": "Iris: 2026", "data.target": "kind"}, "e-Iris_ 2026-kind"),
        ({"data.path": None}, "e-digits"),
    ],
)
def test_a_name_tells_tables_apart(params, name):
    assert model_name("e", "digits", params) == name


@pytest.mark.parametrize("variable", [None, "sqlite:///mine.db"])
def test_mlflows_default_store_is_afterwards_what_it_was(tmp_path, monkeypatch, variable):
    import mlflow

    without_variables(monkeypatch)
    monkeypatch.chdir(tmp_path)
    if variable:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", variable)
    default = mlflow.get_tracking_uri()
    store = f"sqlite:///{tmp_path}/other.db"
    model = save_run(tmp_path / "array") / "model.safetensors"
    assert registered(tmp_path, "images", model, {"data": FLAT.tolist()}, TrackingSpec(uri=store)).startswith(
        "models:/"
    )
    assert mlflow.get_tracking_uri() == default
    assert os.environ.get("MLFLOW_TRACKING_URI") == variable
    assert mlflow.MlflowClient(store).search_registered_models() != []


def test_what_mlflow_says_of_requirements_needs_no_list_of_all_installed_modules(site, tmp_path, monkeypatch):
    """The contract of `prepare_process`: MLflow makes that list by the function that is replaced there."""
    from mlflow.models import Model
    from mlflow.utils import requirements_utils as mlflow_requirements

    asked, said, real = [], [], importlib_metadata.packages_distributions
    monkeypatch.setattr(importlib_metadata, "packages_distributions", lambda: (asked.append(1), real())[1])
    monkeypatch.setattr(mlflow_requirements._logger, "warning", said.append)

    def outcome(name):
        monkeypatch.setattr(mlflow_requirements, "_MODULES_TO_PACKAGES", None)
        save_model_files(Model(), RunPaths(site.array_file.parent), tmp_path / name)
        assert said == []
        mlflow_requirements.warn_dependency_requirement_mismatches([f"{package}==0" for package in REQUIREMENTS])
        written = [(tmp_path / name / file).read_text() for file in ("requirements.txt", "conda.yaml")]
        return written, [said.pop()], len(asked)

    *with_list, n_asked = outcome("with")
    assert n_asked == 1
    prepare_process()
    assert outcome("without") == (*with_list, 1)
    assert all(package in with_list[1][0] for package in REQUIREMENTS)
