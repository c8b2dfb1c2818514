"""The runs of a comparison."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from phalanx.analysis.class_scores import ClassScore
from phalanx.analysis.compare.values import ABSENT, identity
from phalanx.core.baselines import NAMES
from phalanx.runs.layout import MADE

SPLIT, OUTER, FOLD = "data.split_seed", "data.outer_fold", "data.fold"
ROW_REPEATS = "data.repeats"  # how many folds there are, whatever the rows of each
REPEATED = (SPLIT, OUTER, FOLD, ROW_REPEATS)  # the keys that make repeats and no settings
MODEL = "model.name"
MEASURED = ("n_parameters", "train_seconds", "samples_per_second", "best_epoch", "epochs")


@dataclass(frozen=True)
class Run:
    """One trained seed: its flat config (`optimizer.lr: 0.1`) without seed, device and tracking, and its numbers."""

    place: str  # where it was read, for messages
    config: Mapping[str, Any]
    seed: int
    status: str  # how it ended: completed, diverged, failed, pruned, interrupted
    values: Mapping[str, float | None]  # by metric
    objective: str
    data: str | None  # the data's digest
    classes: Mapping[str, ClassScore] = field(default_factory=dict)  # of the test split, by the name of the class
    typed: Mapping[str, str] = field(default_factory=dict)  # overrides by key: `model: mlp3`, which the config lacks
    sizes: tuple[int, int, int] | None = None  # of the training, the validation and the test split

    @cached_property
    def identities(self) -> Mapping[str, str]:
        """The identity of each value of the config, by key."""
        return {key: identity(value) for key, value in self.config.items()}

    def same(self, key: str) -> str:
        """The identity of the value of `key`, by which values are compared; `ABSENT` where the run has no such key."""
        return self.identities.get(key, ABSENT)

    @property
    def completed(self) -> bool:
        """Whether the run trained to its end."""
        return self.status == "completed"

    @property
    def made(self) -> bool:
        """Whether it was made of other runs: a refit, which trains on validation rows too, or an ensemble."""
        return any(key in self.config for key in MADE)

    @property
    def is_baseline(self) -> bool:
        """Whether it is no network."""
        return self.config.get(MODEL) in NAMES

    def number(self, key: str) -> int | None:
        """The value of a key that counts, such as `FOLD`; None where it is not known."""
        value = self.config.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None


@dataclass(frozen=True)
class Read:
    """The runs of all sources, notes on runs that were left out, and how many of these are damaged."""

    runs: tuple[Run, ...]
    notes: tuple[str, ...]
    n_damaged: int = 0
