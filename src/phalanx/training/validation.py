"""The validation splits of trials that train as one stack, evaluated in as few passes as keep each trial's bits.

Trials with the same split are one pass. So are those with small splits of as many samples, such as folds: each trial
gets the samples of its own split, and no sum has another length than it has alone.

Axes: T trials, N samples, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from phalanx.data import Split
from phalanx.nn.losses.stacked import StackedLoss
from phalanx.nn.metrics.compute import Wanted
from phalanx.training.evaluation import OwnSplits, Scores, evaluate
from phalanx.training.stack import Stack

LARGEST_NUMBERS = 1 << 22  # of the features that trials with several splits hold once more


@dataclass(frozen=True)
class _Pass:
    """Trials that are evaluated together."""

    places: list[int]
    index_T: Tensor | None  # the same; None for all trials
    split: Split | OwnSplits
    loss: StackedLoss


class Validation:
    """The passes for the trials of a stack as they are.

    Args:
        splits: The validation split of each trial, in the order of the stack.
        loss: Their losses.
        device: Where the stack is.
    """

    def __init__(self, splits: Sequence[Split], loss: StackedLoss, device: torch.device) -> None:
        self.passes: list[_Pass] = []
        for places in _groups(splits):
            own, index_T = [splits[place] for place in places], None
            if len(places) < len(splits):
                index_T = torch.tensor(places, device=device)
            split = own[0] if len(set(map(id, own))) == 1 else OwnSplits.of(own)
            self.passes.append(_Pass(places, index_T, split, loss.take(places)))

    def scores(self, stack: Stack, wanted: Wanted) -> list[Scores]:
        """The scores of each trial, in the order of the stack."""
        found, params_TP = dict[int, Scores](), stack.evaluated_TP
        for one in self.passes:
            own_TP = params_TP if one.index_T is None else params_TP[one.index_T]
            depths = stack.depths and [stack.depths[place] for place in one.places]
            scores = evaluate(stack.model, stack.layout, one.loss, own_TP, one.split, depths, wanted)
            found |= zip(one.places, scores, strict=True)
        return [found[place] for place in range(len(params_TP))]


def _groups(splits: Sequence[Split]) -> list[list[int]]:
    """The places of the trials of each pass."""
    same: dict[int, list[int]] = {}
    for place, split in enumerate(splits):
        same.setdefault(id(split), []).append(place)
    alike: dict[object, list[int]] = {}
    for places in same.values():
        split = splits[places[0]]
        n = sum(len(other) for other in splits if len(other) == len(split)) * split.n_features
        alike.setdefault(len(split) if n <= LARGEST_NUMBERS else id(split), []).extend(places)
    return [sorted(places) for places in alike.values()]
