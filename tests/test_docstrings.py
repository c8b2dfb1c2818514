"""Every name that `phalanx` exports has an example in its docstring, or in that of its package, and it is right."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re

import pytest

import phalanx


def home(name):
    """The object, or the package whose docstring describes it where it is a dict."""
    found = getattr(phalanx, name)
    return importlib.import_module(f"phalanx.{phalanx._HOME[name]}") if isinstance(found, dict) else found


@pytest.mark.parametrize("name", ["phalanx", *phalanx.__all__])
def test_the_example_of_an_exported_name_is_right(name):
    documented = phalanx if name == "phalanx" else home(name)
    (example,) = doctest.DocTestFinder(recurse=False).find(documented, name, globs={})
    assert name in example.docstring
    assert doctest.DocTestRunner().run(example).failed == 0
    assert example.examples


def test_every_exported_name_is_imported_for_type_checkers_too():
    imported = re.findall(r"^    from phalanx\.([\w.]+) import (.+)$", inspect.getsource(phalanx), re.M)
    pairs = {name: module for module, names in imported for name in names.split(", ")}
    assert pairs == phalanx._HOME
    assert sorted(phalanx.__all__) == sorted(phalanx._HOME)
