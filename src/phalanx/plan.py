"""How a cohort is computed: in how many blocks, how many of them at a time, with how many CPU threads each."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from phalanx.device import DeviceSpec
from phalanx.stack import Stack

ONE_THREAD_FLOPS = 3e7  # arithmetic a step below which one CPU thread is at least as fast for one stack
WORKER_FLOPS = 1.5e7  # arithmetic a step from which a stack keeps a core busy while another thread waits for Python
CACHE_BYTES = 8 << 20  # parameters, gradients and optimizer state of one stack that stay near the core


@dataclass(frozen=True)
class Plan:
    """Blocks of at most `size` trials, `workers` of them at the same time, each with `threads` threads of torch."""

    size: int
    workers: int = 1
    threads: int = 1


def plan(stack: Stack, n_trials: int, device: DeviceSpec) -> Plan:
    """The plan for `n_trials` that are like those of `stack`."""
    n_trials = max(n_trials, 1)
    if stack.device.type != "cpu":
        return Plan(n_trials)
    n_cores = device.threads or torch.get_num_threads()
    flops = stack.flops_of(1)
    if n_trials == 1:
        return Plan(1, threads=n_cores if flops >= ONE_THREAD_FLOPS else 1)
    fits = max(1, int(CACHE_BYTES / stack.bytes_of(1)))
    n_workers = n_cores if flops * n_trials / n_cores >= WORKER_FLOPS else 1
    return Plan(min(fits, -(-n_trials // n_workers)), n_workers)
