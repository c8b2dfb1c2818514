"""A training step as a CUDA graph: captured once, then replayed without the overhead of Python and kernel launches.

On CUDA, a step of a small network is a few dozen kernels that run shorter than they take to launch; a graph launches
them all at once. A captured step may depend only on the content of tensors that stay at the same address.
Axes: T trials, N samples, B batch, S steps.
"""

import warnings
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from phalanx.data import Split
from phalanx.training.evaluation import Tally
from phalanx.training.planning import free_bytes
from phalanx.training.stack import Stack

WARM_UP = 3  # real steps before the capture, in which torch and cuBLAS allocate what they need
FEWEST = 8  # steps per epoch from which a capture pays off

Body = Callable[[], None]
OnStep = Callable[[int], None]


class CapturedStep:
    """The full batches of an epoch of one stack, valid as long as no trial joins or leaves it.

    Args:
        stack: The trials.
        train: The training split.
        capture: Makes one step, given as a function, and returns what makes the next ones, e.g. `cuda_graph`.
    """

    def __init__(self, stack: Stack, train: Split, capture: Callable[[Body], Body]) -> None:
        self.stack, self.train, self.capture = stack, train, capture
        self.repeat: Body | None = None
        self.step_1 = torch.zeros(1, dtype=torch.int64, device=stack.device)
        self.within_B = torch.arange(stack.batch_size, device=stack.device)

    def run(self, order_TN: Tensor, tables: Mapping[str, Tensor], tally: Tally, n_steps: int, on_step: OnStep) -> Tally:
        """Makes the updates of one epoch; returns the tally that holds its values, which is that of the first epoch.

        Args:
            order_TN: The order of samples of each trial, int64, shape (T, N).
            tables: The optimizer's tables (S, T, 1).
            tally: The tally of this epoch.
            n_steps: The number of updates.
            on_step: Called after each update with its number, from 1.
        """
        if self.repeat is None:
            self.order_TN, self.tables, self.tally = order_TN.clone(), dict(tables), tally
        else:
            self.order_TN.copy_(order_TN)
            self.tally.y_TN.copy_(tally.y_TN)
            for name, table in tables.items():
                self.tables[name].copy_(table)
        self.step_1.zero_()
        for step in range(n_steps):
            if self.repeat is None and step == WARM_UP:
                self.repeat = self.capture(self._body)
            else:
                (self.repeat or self._body)()
            on_step(step + 1)
        return self.tally

    def _body(self) -> None:
        columns_B = self.step_1 * self.stack.batch_size + self.within_B
        at = {name: table.index_select(0, self.step_1).squeeze(0) for name, table in self.tables.items()}
        index_TB = self.order_TN.index_select(1, columns_B)
        n_trials = len(self.stack.rows)
        y_TB = self.tally.y_TN.index_select(1, columns_B).expand(n_trials, -1)
        logits_TBC, loss_TB = self.stack.step(self.train.rows(index_TB, n_trials), y_TB, at)
        self.tally.write(columns_B, logits_TBC, loss_TB, y_TB)
        self.step_1.add_(1)


def cuda_graph(body: Body) -> Body:
    """Makes a step and returns what makes the next ones: a CUDA graph, or `body` where a step cannot be captured.

    An error during a capture would leave torch unusable, so what would cause one is looked for before: a step that
    waits for the device, as a network or a loss of the user's own may, and one that may not find its memory in a pool
    of its own. The latter is a step of many large tensors, which takes longer than its launches in any case.

    Args:
        body: Makes a step. It must have run on this stream before.
    """
    n_bytes, waits = observed(body)
    torch.cuda.synchronize()
    torch.cuda.empty_cache()  # a graph cannot have what is kept for other steps
    if waits or n_bytes > free_bytes(torch.device("cuda")):
        return body
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        body()
    replay: Body = graph.replay
    return replay


def observed(body: Body) -> tuple[int, bool]:
    """Makes a step; returns how many bytes it allocated on the GPU in all, and whether it waited for the GPU."""
    counter, before = "allocated_bytes.all.allocated", torch.cuda.get_sync_debug_mode()
    n_bytes = torch.cuda.memory_stats()[counter]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            body()
        finally:
            torch.cuda.set_sync_debug_mode(before)
    waits = any("called a synchronizing" in str(warning.message) for warning in said)
    return torch.cuda.memory_stats()[counter] - n_bytes, waits
