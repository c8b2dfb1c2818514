"""Ways in which a file of a run or of a sweep is damaged: by a full disk, by hand, by another program."""

from __future__ import annotations

import copy
import csv
import json
import math
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import load, save

BIG, HUGE = 10**400, "A number of 5,000 digits"  # which int() refuses, so it is written as text
TYPES = {"a list": [1, "two"], "text": "text", "a number": 17, "null": None, "a mapping": {"a": {"b": 1}}, "true": True}
NUMBERS = {"NaN": math.nan, "infinity": -math.inf, "400 digits": BIG, "5000 digits": HUGE, "below 0": -1}
CELLS = {
    "NaN": "nan",
    "infinity": "inf",
    "text": "text",
    "400 digits": str(BIG),
    "5000 digits": "9" * 5000,
    "empty": "",
}


@dataclass(frozen=True)
class Damage:
    """One damaged file: the kind is what is counted, the detail says where in the file."""

    kind: str
    apply: Callable[[Path], object]
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.detail}".rstrip()


def whole(file: Path) -> Iterator[Damage]:
    """Damage that needs no knowledge of the file."""
    yield Damage("emptied", lambda f: f.write_bytes(b""))
    yield Damage("cut", lambda f: f.write_bytes(f.read_bytes()[: max(1, f.stat().st_size // 2)]))
    yield Damage("garbage", lambda f: f.write_bytes(random.Random(0).randbytes(300)))
    yield Damage("zeros", lambda f: f.write_bytes(bytes(f.stat().st_size)))
    yield Damage("a folder", lambda f: _folder(f))
    yield Damage("a dangling link", lambda f: (f.unlink(), f.symlink_to(f.with_name("nowhere"))))
    yield Damage("missing", lambda f: f.unlink())
    if file.suffix in (".json", ".yaml"):
        yield Damage("deep", lambda f: f.write_text("[" * 100_000))
        yield Damage("deep", lambda f: f.write_text('{"a":' * 3_000 + "1" + "}" * 3_000), "but whole")
        for name, value in TYPES.items():
            yield Damage(f"{name} as a whole", lambda f, v=value: f.write_text(json.dumps(v)))


def inside(file: Path) -> Iterator[Damage]:
    """Every value of the file in turn is replaced by values of other types and by odd numbers, and left out."""
    if file.suffix == ".json":
        yield from _nodes(json.loads(file.read_text()), lambda f, value: f.write_text(_digits(json.dumps(value))))
    if file.suffix == ".yaml":
        yield from _nodes(
            yaml.safe_load(file.read_text()), lambda f, value: f.write_text(_digits(yaml.safe_dump(value)))
        )
    if file.suffix == ".csv":
        yield from _cells(file)
    if file.suffix == ".safetensors":
        yield from _nodes(_described(file), _describe)


def damages(file: Path) -> list[Damage]:
    """All that can happen to the file."""
    return [*whole(file), *inside(file)]


def _folder(file: Path) -> None:
    file.unlink()
    (file / "inside").mkdir(parents=True)


def _digits(text: str) -> str:
    return text.replace(json.dumps(HUGE), HUGE).replace(HUGE, "9" * 5000)


def _nodes(content: Any, write: Callable[[Path, Any], object]) -> Iterator[Damage]:
    for path in _paths(content):
        where = ".".join(map(str, path))
        now = _parent(content, path)[path[-1]]
        for name, value in (TYPES | NUMBERS).items():
            if repr(value) == repr(now):
                continue
            yield Damage(f"{name} inside", lambda f, p=path, v=value: write(f, _with(content, p, v)), where)
        yield Damage("a value missing", lambda f, p=path: write(f, _without(content, p)), where)


def _paths(content: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    children = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in children:
        yield (*above, key)
        yield from _paths(value, (*above, key))


def _with(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    found = copy.deepcopy(content)
    _parent(found, path)[path[-1]] = value
    return found


def _without(content: Any, path: tuple[Any, ...]) -> Any:
    found = copy.deepcopy(content)
    del _parent(found, path)[path[-1]]
    return found


def _parent(content: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        content = content[key]
    return content


def _cells(file: Path) -> Iterator[Damage]:
    rows = list(csv.reader(file.read_text().splitlines()))

    def write(target: Path, changed: list[list[str]]) -> None:
        with open(target, "w", newline="") as lines:
            csv.writer(lines, lineterminator="\n").writerows(changed)

    for place, title in enumerate(rows[0]):
        for name, cell in CELLS.items():
            if cell == rows[-1][place]:
                continue
            yield Damage(f"{name} inside", lambda f, p=place, c=cell: write(f, _with(rows, (-1, p), c)), title)
        yield Damage("a column missing", lambda f, p=place: write(f, [row[:p] + row[p + 1 :] for row in rows]), title)
    if len(rows) > 2:
        yield Damage("a row missing", lambda f: write(f, rows[:-1]))
    yield Damage("a row too long", lambda f: write(f, [*rows, rows[-1] * 2]))
    yield Damage("a row too short", lambda f: write(f, [*rows, rows[-1][:2]]))


def _described(file: Path) -> Any:
    data = file.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return json.loads(header["__metadata__"]["phalanx"])


def _describe(file: Path, about: Any) -> None:
    file.write_bytes(save(load(file.read_bytes()), metadata={"phalanx": _digits(json.dumps(about))}))


def restore(good: Path, folder: Path) -> None:
    """Puts a folder back as it was."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(good, folder)
