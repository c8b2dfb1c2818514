"""A run's folder with a saved model of random weights, and inputs for it."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from phalanx.data import DATASETS
from phalanx.data.base import Dataset, Split
from phalanx.data.encoders import ArrayFeatures
from phalanx.nn.models import MODELS
from phalanx.runs.model_file import save_model
from phalanx.training.spec import TrainerSpec, TrialSpec

SHAPE, CLASSES = (4, 5), ("cat", "dog, big", "über")
N_FEATURES = SHAPE[0] * SHAPE[1]
MEAN, STD = 100.0 / 255, 50.0 / 255
SPEC = TrialSpec(model=MODELS["mlp"](hidden=(7, 6), activation="tanh"), trainer=TrainerSpec(epochs=1))


def save_run(folder: Path, name: str = "shapes", shape: Any = SHAPE, **features: Any) -> Path:
    """The folder of a run whose network has large random weights, so that its answers differ from row to row."""
    folder.mkdir(parents=True)
    layout = SPEC.model.layout(N_FEATURES, len(CLASSES))
    stream = torch.Generator().manual_seed(1)
    weights = {n: torch.randn(s, generator=stream) for n, s in zip(layout.names, layout.shapes, strict=True)}
    empty = Split(torch.zeros(0, N_FEATURES), torch.zeros(0, dtype=torch.int64))
    encoder = ArrayFeatures(
        **{"normalize": "global", "scale": 255.0, "mean": (MEAN,), "std": (STD,), "n_features": N_FEATURES, **features}
    )
    dataset = Dataset(name, empty, empty, empty, CLASSES, encoder, "", shape)
    result: Any = SimpleNamespace(weights=weights, config_digest="", data_digest="")
    spec = replace(SPEC, data=DATASETS["digits" if name == "digits" else "mnist"]())  # which says how bright white is
    save_model(folder / "model.safetensors", spec, dataset, result)
    (folder / "result.json").write_text("{}")
    return folder


def write_csv(path: Path, images: np.ndarray, label: str | None = None, delimiter: str = ",") -> Path:
    names = [f"pixel{i}" for i in range(N_FEATURES)] + ([label] if label else [])
    rows = [[*image.reshape(-1).tolist(), *(["cat"] if label else [])] for image in images]
    with open(path, "w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([names, *rows])
    return path


def write_png(path: Path, image: np.ndarray, mode: str = "L") -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(image).convert(mode).save(path)
    return path


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Eleven images (N, 4, 5), uint8."""
    return np.random.default_rng(0).integers(0, 256, (11, *SHAPE), dtype=np.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("runs") / "run")
