"""What of a folder's own files is used: no interpolation, and no address but the user's own."""

from __future__ import annotations

import pytest

from phalanx.core.errors import RequestError
from phalanx.runs.config import tracking_of
from phalanx.runs.trust import interpolations, is_own_store, untrusted

OWN = [None, "", "sqlite:///own.db", "sqlite:///a/b.db"]
FOREIGN = [
    "http://127.0.0.1:1/${oc.env:HOME}", "http://server:5000", "https://server", "postgresql://h/d", "databricks",
    "databricks://profile", "mlruns", "file://server/share", "sqlite:///../other.db", "sqlite:////etc/x.db",
    "sqlite:///${oc.env:HOME}.db", "sqlite:///x.db?uri=true", "sqlite+odd:///x.db", "sqlite:///", "${oc.env:STORE}",
    "file:////etc", 3, ["http://server"], {"a": 1},
]  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.mark.parametrize("uri", OWN, ids=str)
def test_the_default_and_a_file_in_the_working_folder_are_the_users_own(uri):
    assert is_own_store(uri)


@pytest.mark.parametrize("uri", FOREIGN, ids=str)
def test_every_other_store_has_to_be_named(uri):
    assert not is_own_store(uri)
    assert "uri" in untrusted({"kind": "mlflow", "uri": uri})
    assert untrusted({"kind": "none", "uri": uri}) == {}


def test_a_file_in_the_working_folder_may_be_given_by_its_whole_path(folder):
    assert is_own_store(f"sqlite:///{folder}/own.db")
    assert is_own_store(f"file://{folder}/mlruns")
    assert not is_own_store(f"sqlite:///{folder.parent}/own.db")


def test_a_link_out_of_the_working_folder_is_not_in_it(folder):
    (folder / "x").symlink_to(folder.parent)
    assert not is_own_store("sqlite:///x/own.db")


def test_a_store_that_the_user_has_named_is_used(monkeypatch):
    assert is_own_store("http://server:5000", ["http://server:5000"])
    assert is_own_store("${oc.env:STORE}", ["${oc.env:STORE}"])  # in the user's own conf/
    assert not is_own_store("http://server:5000/x", ["http://server:5000"])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000/")
    assert is_own_store("http://server:5000")
    assert not is_own_store("http://server")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "${oc.env:STORE}")
    assert not is_own_store("${oc.env:STORE}")


def test_interpolations_are_found_wherever_they_stand():
    values = {"a": "x", "b": "${c}", "c": [1, ["t ${d:e}"]], "d": {"${f}": 1}, "e": {"g": {"h": "$ {"}}, "f": None}
    assert interpolations(values) == {"b": "${c}", "c": "t ${d:e}", "d": "${f}"}


def test_what_is_wrong_in_a_folder_is_told_at_once_and_what_to_type(folder):
    file = folder / "config.yaml"
    file.write_text("tracking: {kind: mlflow, uri: 'http://server/${oc.env:PATH}', experiment: '${oc.env:HOME}'}\n")
    with pytest.raises(RequestError) as caught:
        tracking_of(file, {})
    said = str(caught.value)
    assert said.startswith(f"{file} cannot be used as it is:")
    assert "tracking.uri='http://server/${oc.env:PATH}' is not taken from a folder; set MLFLOW_TRACKING_URI" in said
    assert "tracking.experiment='${oc.env:HOME}' is not taken from a folder; type --experiment NAME" in said
    found = tracking_of(file, {"uri": "sqlite:///x.db", "experiment": "mine"})
    assert (found.uri, found.experiment) == ("sqlite:///x.db", "mine")


def test_a_store_from_the_environment_is_that_of_mlflow_once_the_user_names_it(folder, monkeypatch):
    file = folder / "config.yaml"
    file.write_text("tracking: {kind: mlflow, uri: '${oc.env:STORE}'}\n")
    monkeypatch.setenv("STORE", "http://secret")
    with pytest.raises(RequestError):
        tracking_of(file, {})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server")
    assert tracking_of(file, {}).uri is None


@pytest.mark.parametrize(("text", "said"), [
    ("tracking: 3", "tracking must be a config group"), ("tracking: {kind: odd}", "tracking.kind must be one of"),
    ("", "is damaged: it holds no keys"), ("tracking: {odd: 1}", "odd"), ("tracking: {register: '${a}'}", "register"),
    ("tracking: {uri: 'http://me:secret@server'}", r"tracking.uri='http://\*\*\*@server' is not taken"),
])  # fmt: skip
def test_damaged_options_are_refused(folder, text, said):
    (folder / "config.yaml").write_text(text)
    with pytest.raises(RequestError, match=said) as caught:
        tracking_of(folder / "config.yaml", {})
    assert "secret" not in str(caught.value)
