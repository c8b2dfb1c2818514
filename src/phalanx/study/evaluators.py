"""How proposals become outcomes: in batches, or streaming, where the next is asked for as soon as one ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait

from phalanx.study.proposals import Outcome, Proposal

Evaluate = Callable[[Sequence[Proposal]], Sequence[Outcome]]


class Evaluator(ABC):
    """Takes proposals in, and gives outcomes back in any order."""

    @abstractmethod
    def submit(self, proposals: Sequence[Proposal]) -> None:
        """Starts to evaluate these too."""

    @abstractmethod
    def results(self) -> Sequence[tuple[Proposal, Outcome]]:
        """Waits until at least one of what was submitted is known; each is returned once."""


class Batches(Evaluator):
    """Evaluates everything submitted at once, and waits for all of it: what Hydra's own launchers can do."""

    def __init__(self, evaluate: Evaluate) -> None:
        self.evaluate = evaluate
        self.waiting: list[Proposal] = []

    def submit(self, proposals: Sequence[Proposal]) -> None:
        self.waiting.extend(proposals)

    def results(self) -> Sequence[tuple[Proposal, Outcome]]:
        batch, self.waiting = self.waiting, []
        return list(zip(batch, self.evaluate(batch), strict=True))


class Streaming(Evaluator):
    """Evaluates each proposal in an executor of the standard library, such as a `ThreadPoolExecutor`."""

    def __init__(self, evaluate_one: Callable[[Proposal], Outcome], executor: Executor) -> None:
        self.evaluate_one, self.executor = evaluate_one, executor
        self.running: dict[Future[Outcome], Proposal] = {}

    def submit(self, proposals: Sequence[Proposal]) -> None:
        for proposal in proposals:
            self.running[self.executor.submit(self.evaluate_one, proposal)] = proposal

    def results(self) -> Sequence[tuple[Proposal, Outcome]]:
        done, _ = wait(self.running, return_when=FIRST_COMPLETED)
        return [(self.running.pop(future), future.result()) for future in done]
