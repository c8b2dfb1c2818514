"""Files with options of a user's own: how they are found, and what is said of those that cannot be loaded."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from phalanx.core.extensions import (
    VARIABLE,
    Extension,
    ExtensionError,
    Source,
    config_values,
    find_extension,
    forget,
    load_extensions,
    loaded,
    needed,
    register,
    snake_case,
    source_of,
)


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """No test leaves an option or a module behind."""
    monkeypatch.delenv(VARIABLE, raising=False)
    modules, options = set(sys.modules), {(one.group, one.name) for one in loaded()}
    yield
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    for one in loaded():
        if (one.group, one.name) not in options:
            forget(one.group, one.name)


REGISTERING = """
from phalanx.core.extensions import Extension, register, source_of, config_values
def it(): ...
source = source_of(it)
register(Extension("model", "{name}", source, config_values([("size", (1, 2))], "{name}", source)), {{}})
"""


def test_names_are_in_snake_case():
    names = ("ConvNet", "MLP", "ResNet18", "HTTPNet", "Net2D", "already_so")
    assert [snake_case(name) for name in names] == ["conv_net", "mlp", "res_net18", "http_net", "net2_d", "already_so"]


def test_every_file_of_the_folder_is_imported_but_those_with_an_underscore(tmp_path):
    (tmp_path / "one.py").write_text("from ._help import name\n" + REGISTERING.format(name="first"))
    (tmp_path / "_help.py").write_text("name = 3\n")
    (tmp_path / "two.py").write_text(REGISTERING.format(name="second"))
    load_extensions(tmp_path)
    load_extensions(tmp_path)  # once a process
    first = find_extension("model", "first")
    assert first.values == {"name": "first", "size": [1, 2], "source": str(first.source)}
    assert str(first.source).startswith("one.py, digest ")
    assert find_extension("model", "second").source.digest != first.source.digest
    assert len(first.source.digest) == 12
    load_extensions(tmp_path / "absent")
    load_extensions()


def test_the_variable_names_modules_files_and_folders(tmp_path, monkeypatch):
    (tmp_path / "a_module_of_mine.py").write_text(REGISTERING.format(name="third"))
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "file.py").write_text(REGISTERING.format(name="fourth"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inner.py").write_text(REGISTERING.format(name="fifth"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv(VARIABLE, f"a_module_of_mine, {tmp_path}/more/file.py,{tmp_path}/folder")
    load_extensions()
    assert all(find_extension("model", name) for name in ("third", "fourth", "fifth"))


def test_an_installed_package_names_its_options_by_an_entry_point(tmp_path, monkeypatch):
    (tmp_path / "installed_options.py").write_text(REGISTERING.format(name="sixth"))
    info = tmp_path / "installed_options-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: installed-options\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[phalanx]\noptions = installed_options\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    load_extensions()
    assert find_extension("model", "sixth")


def test_what_cannot_be_imported_is_told_in_a_line_each(tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text("x = 1\n1 / 0\n")
    (tmp_path / "syntax.py").write_text("def f(:\n")
    monkeypatch.setenv(VARIABLE, "no_such_module_anywhere")
    with pytest.raises(ExtensionError) as caught:
        load_extensions(tmp_path)
    lines = str(caught.value).splitlines()
    assert lines == [
        f"{tmp_path}/broken.py cannot be imported: line 2: ZeroDivisionError: division by zero",
        f"{tmp_path}/syntax.py cannot be imported: line 1: invalid syntax",
        f"{VARIABLE}=no_such_module_anywhere cannot be imported: ModuleNotFoundError: No module named "
        "'no_such_module_anywhere'",
    ]


def test_a_name_can_be_taken_once(tmp_path):
    (tmp_path / "one.py").write_text(REGISTERING.format(name="seventh"))
    (tmp_path / "two.py").write_text(REGISTERING.format(name="seventh"))
    with pytest.raises(ExtensionError) as caught:
        load_extensions(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/two.py: the name model=seventh is taken by {tmp_path}/one.py; rename one of the two"
    )
    source = Source(tmp_path / "three.py", "0" * 12)
    with pytest.raises(ExtensionError, match="the name model=mlp is taken by an option of Phalanx"):
        register(Extension("model", "mlp", source, config_values([], "mlp", source)), {"mlp": object})


def test_the_same_code_may_be_imported_by_two_names(tmp_path, monkeypatch):
    (tmp_path / "again_by_name.py").write_text(REGISTERING.format(name="eighth"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv(VARIABLE, "again_by_name")
    load_extensions(tmp_path)
    assert find_extension("model", "eighth")


def test_a_cell_of_a_notebook_may_be_run_again(tmp_path):
    known: dict = {}
    for digest in ("0" * 12, "1" * 12):
        source = Source(tmp_path / digest, digest)
        register(Extension("model", "ninth", source, config_values([], "ninth", source)), known)
        known["ninth"] = object
    assert find_extension("model", "ninth").source.digest == "1" * 12


def test_a_file_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv(VARIABLE, "nowhere/nets.py")
    with pytest.raises(ExtensionError, match=f"{VARIABLE}=nowhere/nets.py: there is no such file in /"):
        load_extensions()


def test_the_digest_is_that_of_the_whole_file_whatever_its_line_ends(tmp_path):
    digests = []
    for name, text in (("a", "def it(): ...\n"), ("b", "def it(): ...\r\n"), ("c", "def it(): ...\n# more\n")):
        (tmp_path / f"{name}.py").write_bytes(text.encode())
        space: dict = {}
        exec(compile(text, tmp_path / f"{name}.py", "exec"), space)
        digests.append(source_of(space["it"]).digest)
    assert digests[0] == digests[1] != digests[2]


def test_what_is_not_loaded_is_told_with_what_to_type():
    assert needed("model", "conv_net", "nets.py, digest 0123456789ab") == (
        "needs the extension model=conv_net (nets.py, digest 0123456789ab), which train.py loads from extensions/ "
        "beside it, and any other command with PHALANX_EXTENSIONS=extensions/nets.py before it"
    )


@pytest.mark.parametrize("edited", ["nets.py", "_parts.py"])
def test_a_file_is_imported_as_it_is_now_and_never_from_bytecode_of_an_earlier_text(tmp_path, edited):
    """Of the same size and changed in the same second, as an editor's save or a script may do it."""
    (tmp_path / "nets.py").write_text("from ._parts import PART\nVALUE = 1 + PART\n")
    (tmp_path / "_parts.py").write_text("PART = 10\n")
    when = (tmp_path / edited).stat().st_mtime
    command = [sys.executable, "-c", "import sys, pathlib; from phalanx.core.extensions import import_file; "
               "print(import_file(pathlib.Path(sys.argv[1])).VALUE)", tmp_path / "nets.py"]  # fmt: skip
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def value() -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True, env=clean).stdout.strip()

    assert value() == "11"
    (tmp_path / edited).write_text((tmp_path / edited).read_text().replace("1", "2"))
    os.utime(tmp_path / edited, (when, when))
    assert value() == {"nets.py": "12", "_parts.py": "21"}[edited]
    assert not list(tmp_path.rglob("*.pyc"))
