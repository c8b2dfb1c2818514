"""The files that a file of a user's own imports by a dot: `from ._blocks import Block`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path


def siblings_of(file: Path, text: str) -> dict[str, str]:
    """The files in its folder that a file imports by a dot, and those that these import, without importing any.

    Args:
        file: The file.
        text: Its content.

    Returns:
        Their texts by their path relative to the folder, sorted, with `/` and with line ends of one character.
    """
    folder, found, pending = file.parent, dict[str, str](), [(file, text)]
    while pending:
        for path in _imported(*pending.pop(), folder):
            name = path.relative_to(folder).as_posix()
            if path != file and name not in found and path.is_file():
                found[name] = path.read_bytes().replace(b"\r\n", b"\n").decode("utf-8", "replace")
                pending.append((path, found[name]))
    return dict(sorted(found.items()))


def _imported(file: Path, text: str, folder: Path) -> Iterator[Path]:
    """Files, which need not exist, that the relative imports of a file may mean; none outside the folder."""
    try:
        statements = list(ast.walk(ast.parse(text)))
    except (SyntaxError, ValueError):  # the import of the file says so
        return
    for statement in statements:
        if not isinstance(statement, ast.ImportFrom) or statement.level == 0:
            continue
        base = file.parent
        for _ in range(statement.level - 1):
            base = base.parent
        if not base.is_relative_to(folder):
            continue
        for part in filter(None, (statement.module or "").split(".")):
            base /= part
            yield from _module(base)
        for alias in statement.names:
            yield from _module(base / alias.name)


def _module(path: Path) -> tuple[Path, Path]:
    return path.with_name(f"{path.name}.py"), path / "__init__.py"
