"""Imports of users' files from their text.

Python keeps the bytecode of a module beside it and takes it for current if the file has the same size and was changed
in the same second. The code that trains has to be the text whose digest is recorded.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import CodeType, ModuleType

PREFIX = "phalanx_extensions_"  # of the names of the packages whose modules are imported so


class FromText(importlib.machinery.SourceFileLoader):
    """Compiles a file at each import, and neither reads nor writes bytecode."""

    def get_code(self, fullname: str) -> CodeType | None:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not fullname.startswith(PREFIX):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and type(spec.loader) is importlib.machinery.SourceFileLoader:
            spec.loader = FromText(spec.loader.name, spec.loader.path)
        return spec


def import_from_text() -> None:
    """Has Python import modules of packages with this prefix from their text, from now on."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
