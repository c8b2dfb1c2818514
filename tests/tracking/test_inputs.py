"""What MLflow is told of the data of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from phalanx.data import DATASETS, load_dataset
from phalanx.runs.config_file import data_label, flat_values
from phalanx.runs.run_folder import described
from phalanx.runs.stored_run import DataSummary, StoredRun
from phalanx.tracking.inputs import dataset_inputs


@pytest.mark.parametrize(
    ("options", "name"),
    [({}, "größe v2"), ({"title": "Penguins, 2026"}, "Penguins, 2026")],
)
def test_a_table_is_called_by_its_file_or_as_its_user_says(options: dict[str, str], name: str, tmp_path: Path) -> None:
    file = tmp_path / "größe v2.csv"
    file.write_text("\n".join(["a,kind", *(f"{i % 7},{'xy'[i % 2]}" for i in range(30))]))
    spec = DATASETS["csv"](path=str(file), target="kind", **options)
    found = described(spec, load_dataset(spec))
    assert (found.name, found.label) == ("csv", name)
    assert {each.dataset.name for each in dataset_inputs(found, "d")} == {name}
    assert data_label(flat_values({"data": {"name": "csv", "path": str(file), "title": None, **options}})) == name


def test_arrays_are_called_by_their_file_too() -> None:
    assert DATASETS["npz"](path="a/vectors.v2.npz").label() == "vectors.v2"
    assert DATASETS["npz"](path="a/vectors.npz", title="V").label() == "V"


def test_other_data_are_called_by_their_source() -> None:
    spec = DATASETS["wine"]()
    found = described(spec, load_dataset(spec))
    assert {each.dataset.name for each in dataset_inputs(found, "d")} == {"wine"}
    assert "title" not in as_stored(found)
    assert data_label({"data.name": "wine"}) == "wine"


def as_stored(data: DataSummary) -> dict[str, object]:
    content = {
        "status": "completed",
        "objective": {"name": "val_loss", "value": 1.0, "direction": "minimize"},
        "metrics": {},
    }
    stored = StoredRun.from_json(json.loads(json.dumps({**content, "data": data.__dict__})))
    assert stored.data == data
    found: dict[str, object] = stored.to_json()["data"]
    return found
