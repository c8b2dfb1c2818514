"""Trainings that did not come to an end, which an ensemble leaves out and says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from phalanx.core.errors import numbered_trials
from phalanx.core.quantities import counted
from phalanx.training.spec import TrialSpec

NAMED = 3  # trainings that a note names one by one; of more it counts how they ended
CHOSEN = "chosen by success alone: the metrics are those of trainings that went well"


@dataclass(frozen=True)
class Lost:
    """A training without a network.

    Attributes:
        trial: The number of the trial.
        ending: How it ended: `diverged`, `failed`, `interrupted`.
        error: Why; None where that is not known.
        spec: What was trained; None where its configuration cannot be read.
    """

    trial: int
    ending: str
    error: str | None
    spec: TrialSpec | None

    @property
    def name(self) -> str:
        """The trial with seed and fold."""
        if self.spec is None:
            return f"trial {self.trial}"
        fold = f" on fold {self.spec.data.fold}" if self.spec.data.n_folds > 1 else ""
        trial = f"trial {self.trial} with " if self.trial >= 0 else ""
        return f"{trial}seed {self.spec.seed}{fold}"

    @property
    def why(self) -> str:
        """How it ended and why."""
        return f"{self.ending}: {self.error}" if self.error else self.ending

    def to_json(self) -> dict[str, Any]:
        """An entry of `left_out` in `ensemble.json`."""
        spec = self.spec
        fold = spec.data.fold if spec is not None and spec.data.n_folds > 1 else None
        return {"trial": self.trial, "seed": None if spec is None else spec.seed, "fold": fold, "why": self.why}


def told(lost: Sequence[Lost]) -> str:
    """The trainings in words: a few with their reasons, of more how they ended."""
    if len(lost) <= NAMED:
        return "; ".join(f"{one.name} ({one.why})" for one in lost)
    endings = ", ".join(f"{count} {ending}" for ending, count in Counter(one.ending for one in lost).most_common())
    numbers = list(dict.fromkeys(one.trial for one in lost))
    return f"{counted(len(lost), 'training')} ({endings}: {numbered_trials(numbers)})"


def note(lost: Sequence[Lost], n_left: int, what: str) -> str:
    """A note that says what was left out, and what follows for the metrics.

    Args:
        lost: The trainings.
        n_left: How many seeds, or candidates, are left.
        what: `seed` or `candidate`.
    """
    are = "is" if n_left == 1 else "are"
    return f"left out: {told(lost)}; {counted(n_left, what)} {are} left, {CHOSEN}"
