"""The house's import rules: data flows one way, and each heavy library lives in one room."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

SOURCE = ROOT / "src" / "phalanx"

# Lowest first. A module may import from its own room and from rooms before it.
ROOMS = (
    ("errors", "fields", "registry", "result", "paths", "curves"),
    ("seeding", "device"),
    ("data", "models", "losses", "optimizers", "schedules"),
    ("spec",),
    ("evaluation", "observer", "stack", "conditions"),
    ("replay", "block", "plan", "probe", "interrupts", "cohort", "training", "model_file"),
    ("runs", "study", "statistics", "sentences", "manifest"),
    ("repeats", "final", "live", "checkpoint", "tracking", "report", "predict"),
    ("config", "progress", "verdict"),
    ("records",),
    ("delivery", "delivery_process"),
    ("compare",),
    ("app",),
    ("sweeps", "together"),
    ("worker",),
    ("engines",),
    ("executors",),
    ("reporting", "inspection", "redelivery"),
    ("commands",),
    ("cli", "__main__"),
)
LIBRARY_ROOMS = {
    "omegaconf": {"config"},
    "optuna": {"study"},
    "mlflow": {"tracking"},
    "hydra": set(),
    "submitit": {"engines"},
    "matplotlib": {"report"},
}
LAZY = {"mlflow", "torchvision", "sklearn", "matplotlib", "pandas", "PIL", "scipy"}


def room_of(path: Path) -> str:
    name = path.relative_to(SOURCE).parts[0].removesuffix(".py").lstrip("_")
    return "tracking" if name.startswith(("tracking", "mlflow")) else name


def modules() -> list[Path]:
    return [p for p in sorted(SOURCE.rglob("*.py")) if p != SOURCE / "__init__.py"]


def imported(path: Path, *, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_nothing_imports_upwards(path):
    order = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
    own = order["__main__" if path.stem == "__main__" else room_of(path)]
    for name in imported(path, top_level_only=True):
        if name.startswith("phalanx."):
            room = name.split(".")[1]
            room = "tracking" if room.lstrip("_").startswith(("tracking", "mlflow")) else room
            if room in order:
                assert order[room] <= own, f"{path.name} imports {name}, which stands above it"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_each_library_lives_in_its_room(path):
    for name in imported(path):
        library = name.split(".")[0]
        if library in LIBRARY_ROOMS:
            assert room_of(path) in LIBRARY_ROOMS[library], f"{path.name} imports {library}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_heavy_libraries_are_imported_when_first_needed(path):
    heavy = {name.split(".")[0] for name in imported(path, top_level_only=True)} & LAZY
    assert not heavy, f"{path.name} imports {heavy} at the top"


@pytest.mark.parametrize("statement", ["import phalanx", "import phalanx.config", "import phalanx.cli", "import train"])
def test_starting_up_does_not_load_torch(statement):
    code = (
        f"import sys; {statement}; print([m for m in ('torch', 'mlflow', 'matplotlib', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_training_loads_no_library_that_it_can_do_without():
    code = (
        "import sys; from phalanx import TrialSpec, load_dataset, train_trial; "
        "train_trial(TrialSpec(), load_dataset(TrialSpec().data)); "
        f"print([m for m in {[*sorted(LAZY), 'sympy', 'optuna']} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_the_room_table_has_every_module():
    named = {room for rooms in ROOMS for room in rooms}
    assert {room_of(p) for p in modules() if p.stem != "__main__"} <= named
