"""Our own data sources keep the contract that other people's have to keep."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from phalanx import DATASETS
from phalanx.testing import DataContract

SMALL = {"n_train": 40, "n_val": 20, "n_test": 20}
TABLE = "size,colour,class\n" + "".join(f"{i % 7}.5,{'red' if i % 3 else 'blue'},{'ab'[i % 2]}\n" for i in range(90))
DRAWN = ("digits", "wine", "thresholds", "three_integers", "clouds")


def csv(folder):
    (folder / "table.csv").write_text(TABLE)
    return {"path": str(folder / "table.csv"), "target": "class"}


def parquet(folder):
    pd.read_csv(io.StringIO(TABLE)).to_parquet(folder / "table.parquet")
    return {"path": str(folder / "table.parquet"), "target": "class"}


def npz(folder):
    x, y = pixels((4, 5)), np.array(["cat", "dog", "owl"])[np.arange(90) % 3]
    np.savez(folder / "images.npz", x=x, y=y)
    return {"path": str(folder / "images.npz")}


def image_folder(folder):
    for place, image in enumerate(pixels((4, 5, 3))):
        file = folder / "images" / ("cat", "owl")[place % 2] / f"{place:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[: 3 + place % 2]).save(file)
    return {"path": str(folder / "images"), "size": [3, 4], "color": "rgb"}


def pixels(shape):
    return np.random.default_rng(0).integers(0, 256, (90, *shape), dtype=np.uint8)


FILES = {file.__name__: file for file in (csv, parquet, npz, image_folder)}


class TestSources(DataContract):
    @pytest.fixture(params=[*DRAWN, *FILES])
    def spec(self, request, tmp_path):
        options = FILES[request.param](tmp_path) if request.param in FILES else {}
        return DATASETS[request.param](**options, **SMALL)


def test_every_source_whose_files_can_be_made_has_the_contract():
    ours = {name for name, option in DATASETS.items() if not option.source}
    assert ours - {*DRAWN, *FILES} == {"mnist", "fashion_mnist", "kmnist"}
