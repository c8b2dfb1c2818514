"""A network that no memory holds is refused before anything is written."""

from __future__ import annotations

import pytest
import torch

from phalanx.core.errors import SpecError
from phalanx.nn.models import MODELS
from phalanx.training.memory_check import check_memory
from phalanx.training.spec import TrialSpec

CPU = torch.device("cpu")


def spec(*hidden: int) -> TrialSpec:
    return TrialSpec(model=MODELS["mlp"](hidden=hidden))


@pytest.mark.parametrize("hidden", [(10**6, 10**6), (10**11,), (10**15,)])
def test_a_network_too_large_for_memory(hidden):
    with pytest.raises(SpecError, match=r"model=mlp has [\d,]+ parameters here, .* try 'model.hidden=\[64,64\]'"):
        check_memory(spec(*hidden), 64, 10, CPU)


def test_a_network_that_fits():
    check_memory(spec(64, 64), 64, 10, CPU)
