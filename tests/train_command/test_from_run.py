"""A run again: from its best_config.yaml, from MLflow's id, from its folder; and its model, served."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import urllib.request

import pytest
import torch
from support.mlflow_servers import Server
from support.places import ROOT
from support.run_folders import complete, result, write_run
from support.tracking_records import environment
from support.train_command import mlflow_run_id_of

from phalanx.core.errors import RequestError
from phalanx.runs.options import TrackingSpec
from phalanx.runs.tensor_file import write_tensors
from phalanx.tracking.sync import FolderSync

TRAIN = str(ROOT / "train.py")
# Odd sizes: rows of parameters that are not aligned, a last batch that is not full.
SWEEP = [
    "-m", "seed=3,4,5", "optimizer=adam", "optimizer.lr=0.003,0.001", "model.hidden=[33,17]", "trainer.epochs=3",
    "trainer.batch_size=29", "model.dropout=0.1", "hydra.sweep.dir=outputs/sweeps/odd",
]  # fmt: skip


def train(folder, *arguments, status=0):
    done = subprocess.run(
        [sys.executable, TRAIN, *arguments], cwd=folder, env=environment(), capture_output=True, text=True, timeout=170
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


def result_of(run):
    return json.loads((run / "result.json").read_text())


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with a tracked sweep of six trials; the sweep, and its best trial."""
    root = tmp_path_factory.mktemp("again")
    done = train(root, *SWEEP)
    assert "mlflow models serve -m models:/phalanx-digits/1" in done.stdout
    assert "mlflow: sqlite:///mlflow.db, experiment phalanx, run odd\n  mlflow ui --backend-store-uri" in done.stdout
    link = "http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning&amp;searchFilter="
    assert link in (root / "outputs" / "sweeps" / "odd" / "report.html").read_text()
    best = json.loads((root / "outputs" / "sweeps" / "odd" / "sweep.json").read_text())["summary"]["best"]
    return root, root / "outputs" / "sweeps" / "odd", root / "outputs" / "sweeps" / "odd" / str(best)


def same(one, two):
    """Weights to the byte, metrics to the last bit, and one digest."""
    assert (one / "model.safetensors").read_bytes() == (two / "model.safetensors").read_bytes()
    first, second = result_of(one), result_of(two)
    for key in ("metrics", "config_digest", "data_digest", "best_epoch", "seed"):
        assert first[key] == second[key]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["best_config", "run id", "run folder", "sweep folder"])
def test_the_best_trial_again_to_the_last_bit(site, way, tmp_path):
    root, sweep, best = site
    arguments = {
        "best_config": ["--config-path", str(sweep), "--config-name", "best_config"],
        "run id": [f"from_run={mlflow_run_id_of(best)}"],
        "run folder": [f"from_run={best}"],
        "sweep folder": [f"from_run={sweep}"],
    }[way]
    train(root, *arguments, "tracking.kind=none", f"hydra.run.dir={tmp_path}/again")
    same(best, tmp_path / "again")


@pytest.mark.slow
def test_overrides_go_on_top_and_a_group_replaces_what_the_run_had_in_it(site, tmp_path):
    root, _, best = site
    train(
        root, f"from_run={best}", "optimizer=sgd", "seed=11", "tracking=none", f"hydra.run.dir={tmp_path}/a",
    )  # fmt: skip
    text = (tmp_path / "a" / "config.yaml").read_text()
    for line in ("  name: sgd\n", "  - 33\n", "  batch_size: 29\n", "seed: 11\n", "  lr: 0.05\n"):
        assert line in text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["from_run=" + "0" * 32], "has no run '" + "0" * 32),
        (["from_run=nonsense"], "32 hexadecimal digits"),
        (["from_run=outputs"], "neither a run's config.yaml nor a sweep's best_config.yaml"),
        (["from_run=a", "from_run=b"], "can be given once"),
        (["from_run=" + "0" * 32, "tracking.uri=sqlite:///gone.db"], "no database gone.db"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
@pytest.mark.slow
def test_a_run_that_is_not_there_is_a_wrong_request(site, given, said):
    done = train(site[0], *given, status=2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def expanded_in(folder, monkeypatch, *arguments):
    from hydra_plugins.phalanx._from_run import expanded

    monkeypatch.chdir(folder)
    return expanded(["from_run=run", *arguments], ROOT / "conf")


@pytest.mark.parametrize("name", ["config.yaml", "best_config.yaml"])
@pytest.mark.parametrize(("text", "said"), [
    ("", "is damaged: it holds no keys"), ("# nothing\n", "is damaged: it holds no keys"),
    ("{}", "is damaged: it holds no keys"), ("null", "is damaged: it holds no keys"), ("seed", "it holds no keys"),
    ("a: [", "is damaged"), ("[" * 60_000, "is damaged"), ("1: 2", "its keys must be text, got 1"),
    ("tracking: {uri: 'http://h'}\nhydra: {run: {dir: x}}", "is damaged: it lacks data, model, loss, optimizer"),
    (complete("{}").partition(', "seed"')[0] + "}", "is damaged: it lacks objective, seed, which"),  # cut off
    (complete("model: null"), "is damaged: it lacks model, which"),
    (complete("data: {path: '${oc.env:OWN}'}"), "data.path='.*' is an interpolation, which is not .* type data.path="),
    (complete("loss: {name: nll, x: {y: ['${now:%Y}']}}\nseed: '${oc.env:OWN}'"), "loss.x='.*\n.*seed='.*' is an interp"),
])  # fmt: skip
def test_a_configuration_that_is_damaged_or_more_than_values_is_refused(name, text, said, tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).write_text(text)
    monkeypatch.setenv("OWN", "SECRET")
    with pytest.raises(RequestError, match=f"(?s)run/{name}.*{said}") as caught:
        expanded_in(tmp_path, monkeypatch)
    assert "SECRET" not in str(caught.value)


def test_a_value_that_is_given_takes_the_place_of_one_that_is_refused(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    text = "data: {path: '${oc.env:OWN}'}\nseed: 3\ntracking: {uri: '${oc.env:OWN}'}\nhydra: {run: {dir: '${now:}'}}\n"
    (tmp_path / "run" / "config.yaml").write_text(complete(text))
    assert expanded_in(tmp_path, monkeypatch, "data.path=mine") == ["seed=3", "data.path=mine"]


def test_what_else_is_damaged_is_named_and_the_configuration_taken(tmp_path, monkeypatch, capsys):
    run = write_run(tmp_path / "run", result(), curve=[0.5, 0.6])
    (run / "config.yaml").write_text(complete("seed: 3"))
    about = {"format": 1}
    write_tensors(run / "model.safetensors", {"layers.0.bias": torch.zeros(3)}, about)
    assert expanded_in(tmp_path, monkeypatch) == ["seed=3"]
    assert capsys.readouterr().err == ""
    model = run / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-4] + b"\0\0\0\1")
    (run / "metrics.csv").write_text("epoch\n1\n")
    assert expanded_in(tmp_path, monkeypatch) == ["seed=3"]
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("run/metrics.csv is damaged: it has 1 of the 2 epochs")
    assert said[1].startswith("run/model.safetensors is damaged: its check sum is not the one that was written")
    assert all(line.endswith("; from_run takes the configuration alone") for line in said)
    (run / "result.json").write_text("[]")
    model.unlink()
    assert expanded_in(tmp_path, monkeypatch) == ["seed=3"]
    assert capsys.readouterr().err.startswith("run/result.json is not a result")


def test_a_group_is_chosen_by_a_name_and_not_by_a_path(tmp_path, monkeypatch):
    """A path would have Hydra compose a file of the folder."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "odd.yaml").write_text("name: digits\n")
    path = os.path.relpath(tmp_path / "run" / "odd", ROOT / "conf" / "data")
    (tmp_path / "run" / "config.yaml").write_text(complete(f"data: {{name: '{path}'}}\n"))
    assert expanded_in(tmp_path, monkeypatch) == [f"data.name='{path}'"]  # which no data set has


@pytest.mark.parametrize(
    "value", ["a b", r"C:\table.csv", "it's", "\\", "${oc.env:HOME}", ["\\s", None, True, 0.1, {"k": "v"}]]
)
def test_a_value_comes_back_from_the_command_line_as_it_was(value):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from hydra_plugins.phalanx._overrides import typed

    assert OverridesParser.create().parse_override(f"key={typed(value)}").value() == value


@pytest.mark.slow
def test_the_served_model_says_what_phalanx_predict_says(site, monkeypatch):
    root, _, best = site
    with open(best / "input_example.json") as file:
        rows = json.load(file)["data"]
    with open(root / "rows.csv", "w", newline="") as file:
        csv.writer(file).writerows([[f"pixel{i}" for i in range(len(rows[0]))], *rows])
    command = [sys.executable, "-m", "phalanx", "predict", str(best), "rows.csv", "--format", "csv"]
    done = subprocess.run(command, cwd=root, env=environment(), capture_output=True, text=True, check=True)
    wanted = list(csv.DictReader(done.stdout.splitlines()))
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "sqlite:///mlflow.db")
    serve = ["models", "serve", "-m", "models:/phalanx-digits/1", "--env-manager", "local"]
    with Server(root, *serve, health="/ping") as server:
        request = urllib.request.Request(
            f"{server.url}/invocations", json.dumps({"inputs": rows}).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = json.load(answer)["predictions"]
    assert [row["predicted"] for row in found] == [row["predicted"] for row in wanted]
    for one, two in zip(found, wanted, strict=True):
        for name in (key for key in two if key.startswith("p_")):
            assert one[name] == pytest.approx(float(two[name]), rel=1e-6)


@pytest.mark.slow
def test_the_registered_model_has_a_signature_an_example_and_one_version(site, monkeypatch):
    from mlflow import MlflowClient
    from mlflow.models import get_model_info

    root, sweep, best = site
    monkeypatch.chdir(root)
    uri = f"sqlite:///{root}/mlflow.db"  # MLflow keeps the engine of a URL: a relative one may be another test's
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    client = MlflowClient(uri)
    sync = FolderSync(sweep, TrackingSpec())
    sync.finish("completed")
    sync.close()
    (version,) = client.search_model_versions("name='phalanx-digits'")
    assert version.run_id == mlflow_run_id_of(best)
    assert version.tags["phalanx.trial"] == best.name
    info = get_model_info("models:/phalanx-digits/1")
    assert info.signature.inputs is None  # the model checks its rows itself, and takes more than MLflow would
    assert info.signature.outputs.input_names() == ["predicted", *(f"p_{n}" for n in range(10))]
    assert info.saved_input_example_info is not None


@pytest.mark.slow
def test_a_single_run_is_registered_if_asked_and_a_table_keeps_its_columns(tmp_path, monkeypatch):
    from mlflow.models import get_model_info

    table = "size,colour,kind\n" + "".join(
        f"{i},{'red' if i % 3 else 'blue'},{'a' if i % 2 else 'b'}\n" for i in range(90)
    )
    (tmp_path / "rows.csv").write_text(table)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    train(
        tmp_path, "data=csv", "data.path=rows.csv", "data.target=kind", "trainer.epochs=1", "tracking.register=all",
        f"tracking.uri={uri}", "tracking.experiment=my tables: a/b",
    )  # fmt: skip
    from mlflow import MlflowClient

    (version,) = MlflowClient(uri).search_model_versions()
    assert version.name == "my tables_ a_b-rows-kind"
    assert "`size` (numbers), `colour` (text)" in version.description
    info = get_model_info(f"models:/{version.name}/1")
    assert info.signature.outputs.input_names() == ["predicted", "p_a", "p_b"]
