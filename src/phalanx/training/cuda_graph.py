"""A training step as a fixed program: captured once, then replayed, so that Python and launches cost nothing a step.

On CUDA a step of a small network is a few dozen kernels that run shorter than they take to launch; a CUDA graph
launches them all at once. What is captured may depend on nothing but the content of tensors that stay where they are.
Axes: T trials, N samples, B batch, S steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from phalanx.data import Split
from phalanx.training.evaluation import Tally
from phalanx.training.stack import Stack

WARM_UP = 3  # real steps before the capture, in which torch and cuBLAS set up what they need
FEWEST = 8  # steps from which a capture pays for itself

Body = Callable[[], None]
OnStep = Callable[[int], None]


class CapturedStep:
    """The full batches of an epoch for one stack, as long as nobody joins or leaves it."""

    def __init__(self, stack: Stack, train: Split, capture: Callable[[Body], Body]) -> None:
        self.stack, self.train, self.capture = stack, train, capture
        self.again: Body | None = None
        self.step_1 = torch.zeros(1, dtype=torch.int64, device=stack.device)
        self.within_B = torch.arange(stack.batch_size, device=stack.device)

    def run(self, order_TN: Tensor, tables: Mapping[str, Tensor], tally: Tally, n_steps: int, on_step: OnStep) -> Tally:
        """`n_steps` updates; returns the tally that was kept, which has the memory of the first epoch's."""
        if self.again is None:
            self.order_TN, self.tables, self.tally = order_TN.clone(), dict(tables), tally
        else:
            self.order_TN.copy_(order_TN)
            self.tally.y_TN.copy_(tally.y_TN)
            for name, table in tables.items():
                self.tables[name].copy_(table)
        self.step_1.zero_()
        for step in range(n_steps):
            if self.again is None and step == WARM_UP:
                self.again = self.capture(self._body)
            (self._body if self.again is None else self.again)()
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
    """`body` as a CUDA graph. It has run before on this stream, and is recorded here without being executed."""
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        body()
    return graph.replay
