"""When a step is captured as a CUDA graph, and how much memory a GPU has, with stand-ins for the functions of CUDA."""

from __future__ import annotations

import contextlib
import warnings

import pytest
import torch

from phalanx.training.cuda_graph import cuda_graph
from phalanx.training.planning import MEMORY_PART, free_bytes

GIB = 1 << 30


class Cuda:
    """What the functions of `torch.cuda` that are asked would say."""

    def __init__(self, monkeypatch):
        self.mode, self.captured, self.n_replays = 0, [], 0
        self.free, self.total, self.reserved, self.allocated, self.fraction, self.ever = (
            80 * GIB,
            80 * GIB,
            0,
            0,
            1.0,
            0,
        )
        answers = {
            "CUDAGraph": lambda: self, "graph": self.graph, "synchronize": lambda: None, "empty_cache": lambda: None,
            "get_sync_debug_mode": lambda: self.mode, "set_sync_debug_mode": self.set_mode,
            "memory_stats": lambda: {"allocated_bytes.all.allocated": self.ever},
            "mem_get_info": lambda device: (self.free, self.total),
            "memory_reserved": lambda device: self.reserved, "memory_allocated": lambda device: self.allocated,
            "get_per_process_memory_fraction": lambda device: self.fraction,
        }  # fmt: skip
        for name, answer in answers.items():
            monkeypatch.setattr(torch.cuda, name, answer)

    def set_mode(self, mode):
        warnings.warn("Synchronization debug mode is a prototype feature", stacklevel=1)
        self.mode = mode

    @contextlib.contextmanager
    def graph(self, graph):
        self.captured.append(graph)
        yield

    def replay(self):
        self.n_replays += 1


@pytest.fixture
def cuda(monkeypatch):
    return Cuda(monkeypatch)


def test_a_step_is_made_and_then_captured(cuda):
    modes = []
    repeat = cuda_graph(lambda: modes.append(cuda.mode))
    assert modes == ["warn", 0]  # the step, and its capture, during which a debug mode would be an error of its own
    assert cuda.captured == [cuda]
    repeat()
    assert (cuda.n_replays, len(modes)) == (1, 2)


def test_a_step_that_waits_for_the_gpu_or_may_lack_memory_is_made_again_as_it_is(cuda):
    def waits():
        warnings.warn("called a synchronizing CUDA operation", stacklevel=1)

    def takes_much():
        cuda.ever += 81 * GIB

    for body in (waits, takes_much):
        assert cuda_graph(body) is body
        assert (cuda.captured, cuda.mode) == ([], 0)


def test_a_step_that_fails_leaves_the_debug_mode_as_it_was(cuda):
    with pytest.raises(ZeroDivisionError):
        cuda_graph(lambda: 1 / 0)
    assert (cuda.captured, cuda.mode) == ([], 0)


def test_what_torch_keeps_of_ended_trials_is_free_and_a_limit_holds(cuda):
    device = torch.device("cuda")
    assert free_bytes(device) == int(MEMORY_PART * 80 * GIB)
    cuda.free, cuda.reserved, cuda.allocated = 10 * GIB, 60 * GIB, 5 * GIB
    assert free_bytes(device) == int(MEMORY_PART * 65 * GIB)
    cuda.fraction = 0.8  # 64 GiB, 60 of which are reserved
    assert free_bytes(device) == int(MEMORY_PART * 59 * GIB)
    cuda.fraction = 0.5
    assert free_bytes(device) == int(MEMORY_PART * 55 * GIB)
