"""Our own data sources keep the contract that other people's have to keep."""

from __future__ import annotations

import pytest

from phalanx import DATASETS
from phalanx.testing import DataContract

SMALL = {"n_train": 40, "n_val": 20, "n_test": 20}
TABLE = "size,colour,class\n" + "".join(f"{i % 7}.5,{'red' if i % 3 else 'blue'},{'ab'[i % 2]}\n" for i in range(90))


class TestSources(DataContract):
    @pytest.fixture(params=["digits", "wine", "thresholds", "three_integers", "clouds", "csv"])
    def spec(self, request, tmp_path):
        if request.param != "csv":
            return DATASETS[request.param](**SMALL)
        (tmp_path / "table.csv").write_text(TABLE)
        return DATASETS["csv"](path=str(tmp_path / "table.csv"), target="class", **SMALL)
