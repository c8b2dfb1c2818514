"""The guarded reader: what it reads, what it refuses, and that no other module parses JSON or YAML."""

from __future__ import annotations

import ast
import json
import os
import pickle
import string
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from support.places import ROOT

from phalanx.core.errors import RunFolderError, UnreadableFile
from phalanx.core.reading import (
    MAX_DEPTH,
    MAX_YAML,
    check_file,
    parse_json,
    parse_yaml,
    read_bytes,
    read_json,
    read_text,
    read_yaml,
)
from phalanx.runs.config_file import to_yaml

SOURCE = ROOT / "src"
PARSERS = {"phalanx/core/reading.py": 1, "phalanx/core/plain_yaml.py": 1}
CALLS = {
    "json": {"load", "loads", "JSONDecoder"},
    "yaml": {"load", "load_all", "safe_load", "safe_load_all", "full_load", "unsafe_load", "parse", "compose", "scan"},
    "OmegaConf": {"load"},
    "pd": {"read_json"},
}
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="$"), max_size=12)  # no ${…}
NUMBERS = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=15,
)
LIKE_YAML = st.text("-?:,[]{}&*!|>'\"%@#<~ \n\tab019.eE_+x", max_size=40)


# Who parses


def parsers(text: str) -> list[int]:
    """The lines of a source text that parse JSON or YAML by themselves."""
    found = []
    for node in ast.walk(ast.parse(text)):
        calls = isinstance(node, ast.Attribute) and node.attr in CALLS.get(ast.unparse(node.value).split(".")[-1], ())
        if calls or (isinstance(node, ast.ImportFrom) and node.module in ("json", "yaml")):
            found.append(node.lineno)
    return found


def test_no_other_module_parses_json_or_yaml():
    texts = {path.relative_to(SOURCE).as_posix(): path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py")}
    assert {name: len(parsers(text)) for name, text in texts.items() if parsers(text)} == PARSERS


@pytest.mark.parametrize(
    "text",
    [
        "json.loads(path.read_text())",
        "values = OmegaConf.load(file)",
        "def later():\n    return yaml.load(text, yaml.CSafeLoader)",
        "from json import loads",
        "read = map(json.loads, lines)",
    ],
)
def test_another_parser_would_be_seen(text):
    assert parsers(text)


# Which files


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def fault_of(read, path: Path, **options) -> str:
    """The message of the reader, which has to name the file."""
    with pytest.raises(UnreadableFile) as caught:
        read(path, **options)
    assert str(caught.value).startswith(f"{path} ")
    return str(caught.value)


READERS = [read_bytes, read_text, read_json, read_yaml, check_file]


@pytest.mark.parametrize("read", READERS)
def test_a_pipe_is_refused_and_not_waited_for(read, folder):
    os.mkfifo(folder / "result.json")
    assert "not a regular file" in fault_of(read, folder / "result.json")


@pytest.mark.parametrize("read", READERS)
def test_a_folder_is_refused(read, folder):
    assert "not a regular file" in fault_of(read, folder)


def test_a_device_is_refused(folder):
    assert "not a regular file" in fault_of(read_json, Path("/dev/zero"))
    (folder / "result.json").symlink_to("/dev/zero")
    assert "link out of the folder" in fault_of(read_json, folder / "result.json")


@pytest.mark.parametrize("read", READERS)
def test_a_link_out_of_the_folder_is_refused_and_one_inside_is_followed(read, folder):
    (folder.parent / "secret.json").write_text("{}")
    (folder / "a.json").symlink_to(folder.parent / "secret.json")
    assert "link out of the folder" in fault_of(read, folder / "a.json")
    (folder / "real.json").write_text("{}")
    (folder / "b.json").symlink_to(folder / "real.json")
    read(folder / "b.json")


def test_a_linked_folder_inside_a_run_may_not_lead_out_of_the_run(folder):
    (folder.parent / "elsewhere").mkdir()
    (folder.parent / "elsewhere" / "overrides.yaml").write_text("[]")
    (folder / ".hydra").symlink_to(folder.parent / "elsewhere")
    assert "link out of the folder" in fault_of(read_yaml, folder / ".hydra" / "overrides.yaml", inside=folder)


def test_a_run_folder_that_is_a_link_itself_is_read(folder):
    (folder / "result.json").write_text("[1]")
    (folder.parent / "short").symlink_to(folder)
    assert read_json(folder.parent / "short" / "result.json") == [1]


def test_links_in_a_circle_are_refused(folder):
    (folder / "a").symlink_to(folder / "b")
    (folder / "b").symlink_to(folder / "a")
    assert "cannot be opened" in fault_of(read_text, folder / "a")


def test_a_missing_file_is_a_missing_file(folder):
    with pytest.raises(FileNotFoundError):
        read_json(folder / "result.json")


def test_a_large_file_is_refused_with_its_size_and_the_limit(folder):
    with open(folder / "config.yaml", "wb") as file:
        file.truncate(MAX_YAML + 1)
    message = fault_of(read_yaml, folder / "config.yaml")
    assert "1,048,577 bytes, and at most 1,048,576 are read" in message


def test_a_file_without_a_size_is_read_up_to_the_limit():
    """Files of /proc have size 0 and content."""
    assert "more than 10 bytes" in fault_of(read_bytes, Path("/proc/self/maps").resolve(), limit=10)


def test_text_that_is_not_utf8_is_refused(folder):
    (folder / "result.json").write_bytes(b"\xff\xfe{")
    assert "utf-8" in fault_of(read_json, folder / "result.json")


def test_the_error_is_one_of_folders_and_survives_a_process():
    error = pickle.loads(pickle.dumps(UnreadableFile("a.json", "is damaged")))
    assert isinstance(error, RunFolderError)
    assert (str(error), error.fault) == ("a.json is damaged", "is damaged")


# Which content


BOMB = "a: &a [x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
BAD_YAML = {
    "brackets": "[" * 60_000,
    "braces": "{a: " * 60_000,
    "dashes": "- " * 60_000,
    "questions": "? " * 60_000,
    "indents": "".join(" " * n + "a:\n" for n in range(MAX_DEPTH + 1)),
    "laughs": BOMB,
    "itself": "a: &a [*a]",
    "an anchor alone": "a: &here 1",
    "merge": "<<: {a: 1}",
    "key twice": "a: 1\nb: 2\na: 3",
    "key twice in other words": "{1: a, 0x1: b}",
    "list as key": "[1]: 2",
    "code": "!!python/object/apply:os.system [x]",
    "set": "!!set {a, b}",
    "two documents": "a: 1\n---\na: 2",
    "control": "a: \x01",
    "open": "a: [1",
    "tab": "a:\n\t- 1",
    "digits": "9" * 5_000,
    "bits": "0x" + "f" * 5_000,
}
BAD_JSON = {
    "brackets": "[" * 60_000,
    "braces": '{"a":' * 60_000,
    "closed": "[" * 60_000 + "]" * 60_000,
    "behind a text": '["\\"[",' + "[" * MAX_DEPTH,
    "key twice": '{"a": 1, "a": 2}',
    "digits": "9" * 301,
    "surrogate": '"\\ud800"',
    "open": '{"a": ',
    "nothing": "",
    "quotes": '"' + '\\"' * 100_000 + "\\",
}


@pytest.mark.parametrize("name", BAD_YAML)
def test_yaml_that_is_more_than_plain_values_is_refused(name):
    with pytest.raises(UnreadableFile, match=r"^config\.yaml is damaged: .{10,300}$"):
        parse_yaml(BAD_YAML[name], "config.yaml")


@pytest.mark.parametrize("name", BAD_JSON)
def test_json_that_could_crash_or_surprise_is_refused(name):
    with pytest.raises(UnreadableFile, match=r"^result\.json is damaged: .{10,300}$"):
        parse_json(BAD_JSON[name], "result.json")


def test_the_deepest_content_that_is_allowed_is_read():
    nested = json.dumps(eval("[" * MAX_DEPTH + "]" * MAX_DEPTH))
    assert parse_json(nested, "x") == parse_yaml(nested, "x") == json.loads(nested)


def test_brackets_inside_texts_do_not_count_as_depth():
    values = {"error": "[{" * 500, "quoted": '"[' * 500, "end": "\\"}
    assert parse_json(json.dumps(values), "x") == values


@given(VALUES)
def test_json_that_was_written_is_read_back(value):
    assert parse_json(json.dumps(value), "x") == value


@given(st.dictionaries(st.text(string.ascii_letters, min_size=1), VALUES))
def test_a_config_that_was_written_is_read_back_as_omegaconf_reads_it(values):
    text = to_yaml(values)
    assert parse_yaml(text, "x") == OmegaConf.to_container(OmegaConf.create(text)) == values


@given(LIKE_YAML)
def test_a_text_is_refused_or_read_as_omegaconf_reads_it(text):
    try:
        found = parse_yaml(text, "x")
    except UnreadableFile:
        return
    if isinstance(found, dict) and all(isinstance(key, str) for key in found):
        assert repr(found) == repr(OmegaConf.to_container(OmegaConf.create(text)))  # repr: NaN differs from itself


@given(st.binary(max_size=200) | LIKE_YAML.map(str.encode))
def test_any_bytes_are_read_or_refused(tmp_path_factory, content):
    file = tmp_path_factory.getbasetemp() / "bytes"
    file.write_bytes(content)
    for read in (read_json, read_yaml):
        try:
            found = read(file)
        except UnreadableFile:
            continue
        str(found).encode()  # can be printed


@given(VALUES, st.sampled_from(string.ascii_lowercase))
def test_yaml_with_an_alias_is_refused_wherever_it_stands(value, name):
    class Sharing(yaml.SafeDumper):
        """Writes a list that occurs twice as an anchor and an alias."""

    shared = [value]
    text = yaml.dump({name: shared, "other": [{"deep": shared}]}, Dumper=Sharing)
    with pytest.raises(UnreadableFile, match="anchor or alias"):
        parse_yaml(text, "x")
