"""What messages advise to type, through a real shell and Hydra's own parser."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from support.places import ROOT

from phalanx.core.advice import argument, command, folder_option, override

NAMES = [
    "größe", "Culmen Length (mm)", "0", "1e3", "007", "a'b", 'a"b', "a\"'b", "$HOME", "`touch pwned`", "$(touch pwned)",
    "${oc.env:HOME}", "\\${x}", "a\nb", "a\tb", "a\rb", "\x1b[31m", "!x", "a!b", "\\", "a\\", "a\\'b", 'a\\"b', "a,b", "[a]",
    "{a:b}", "a=b", "~", "~/x", " lead", "trail ", "", "null", "TRUE", "nan", "a;b", "a&b|c>d<e", "*", "?", "#x", "%s", "-x",
    "--x", "+x", "e\u0301", "\u00a0", "\u200b", "\u2028", "😀", "n/a", "http://h:1/x", "a.b", "@x", "x[0]", "(x)", "''", "\\n",
    "=x", "[id,name]", "a[0-9]", "{a,b}", "^a", "a=~",
]  # fmt: skip


SHELLS = [["bash", "-c"], ["zsh", "-f", "-c"]]  # zsh refuses a pattern for which there is no file


def as_the_shell_passes_them(words: Sequence[str], folder: Path) -> list[str]:
    script = f"printf '%s\\0' {' '.join(words)}"
    shells = [shell for shell in SHELLS if shutil.which(shell[0])]
    done = [subprocess.run([*shell, script], cwd=folder, capture_output=True, check=True) for shell in shells]
    found = {shell[0]: each.stdout.decode().split("\0")[:-1] for shell, each in zip(shells, done, strict=True)}
    assert all(others == found["bash"] for others in found.values())
    return found["bash"]


def as_hydra_reads_it(text: str) -> Any:
    value = OverridesParser.create().parse_override(text).value()
    return OmegaConf.to_container(OmegaConf.create({"value": value}), resolve=True)["value"]


def test_every_name_reaches_hydra_as_it_is(tmp_path: Path) -> None:
    wanted: list[Any] = [*NAMES, *([name] for name in NAMES), NAMES, True, None, 3]
    words = as_the_shell_passes_them([override("data.drop", value) for value in wanted], tmp_path)
    assert [as_hydra_reads_it(word) for word in words] == wanted
    assert words == [argument("data.drop", value) for value in wanted]
    assert not list(tmp_path.iterdir())  # no name was run as a command


def test_every_word_of_a_command_reaches_the_program_as_it_is(tmp_path: Path) -> None:
    names = [name for name in NAMES if "\0" not in name]
    assert as_the_shell_passes_them([command(*names)], tmp_path) == names
    folders = as_the_shell_passes_them([folder_option("resume", name) for name in names], tmp_path)
    assert folders == [f"resume={name}" for name in names]
    assert not list(tmp_path.iterdir())


def test_advice_is_one_line_that_a_terminal_does_not_obey() -> None:
    for name in NAMES:
        assert override("data.drop", [name]).isprintable()
        assert command("mkdir", "-p", name).isprintable()


TEXTS = st.text(
    st.one_of(st.sampled_from("'\"\\$`{}[](),:=#~!;&|<>*? \n\t-a0é"), st.characters(blacklist_characters="\0")),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(TEXTS, st.lists(TEXTS, min_size=1, max_size=4)), min_size=1, max_size=25))
def test_any_text_reaches_hydra_as_it_is(values: list[Any]) -> None:
    values = [value for value in values if not _has_surrogate(value)]
    words = as_the_shell_passes_them([override("data.drop", value) for value in values], ROOT)
    assert [as_hydra_reads_it(word) for word in words] == values


def _has_surrogate(value: Any) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in "".join(value))


# --- every message takes its advice from there

ADVICE = re.compile(r"\b(type|try|python|phalanx|mlflow|mkdir|--[a-z]+)\b[^;]*?([\w.]+=|--[a-z-]+ |-p )['\"]?$")
SAFE = {  # what stands behind `key=` and is a number, a key, or the name of an option
    "default", "fits", "option", "spec.split_seed + 1", "max(many.values())", "store",
    "usual", "experiment.experiment_id", "run_id", "likely", "max(len(submission.jobs) // 2, 1)", "USUAL[group]", "shown",
}  # fmt: skip


BRACKETS = re.compile(r"(?<= )[\w.@/+~]+=(\w*[\[({]|[^\s'\"`]*[*?])\S*")  # an override that zsh takes for a pattern
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
OPTIONS = [*sorted((ROOT / "conf").rglob("*.yaml")), *sorted((ROOT / "experiments").rglob("*.yaml"))]


def unquoted(source: str) -> list[str]:
    """The placeholders of f-strings that stand where a value is to be typed, and values in brackets without quotes."""
    found = []
    for node in ast.walk(tree := ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in _docstrings(tree):
            found += [match[0] for match in BRACKETS.finditer(node.value)]
        if not isinstance(node, ast.JoinedStr):
            continue
        text = ""
        for part in node.values:
            if isinstance(part, ast.Constant):
                text += str(part.value)
            elif isinstance(part, ast.FormattedValue):
                name = ast.unparse(part.value)
                if ADVICE.search(text) and name not in SAFE:
                    found.append(f"{text[-60:]}{{{name}}}")
                text += "x"
    return found


@pytest.mark.parametrize(
    ("source", "n"),
    [
        ("f'{a}; type resume={run}'", 1), ("f'type --uri {uri}'", 1), ("f'type: mkdir -p {folder!r}'", 1),
        ("f'; try data.n_val={fits}'", 0), ("f'type {override(1, 2)}'", 0), ("f'{key}={value} must be {allowed}'", 0),
        ("x = 'such as a.b=[1]'", 1), ("Fault(advice='a.b=[1]')", 0), ("x = 1; \"try 'a.b=[1]'\"", 0),
    ],
)  # fmt: skip
def test_what_is_typed_without_quotes_is_found(source: str, n: int) -> None:
    assert len(unquoted(source)) == n


def _docstrings(tree: ast.Module) -> set[str | None]:
    nodes = [node for node in ast.walk(tree) if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))]
    return {ast.get_docstring(node, clean=False) for node in nodes}


def unquoted_on_page(text: str) -> list[str]:
    """Overrides in commands of a page that a shell would take for patterns: in blocks of a shell and in inline code."""
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.S | re.M)
    shown = re.findall(r"^\$ .*|(?<=; try ).*", text, re.M)  # where the output is shown too
    inline = re.findall(r"(?<!`)`([^`]+)`(?!`)", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M))
    return [match[0] for part in (*blocks, *shown, *inline) for match in BRACKETS.finditer(f" {part}")]


@pytest.mark.parametrize(
    ("page", "n"),
    [
        ("```bash\npython train.py a.b=[1,2] seed=range(3) c={d:1}\n```", 3), ("as `model.hidden=[4]` has it", 1),
        ("```bash\npython train.py 'a.b=[1,2]' \"a=['x y']\" loss=nll,mse d=x/*.csv\n```", 1),
        ("```python\nf(a, b=[1])\n```\nand `f(x)` and `lr=0.1`", 0), ("```console\ntrial 1  a.b=[4]\n```", 0),
        ("```console\n$ python train.py a.b=[]\n  - a.b must be 1; try a.b=[1]\n```", 2),
    ],
)  # fmt: skip
def test_brackets_on_a_page_are_found(page: str, n: int) -> None:
    assert len(unquoted_on_page(page)) == n


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_shows_a_command_that_zsh_refuses(page: Path) -> None:
    assert unquoted_on_page(page.read_text(encoding="utf-8")) == []


def test_no_option_shows_a_command_that_zsh_refuses() -> None:
    comments = [(file, line.partition("#")[2]) for file in OPTIONS for line in file.read_text().splitlines()]
    assert [(file.name, comment) for file, comment in comments if BRACKETS.search(comment)] == []


def test_no_message_writes_a_value_to_type_by_itself() -> None:
    files = [file for room in ("phalanx", "hydra_plugins") for file in sorted((ROOT / "src" / room).rglob("*.py"))]
    found = {file.name: lines for file in files if (lines := unquoted(file.read_text(encoding="utf-8")))}
    assert found == {}
