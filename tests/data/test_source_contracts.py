"""Our own data sources keep the contract that other people's have to keep."""

from __future__ import annotations

import numpy as np
import pytest

from phalanx import DATASETS
from phalanx.testing import DataContract

SMALL = {"n_train": 40, "n_val": 20, "n_test": 20}
TABLE = "size,colour,class\n" + "".join(f"{i % 7}.5,{'red' if i % 3 else 'blue'},{'ab'[i % 2]}\n" for i in range(90))


class TestSources(DataContract):
    @pytest.fixture(params=["digits", "wine", "thresholds", "three_integers", "clouds", "csv", "npz"])
    def spec(self, request, tmp_path):
        if request.param == "npz":
            draw = np.random.default_rng(0)
            x, y = draw.integers(0, 256, (90, 4, 5), dtype=np.uint8), np.array(["cat", "dog", "owl"])[np.arange(90) % 3]
            np.savez(tmp_path / "images.npz", x=x, y=y)
            return DATASETS["npz"](path=str(tmp_path / "images.npz"), **SMALL)
        if request.param != "csv":
            return DATASETS[request.param](**SMALL)
        (tmp_path / "table.csv").write_text(TABLE)
        return DATASETS["csv"](path=str(tmp_path / "table.csv"), target="class", **SMALL)
