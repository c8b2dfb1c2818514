"""What a table's refusal advises, typed through a real shell and Hydra's parser until the table is read.

The names in the header are a stranger's: quotes, `$`, backticks, brackets, names that Hydra cannot read.
"""

from __future__ import annotations

import csv
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from phalanx.core.errors import DataError
from phalanx.data import load_dataset
from phalanx.data.base import Dataset
from phalanx.data.csv_table import Csv

NAMES = ["größe", "Culmen Length (mm)", "0", "it's", 'in "quotes"', "$HOME", "`touch pwned`", "$(touch pwned)", "a b", "${x}",
         "100 %", "a,b", "[x]", "null", "\\", "!x", "~", "-x"]  # fmt: skip
N = 60


def typed(words: str, folder: Path) -> dict[str, Any]:
    """What Hydra reads of overrides that are pasted into a shell."""
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {words}"], cwd=folder, capture_output=True, check=True)
    parser, found = OverridesParser.create(), {}
    for text in done.stdout.decode().split("\0")[:-1]:
        override = parser.parse_override(text)
        value = OmegaConf.to_container(OmegaConf.create({"value": override.value()}), resolve=True)["value"]
        found[override.key_or_group.removeprefix("data.")] = tuple(value) if isinstance(value, list) else value
    return found


def read_as_advised(folder: Path, cell: Callable[[int, int], object], **options: Any) -> tuple[Dataset, list[str], Csv]:
    """The data set, the refusals on the way to it, and the options with which it is read."""
    with open(folder / "table.csv", "w", newline="") as file:
        rows = [[f"row {i}", *(cell(i, place) for place in range(len(NAMES))), "ab"[i % 2]] for i in range(N)]
        csv.writer(file).writerows([["id", *NAMES, "the kind"], *rows])
    options = {"path": str(folder / "table.csv"), "target": "the kind", **options}
    said: list[str] = []
    for _ in range(4):
        spec = Csv(**options)
        try:
            return load_dataset(spec), said, spec
        except DataError as error:
            said.append(str(error))
        options |= typed(said[-1].rpartition("type ")[2], folder)
    raise AssertionError("\n".join(said))


def number(i: int, place: int) -> object:
    return (i * (place + 3)) % 17


CASES: dict[str, tuple[Callable[[int, int], object], dict[str, Any], dict[str, Any]]] = {
    "texts in numbers": (
        lambda i, place: "k. A.'$" if i == place else number(i, place), {"drop": ("id",)}, {"missing_markers": ("k. A.'$",)},
    ),
    "another marker beside one": (
        lambda i, place: "?" if i == 3 else "`-`" if i == 9 else number(i, place),
        {"drop": ("id",), "missing_markers": ("?",), "missing": "impute"}, {"missing_markers": ("?", "`-`")},
    ),
    "a name in each row": (
        lambda i, place: number(i, place) if place % 2 else f"{i} {place}'s", {"drop": ("id",), "max_categories": 20},
        {"drop": ("id", *NAMES[::2])},
    ),
    "no values": (lambda i, place: "" if place else number(i, place), {"drop": ("id",)}, {"drop": ("id", *NAMES[1:])}),
    "a misspelt target": (number, {"drop": ("id",), "target": "the kinds"}, {"target": "the kind"}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_advice_settles_all_columns_and_keeps_what_was_typed(case: str, tmp_path: Path) -> None:
    cell, options, wanted = CASES[case]
    _, said, spec = read_as_advised(tmp_path, cell, **options)
    assert len(said) == 1
    assert spec.drop[:1] == ("id",)
    for key, value in wanted.items():
        assert getattr(spec, key) == value
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table.csv"]  # no name was run as a command


def test_columns_that_are_meant_as_text_are_advised_together(tmp_path: Path) -> None:
    def cell(i: int, place: int) -> object:
        return "$x y" if i % 5 == 1 else number(i, place)

    _, said, _ = read_as_advised(tmp_path, cell, drop=("id",), categorical=("0",))
    (words,) = re.findall(r"if it is meant as text, type (.*?); ", said[0])
    found = typed(words, tmp_path)
    assert sorted(found["categorical"]) == sorted(NAMES)
    data, _, _ = read_as_advised(tmp_path, cell, drop=("id",), **found)
    assert data.inputs.startswith(f"{len(NAMES)} text")
