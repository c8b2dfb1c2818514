"""The trainer on a CUDA GPU. Skipped, and said so, where there is none; test_step.py replays steps on the CPU."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.cohorts import assert_close, mixed

from phalanx import TrainerSpec, TrialSpec
from phalanx.core.device import DeviceSpec
from phalanx.training import chunk as chunks
from phalanx.training.loop import train_cohort, train_trial
from phalanx.training.planning import free_bytes

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here")
CUDA, CPU = DeviceSpec(kind="cuda"), DeviceSpec(kind="cpu")


@pytest.mark.parametrize("graph", [True, False], ids=["graph", "eager"])
def test_a_cohort_gives_on_the_gpu_what_each_trial_gives_on_the_cpu(dataset, graph, monkeypatch):
    if not graph:
        monkeypatch.setattr(chunks, "cuda_graph", None)
    specs = [replace(spec, device=CUDA) for spec in mixed(8, epochs=5)]
    for spec, result in zip(specs, train_cohort(specs, dataset), strict=True):
        assert result.device.startswith("cuda")
        assert_close(result, train_trial(replace(spec, device=CPU), dataset), rel=1e-3)


def test_precisions_on_the_gpu(dataset):
    curves = {}
    for precision in ("float32", "tf32", "bfloat16"):
        spec = TrialSpec(device=CUDA, trainer=TrainerSpec(epochs=3, precision=precision))
        curves[precision] = train_trial(spec, dataset).history[-1].train_loss
    assert curves["tf32"] == pytest.approx(curves["float32"], rel=0.01)
    assert curves["bfloat16"] == pytest.approx(curves["float32"], rel=0.05)


def test_free_memory_is_a_part_of_the_gpus():
    assert 0 < free_bytes(torch.device("cuda")) < torch.cuda.get_device_properties(0).total_memory
