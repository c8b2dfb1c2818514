"""The import rules: a package imports only what the table in docs/architecture.md allows; no circles; libraries stay
in their packages, and heavy ones are imported when they are first needed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.places import ROOT

SOURCE = ROOT / "src" / "phalanx"
LOOSE = {"__init__.py", "__main__.py", "py.typed"}
LIBRARY_PACKAGES = {
    "omegaconf": {"runs"},
    "optuna": {"study"},
    "mlflow": {"tracking"},
    "hydra": set(),
    "submitit": {"jobs"},
    "ray": {"jobs"},
    "matplotlib": {"report"},
    "pytest": {"testing"},
}
LAZY = {"mlflow", "torchvision", "sklearn", "matplotlib", "pandas", "PIL", "scipy"}


def name_of(path: Path, source: Path = SOURCE) -> str:
    """The dotted name of a module, `phalanx.core.errors`."""
    parts = ("phalanx", *path.relative_to(source).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(SOURCE.rglob("*.py"))}


def source_of(name: str) -> str:
    return MODULES[name].read_text(encoding="utf-8")


def package_of(name: str) -> str:
    """The package directly under `phalanx` that a module belongs to; empty for the modules beside them."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and (SOURCE / parts[1]).is_dir() else ""


def allowed() -> dict[str, set[str]]:
    """What each package may import, from the table in docs/architecture.md."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)/`[^|]*\|[^|]*\|([^|]*)\|", text, re.M)
    return {package: set(re.findall(r"\w+", cell)) - {"nothing"} for package, cell in rows}


def imported(text: str, *, top_level_only: bool = False) -> set[str]:
    """Every module that a source text imports, inside functions and under TYPE_CHECKING too."""
    tree = ast.parse(text)
    names: set[str] = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= full if full <= MODULES.keys() else full | {node.module}  # `from package import module`
    return names


def forbidden(name: str, text: str, table: dict[str, set[str]]) -> list[str]:
    """The packages that a module imports although the table does not allow it."""
    own = package_of(name)
    packages = {package_of(other) for other in imported(text) if other.startswith("phalanx.")}
    return sorted(packages - {own, ""} - table[own])


def test_a_package_imports_only_what_the_table_allows():
    table = allowed()
    faults = {name: forbidden(name, source_of(name), table) for name in MODULES if package_of(name)}
    assert {name: others for name, others in faults.items() if others} == {}


@pytest.mark.parametrize(
    "text",
    [
        "import phalanx.jobs.run",
        "from phalanx.jobs import run",
        "def later():\n    from phalanx.jobs.run import run",
        "if TYPE_CHECKING:\n    from phalanx.jobs.run import run",
    ],
)
def test_an_import_that_is_not_allowed_is_seen_wherever_it_stands(text):
    assert forbidden("phalanx.core.errors", text, allowed()) == ["jobs"]


def test_the_table_has_every_package_and_no_other_and_goes_one_way():
    table = allowed()
    assert set(table) == {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert len(table) <= 12
    seen: set[str] = set()
    for package, others in table.items():  # the rows stand in order, lowest first
        assert others <= seen, f"{package} may import {others - seen}, which stand below it in the table"
        seen.add(package)


def test_no_module_lies_loose():
    assert {path.name for path in SOURCE.iterdir() if path.is_file()} == LOOSE


def test_there_is_no_import_circle():
    """Between modules, with imports inside functions and for type checking counted too."""
    arrows = {
        name: {other for other in imported(path.read_text(encoding="utf-8")) if other in MODULES and other != name}
        for name, path in MODULES.items()
    }
    left = dict(arrows)
    while ends := [name for name, others in left.items() if not others & left.keys()]:
        for name in ends:
            del left[name]
    starts = {name for name in left if any(name in others for others in left.values())}
    assert not left, f"a circle among {sorted(starts)}"


def test_each_library_stays_in_its_package():
    for name in MODULES:
        for library in {other.split(".")[0] for other in imported(source_of(name))} & set(LIBRARY_PACKAGES):
            assert package_of(name) in LIBRARY_PACKAGES[library], f"{name} imports {library}"


def test_heavy_libraries_are_imported_when_first_needed():
    for name in MODULES:
        heavy = {other.split(".")[0] for other in imported(source_of(name), top_level_only=True)} & LAZY
        assert not heavy, f"{name} imports {heavy} at the top"


def loaded(code: str, libraries: list[str]) -> str:
    """Which of the libraries are imported after `code` has run in a fresh process."""
    code = f"import sys; {code}; print([m for m in {libraries} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    "statement", ["import phalanx", "import phalanx.runs.config", "import phalanx.cli.main", "import train"]
)
def test_starting_up_does_not_load_torch(statement):
    assert loaded(statement, ["torch", "mlflow", "matplotlib", "sklearn"]) == "[]"


def test_training_loads_no_library_that_it_can_do_without():
    code = (
        "from phalanx import TrialSpec, load_dataset, train_trial; "
        "train_trial(TrialSpec(), load_dataset(TrialSpec().data))"
    )
    assert loaded(code, [*sorted(LAZY), "sympy", "optuna"]) == "[]"
