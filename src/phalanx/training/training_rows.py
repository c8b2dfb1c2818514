"""The training rows of trials that train as one stack and may have different splits of the same data.

Small splits are held one behind the other, prepared; large ones as row numbers in one table (`data.shared_rows`).

Folds differ in size by a few rows. The last batch of each trial is filled up to that of the largest fold with the same
number of steps, by repeating the trial's last sample with weight 0. That size follows from the trial's own data and
options, so a trial computes the same numbers alone and beside any other folds.

Axes: T trials, N samples of an epoch, B batch, D features.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import torch
from torch import Tensor

from phalanx.core.seeding import permutations
from phalanx.data import Dataset
from phalanx.data.shared_rows import LARGEST_BYTES
from phalanx.nn.losses.function_loss import FunctionLoss
from phalanx.nn.models.module_spec import ModuleSpec
from phalanx.training.spec import TrialSpec


def fills_up(spec: TrialSpec, dataset: Dataset) -> bool:
    """Whether a trial's last batch is filled up to that of the largest fold.

    Networks that may compute a sample from its whole batch are left alone: those of the user's own, and those with
    statistics of batches. So are losses of the user's own.

    Args:
        spec: The trial.
        dataset: Its data.
    """
    if dataset.largest_train is None or isinstance(spec.model, ModuleSpec) or isinstance(spec.loss, FunctionLoss):
        return False
    return not spec.model.layout(dataset.n_features, dataset.n_classes).n_buffers


def n_filled(spec: TrialSpec, dataset: Dataset) -> int:
    """The samples of an epoch with those that fill up its last batch: those of the training split if none do.

    Args:
        spec: A trial.
        dataset: Its data.
    """
    n, most, trainer = len(dataset.train), dataset.largest_train, spec.trainer
    if most is None or not fills_up(spec, dataset):
        return n
    size = min(trainer.batch_size or most, most)
    n_steps = max(n // size if trainer.drop_last else -(-n // size), 1)
    return min(n_steps * size, most)


def shared_form(spec: TrialSpec, dataset: Dataset) -> Hashable:
    """What trials with different splits have in common if they can train as one stack. Others of a cohort are stacks of
    their own.

    Large data, which are not held several times, share a stack with trials of the same data, or of the same table of
    rows; networks of the user's own, which are built for their data, with trials of the same data alone.

    Args:
        spec: A trial.
        dataset: Its data.
    """
    train = dataset.train
    own: Hashable = dataset.sizes
    if isinstance(spec.model, ModuleSpec) or (train.table is None and train.n_bytes > LARGEST_BYTES):
        own = dataset.digest
    return own, id(train.table), n_filled(spec, dataset), fills_up(spec, dataset)


EPOCH_BYTES = 16 << 20  # of the features of an epoch that are gathered at once, which costs less than batch by batch


class TrainingRows:
    """The training rows of a stack's trials: each different split once, one behind the other.

    Args:
        datasets: The data of each trial, of one `shared_form`, on one device.
        n_columns: The samples of an epoch, with those that fill up the last batch.
        batch_size: Samples per step.
        fills: Whether last batches are filled up; see `fills_up`.
        keeps: Whether the network may keep a batch beyond its step, as one of the user's own may.

    Attributes:
        split: All rows.
        real_T: The samples of an epoch of each trial, without those that fill up its last batch; None where
            nothing is filled up.
        weights_TB: The weights of the last batch's samples, whose mean is 1; None where that is 1 for each.
    """

    def __init__(
        self, datasets: Sequence[Dataset], n_columns: int, batch_size: int, *, fills: bool, keeps: bool = True
    ) -> None:
        different = list({id(dataset): dataset for dataset in datasets}.values())
        starts, start = dict[int, int](), 0
        for dataset in different:
            starts[id(dataset)], start = start, start + len(dataset.train)
        first = datasets[0].train
        self.split = first
        if len(different) > 1:
            self.split = first.joined([dataset.train for dataset in different], [dataset.train for dataset in datasets])
        self.n_columns, self.device = n_columns, first.y_N.device
        self.places = [(starts[id(dataset)], len(dataset.train)) for dataset in datasets]
        self.keeps = keeps
        self.memory: Tensor | None = None  # of a batch: anew for each it costs more than the rows
        self.real_T: Tensor | None = None
        self.weights_TB: Tensor | None = None
        if fills:
            real_T = torch.tensor([min(n, n_columns) for _, n in self.places])
            weights_TB = self._weights(real_T, -(-n_columns // batch_size), batch_size)
            self.real_T = real_T.to(self.device)
            self.weights_TB = None if weights_TB is None else weights_TB.to(self.device)

    def _weights(self, real_T: Tensor, n_steps: int, batch_size: int) -> Tensor | None:
        """The weights (T, B) of the last batch, on the CPU: those of a trial's own samples have the sum B."""
        before = (n_steps - 1) * batch_size
        n_last = self.n_columns - before
        own_T1 = (real_T - before)[:, None]
        if bool((own_T1 >= n_last).all()):
            return None
        is_own_TB = torch.arange(n_last) < own_T1
        # A number divided by a tensor is its reciprocal times the number, and 83 times that of 83 is not 1.
        return torch.where(is_own_TB, torch.full_like(own_T1, n_last) / own_T1, 0.0)

    def batches(self, index_TN: Tensor, size: int, n_trials: int) -> Iterator[Tensor]:
        """The features (T, B, D) of each batch, which are good until the next one is asked for.

        Args:
            index_TN: The rows of each trial, as `order` gives them.
            size: Samples of a batch.
            n_trials: T.
        """
        if not self.keeps and 4 * index_TN.numel() * self.split.n_features <= EPOCH_BYTES:
            yield from torch.split(self.split.rows(index_TN, n_trials), size, 1)
            return
        for index_TB in torch.split(index_TN, size, 1):
            yield self._batch(index_TB, n_trials)

    def _batch(self, index_TB: Tensor, n_trials: int) -> Tensor:
        """As `Split.rows`; where that copies prepared rows, into the memory of the batch before."""
        if self.keeps or self.split.table is not None or self.device.type != "cpu":
            return self.split.rows(index_TB, n_trials)
        n = index_TB.numel()
        if self.memory is None or len(self.memory) < n:
            self.memory = self.split.x_ND.new_empty(n, self.split.n_features)
        found = torch.index_select(self.split.x_ND, 0, index_TB.reshape(-1), out=self.memory[:n])
        x_TBD = found.view(*index_TB.shape, -1)
        return x_TBD if len(x_TBD) == n_trials else x_TBD.expand(n_trials, -1, -1)

    def order(self, streams: Sequence[tuple[int, int]]) -> Tensor:
        """Each trial's order of its rows in `split`, int64, shape (T, N), or (1, N) where all trials have the same.

        Args:
            streams: The seed and the epoch, from 1, of each trial.
        """
        asked = [(*stream, *place) for stream, place in zip(streams, self.places, strict=True)]
        if len(set(asked)) == 1:
            asked = asked[:1]
        drawn = {
            (seed, epoch, n): permutations([(seed, epoch)], n)[0, : self.n_columns]
            for seed, epoch, n in {(seed, epoch, n) for seed, epoch, _, n in asked}
        }
        rows = [_filled(drawn[seed, epoch, n] + start, self.n_columns) for seed, epoch, start, n in asked]
        return torch.stack(rows).to(self.device)


def _filled(order_N: Tensor, n_columns: int) -> Tensor:
    """The order with its last row repeated, which the last batch has anyway."""
    n_missing = n_columns - len(order_N)
    return torch.cat([order_N, order_N[-1:].expand(n_missing)]) if n_missing else order_N
