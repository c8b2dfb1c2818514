"""Measures which execution plan is the fastest for a cohort that trains for long, on this machine, now."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from phalanx.core.device import threads
from phalanx.data import Split
from phalanx.training.planning import Workers
from phalanx.training.spec import TrialSpec
from phalanx.training.stack import Stack

log = logging.getLogger(__name__)

STEPS = 3  # measured steps, after one that is not
MARGIN = 0.95  # another plan replaces the rule's if its time is below this fraction


@dataclass(frozen=True)
class ExecutionPlan:
    """Chunks of `size` trials, and the workers that train them."""

    size: int
    workers: Workers


def execution_plans(rule: ExecutionPlan, n_trials: int, n_cores: int) -> list[ExecutionPlan]:
    """The plans to compare: the rule's, smaller and larger chunks, one chunk at a time, and single trials.

    Args:
        rule: The plan that `planning` chose.
        n_trials: The number of trials.
        n_cores: CPU threads in total.
    """
    count, threads_each = rule.workers.count, rule.workers.threads
    sizes = [rule.size // 2, rule.size * 2]
    others = [ExecutionPlan(size, Workers(count, threads_each)) for size in sizes if 1 <= size <= -(-n_trials // count)]
    others += [ExecutionPlan(rule.size, Workers(1, n_cores)), ExecutionPlan(1, Workers(1, n_cores))]
    return list(dict.fromkeys([rule, *others]))


def fastest(
    candidates: Sequence[ExecutionPlan], new_stack: Callable[[], Stack], spec: TrialSpec, train: Split
) -> ExecutionPlan:
    """Measures a few steps of each plan; returns the fastest, or the first one if none is clearly faster.

    Args:
        candidates: The plans; the first one is the default.
        new_stack: Returns an empty stack.
        spec: A trial of the cohort.
        train: The training split.
    """
    seconds = {plan: _seconds(plan, new_stack, spec, train) for plan in candidates}
    best = min(seconds, key=lambda plan: seconds[plan])
    log.info(
        "autotune, ms per trial and step: %s",
        ", ".join(f"{w.size} x {w.workers.count} x {w.workers.threads}: {1e3 * s:.3g}" for w, s in seconds.items()),
    )
    return best if seconds[best] < MARGIN * seconds[candidates[0]] else candidates[0]


def _seconds(plan: ExecutionPlan, new_stack: Callable[[], Stack], spec: TrialSpec, train: Split) -> float:
    """Seconds per trial and step."""
    stacks = [new_stack() for _ in range(plan.workers.count)]
    for stack in stacks:
        counts = train.class_counts(stack.n_classes)
        stack.join([spec] * plan.size, range(plan.size), counts=[counts] * plan.size)
    with threads(plan.workers.threads), ThreadPoolExecutor(len(stacks)) as pool:

        def run(stack: Stack, n_steps: int) -> None:
            torch.set_num_threads(plan.workers.threads)
            starts_T1 = 97 * torch.arange(plan.size)[:, None]  # different samples for each trial, as in training
            _, tables = stack.epoch_tables()
            at = {name: table[0] for name, table in tables.items()}
            for step in range(n_steps):
                rows = (torch.arange(stack.batch_size) + step + starts_T1) % len(train)
                stack.step(train.rows(rows, plan.size), train.y_N[rows], at)

        list(pool.map(lambda stack: run(stack, 1), stacks))
        start = time.perf_counter()
        list(pool.map(lambda stack: run(stack, STEPS), stacks))
    return (time.perf_counter() - start) / (STEPS * plan.size * len(stacks))
