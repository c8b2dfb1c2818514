"""What is logged fits into MLflow's limits and holds no secrets."""

from __future__ import annotations

import itertools
import json
import logging
import math
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tracking_records import SECRET, fill, history, record, uploaded, warnings_of

from phalanx.result import Status
from phalanx.tracking import TrackingSpec, content, tracker

pytest_plugins = ("tracking_store",)


def test_long_odd_and_many_entries_are_stored(store):
    params = {f"p{i}": i for i in range(250)}
    params |= {"long": "x" * 7000, "k" * 300: "long name", "a+b": 1, "a*b": 2, "": "empty", "nul": "a\0b", "e": ""}
    tags = {f"t{i}": "x" * 9000 if i == 0 else str(i) for i in range(120)} | {"größe/été ": "ü\ud800"}
    run_id = tracker(TrackingSpec()).log_run(
        record(params=params, tags=tags, metrics={"a+b": 1, "a|b": 2, **{f"m{i}": i for i in range(1200)}})
    )
    run = store.get_run(run_id)
    assert len(run.data.params) == len(params)
    assert len(run.data.params["long"]) == 6000
    assert run.data.params["long"].endswith("x…")
    assert run.data.params["k" * 249 + "_"] == "long name"
    assert (run.data.params["a_b"], run.data.params["a_b_2"]) == ("1", "2")
    assert len(run.data.tags["t0"]) == 8000
    assert run.data.tags["t119"] == "119"
    assert (run.data.metrics["a_b"], run.data.metrics["a_b_2"], run.data.metrics["m1199"]) == (1.0, 2.0, 1199.0)
    assert run.info.status == "FINISHED"


def test_long_history_is_thinned_and_keeps_both_ends(store):
    run_id = tracker(TrackingSpec()).log_run(record(history=history(3000)))
    steps = [m.step for m in store.get_metric_history(run_id, "epoch/val_loss")]
    assert len(steps) == content.POINTS
    assert (steps[0], steps[-1]) == (1, 3000)
    assert max(b - a for a, b in itertools.pairwise(steps)) <= 7


def test_numbers_that_no_chart_can_show_are_left_out(store):
    strange = {"val_loss": math.nan, "train_loss": math.inf, "test_loss": -math.inf, "val_accuracy": 0.1}
    rows = [*history(2), *history(3, val_loss=math.nan, train_loss=math.inf)[2:]]
    run_id = tracker(TrackingSpec()).log_run(record(metrics=strange, history=rows, status=Status.DIVERGED))
    metrics = store.get_run(run_id).data.metrics
    assert {name for name in metrics if "/" not in name} == {"val_accuracy"}
    assert [m.step for m in store.get_metric_history(run_id, "epoch/val_loss")] == [1, 2]
    assert [m.step for m in store.get_metric_history(run_id, "epoch/val_accuracy")] == [1, 2, 3]


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.text(max_size=300) | st.text("./a ", max_size=6), st.text(max_size=20), max_size=6))
def test_any_name_becomes_legal_and_stays_distinct(entries):
    from mlflow.utils.validation import _validate_param, _validate_tag

    found = content.legal(entries, 10)
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
    found = list(content.batches(**given_entries))
    for kind, limit in (("metrics", 1000), ("params", 100), ("tags", 100)):
        assert [e for batch in found for e in batch[kind]] == given_entries[kind]
        assert all(len(batch[kind]) <= limit for batch in found)
    for batch in found:
        assert 1 <= sum(map(len, batch.values())) <= 1000
        assert len(json.dumps([vars(e) for kind in ("params", "tags") for e in batch[kind]])) < 900_000


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://me:{SECRET}@host:5432/db",
        f"a failure at http://me:{SECRET}@host/path, retry",
        f"https://{SECRET.replace('/', '')}@host",
        f"http://host/?user=me&password={SECRET}&x=1",
        f"mysql+pymysql://:{SECRET}@host/db?ssl=1",
    ],
)
def test_redact(text):
    safe = content.redact(text)
    assert "p@ss" not in safe
    assert "s3cret" not in safe
    assert "***" in safe
    assert "host" in safe


def test_redact_masks_a_password_in_pieces():
    safe = content.redact("nonnumeric port: 's3cret'", f"http://me:{SECRET}@host")
    assert safe == "nonnumeric port: '***'"


@pytest.mark.parametrize("text", ["sqlite:///mlflow.db", "http://host:5000/a", "me@host.org", "a: b@c", "key=1"])
def test_redact_leaves_the_harmless_alone(text):
    assert content.redact(text) == text


def test_redact_keeps_json_whole():
    text = json.dumps({"a": "http://host:80", "b": "x@y", "c": f"http://me:{SECRET}@host"}, separators=(",", ":"))
    assert json.loads(content.redact(text)) == {"a": "http://host:80", "b": "x@y", "c": "http://***@host"}


@pytest.mark.parametrize("scheme", ["http", "postgresql", "mysql", "gopher", "sqlite"])
def test_no_password_in_any_message(folder, closed_port, caplog, capfd, scheme):
    caplog.set_level(logging.DEBUG)
    follow = tracker(TrackingSpec(uri=f"{scheme}://me:{SECRET}@127.0.0.1:{closed_port}/db"))
    assert follow.log_run(record()) is None
    assert len(warnings_of(caplog)) == 1
    spoken = "".join(logging.Formatter().format(r) for r in caplog.records) + "".join(capfd.readouterr())
    assert SECRET not in spoken
    assert "s3cret" not in spoken


def test_no_password_in_the_store(store, folder):
    literal = f"uri: postgresql://me:{SECRET}@host/db\n"
    run = fill(folder / "run", **{".hydra/config.yaml": literal, "train.log": literal, "result.json": "{}"})
    follow = tracker(TrackingSpec())
    run_id = follow.log_run(
        record(folder=run, params={"tracking.uri": literal}, tags={"argv": literal}, name=f"x {literal}")
    )
    parent = follow.start_sweep("s", {"argv": literal})
    follow.end_sweep(parent, "completed", {}, folder / "sweep", {"tracking.uri": literal}, {"x": literal})
    files = uploaded(store, run_id)
    assert files["hydra/config.yaml"].read_text() == "uri: postgresql://***@host/db\n"
    kept = [path.read_bytes() for path in (folder / "mlruns").rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in text for text in [*kept, (folder / "mlflow.db").read_bytes()])
    assert (run / ".hydra" / "config.yaml").read_text() == literal  # a tracker changes no file of the run
