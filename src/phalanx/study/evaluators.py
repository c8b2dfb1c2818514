"""Evaluators turn proposals into outcomes: a batch at a time, or as a stream."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait

from phalanx.study.proposals import Outcome, Proposal

Evaluate = Callable[[Sequence[Proposal]], Sequence[Outcome]]


class Evaluator(ABC):
    """Evaluates proposals, in any order."""

    @abstractmethod
    def submit(self, proposals: Sequence[Proposal]) -> None:
        """Adds proposals to those being evaluated."""

    @abstractmethod
    def results(self) -> Sequence[tuple[Proposal, Outcome]]:
        """Waits for at least one outcome; returns each submitted proposal once, with its outcome."""


class Batches(Evaluator):
    """Evaluates everything submitted at once and waits for all of it, as Hydra's own launchers do."""

    def __init__(self, evaluate: Evaluate) -> None:
        self.evaluate = evaluate
        self.submitted: list[Proposal] = []

    def submit(self, proposals: Sequence[Proposal]) -> None:
        self.submitted.extend(proposals)

    def results(self) -> Sequence[tuple[Proposal, Outcome]]:
        batch, self.submitted = self.submitted, []
        return list(zip(batch, self.evaluate(batch), strict=True))


class Streaming(Evaluator):
    """Evaluates each proposal in an executor of `concurrent.futures`; an outcome is returned as soon as it is known."""

    def __init__(self, evaluate_one: Callable[[Proposal], Outcome], executor: Executor) -> None:
        self.evaluate_one, self.executor = evaluate_one, executor
        self.running: dict[Future[Outcome], Proposal] = {}

    def submit(self, proposals: Sequence[Proposal]) -> None:
        for proposal in proposals:
            self.running[self.executor.submit(self.evaluate_one, proposal)] = proposal

    def results(self) -> Sequence[tuple[Proposal, Outcome]]:
        done, _ = wait(self.running, return_when=FIRST_COMPLETED)
        return [(self.running.pop(future), future.result()) for future in done]
