"""What is logged fits into MLflow's limits and holds no secrets."""

from __future__ import annotations

import json
import logging
import math
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.tracking_records import SECRET, by_key, history, record, run_folder, sweep_folder, synced, uploaded

from phalanx.tracking import TrackingSpec, limits
from phalanx.tracking.store import MlflowStore

pytest_plugins = ("support.tracking_store",)


@pytest.fixture
def log(store):
    """Logs a record to a store of its own and gives its run."""

    def call(record):
        own = MlflowStore(TrackingSpec(), "me", "train.py")
        own.log(record)
        return store.get_run(own.logged[record.key].run_id)

    return call


def test_long_odd_and_many_entries_are_stored(log):
    params = {f"p{i}": i for i in range(250)}
    params |= {"long": "x" * 7000, "k" * 300: "long name", "a+b": 1, "a*b": 2, "": "empty", "nul": "a\0b", "e": ""}
    tags = {f"t{i}": "x" * 9000 if i == 0 else str(i) for i in range(90)} | {"größe/été ": "ü\ud800"}
    run = log(record(params=params, tags=tags, metrics={"a+b": 1, "a|b": 2, **{f"m{i}": i for i in range(1200)}}))
    assert len(run.data.params) == len(params)
    assert len(run.data.params["long"]) == 6000
    assert run.data.params["long"].endswith("x…")
    assert run.data.params["k" * 249 + "_"] == "long name"
    assert (run.data.params["a_b"], run.data.params["a_b_2"]) == ("1", "2")
    assert len(run.data.tags["t0"]) == 8000
    assert run.data.tags["t89"] == "89"
    assert (run.data.metrics["a_b"], run.data.metrics["a_b_2"], run.data.metrics["m1199"]) == (1.0, 2.0, 1199.0)
    assert run.info.status == "FINISHED"


def test_numbers_that_no_chart_can_show_are_left_out(log, store):
    strange = {"val_loss": math.nan, "train_loss": math.inf, "test_loss": -math.inf, "val_accuracy": 0.1}
    rows = [*history(2), *history(3, val_loss=math.nan, train_loss=math.inf)[2:]]
    run = log(record(metrics=strange, history=rows, ending="diverged"))
    assert {name for name in run.data.metrics if "/" not in name} == {"val_accuracy"}
    assert [m.step for m in store.get_metric_history(run.info.run_id, "epoch/val_loss")] == [1, 2]
    assert [m.step for m in store.get_metric_history(run.info.run_id, "epoch/val_accuracy")] == [1, 2, 3]


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.text(max_size=300) | st.text("./a ", max_size=6), st.text(max_size=20), max_size=6))
def test_any_name_becomes_legal_and_stays_distinct(entries):
    from mlflow.utils.validation import _validate_param, _validate_tag

    found = limits.legal(entries, 10)
    assert len(found) == len(entries)
    for name, value in found.items():
        _validate_param(name, value)
        _validate_tag(name, value)
        assert len(value) <= 10


many = st.integers(0, 250)


@settings(max_examples=60, deadline=None)
@given(n_metrics=st.integers(0, 2500), n_params=many, n_tags=many, length=st.integers(0, 6000))
@example(n_metrics=2500, n_params=250, n_tags=250, length=1)
@example(n_metrics=0, n_params=250, n_tags=250, length=6000)
def test_batches_hold_everything_within_the_limits(n_metrics, n_params, n_tags, length):
    def entries(count):
        return [SimpleNamespace(key=f"k{i}", value="ü" * length) for i in range(count)]

    given_entries = {"metrics": entries(n_metrics), "params": entries(n_params), "tags": entries(n_tags)}
    found = list(limits.batches(given_entries))
    for kind, limit in (("metrics", 1000), ("params", 100), ("tags", 100)):
        assert [e for batch in found for e in batch[kind]] == given_entries[kind]
        assert all(len(batch[kind]) <= limit for batch in found)
    for batch in found:
        assert 1 <= sum(map(len, batch.values())) <= 1000
        assert len(json.dumps([vars(e) for kind in ("params", "tags") for e in batch[kind]])) < 900_000


@pytest.mark.parametrize("scheme", ["http", "postgresql", "mysql", "gopher", "sqlite"])
def test_no_password_in_any_message(folder, closed_port, caplog, capfd, scheme):
    said = []
    uri = f"{scheme}://me:{SECRET}@127.0.0.1:{closed_port}/db"
    _, left = synced(run_folder(folder / "run"), uri=uri, report=lambda *message: said.append(message))
    assert left
    assert "down" in dict(said)
    spoken = str(said) + "".join(logging.Formatter().format(r) for r in caplog.records) + "".join(capfd.readouterr())
    assert SECRET not in spoken
    assert "s3cret" not in spoken


def test_no_password_in_the_store(store, folder):
    literal = f"postgresql://me:{SECRET}@host/db"
    root = sweep_folder(folder / f"s {literal.replace('/', '.')}", 1, error=literal)
    for name in (".hydra/config.yaml", "train.log"):
        (root / "0" / name).write_text(f"uri: {literal}\n")
    (root / "trials.csv").write_text(literal)
    with open(root / "0" / "config.yaml", "a") as file:
        file.write(f"odd: '{literal}'\n")
    synced(root)
    files = uploaded(store, by_key(store)["0"].info.run_id)
    assert files["hydra/config.yaml"].read_text() == "uri: postgresql://***@host/db\n"
    assert by_key(store)["0"].data.params["odd"] == "postgresql://***@host/db"
    kept = [path.read_bytes() for path in (folder / "mlruns").rglob("*") if path.is_file()]
    database = b"".join(path.read_bytes() for path in folder.glob("mlflow.db*"))
    assert not any(SECRET.encode() in text for text in [*kept, database])
    assert literal in (root / "0" / ".hydra" / "config.yaml").read_text()  # delivering changes no file of the run
