"""Whether networks of one structure can train together: measured by what they compute, never by how long it takes.

Axes: T trials, B batch, D inputs, C classes.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from phalanx.core.device import threads
from phalanx.core.errors import RequestError
from phalanx.nn.models.base import Backward, Batches, Way
from phalanx.nn.models.module_dropout import TrialStreams
from phalanx.nn.models.network import Network
from phalanx.nn.models.operations import OperationCounter

SPLITS = ((4,), (1, 1, 1, 1), (2, 2), (3, 1))  # of four trials, which must give the same bits
TURNS = 3  # other samples each time: a single batch may hide a difference in a few last bits
ALONE = "one after another"
LOW = torch.bfloat16


def find_way(network: Network, n_classes: int, batches: Batches, asked: str) -> Way:
    """How the trials train.

    Args:
        network: The structure.
        n_classes: C.
        batches: What they train with.
        asked: `auto`, `close` or `never`.

    Raises:
        RequestError: The network cannot compute a batch, or its output is no logits.
    """
    with threads(1), warnings.catch_warnings(record=True):
        probe = _Probe(network, batches, n_classes)
        flops = probe.check()
        one_thread = asked != "close"
        if asked == "never":
            return Way(together=False, one_thread=one_thread, note=f"{ALONE} (model.together=never)", flops=flops)
        if batches.precision == "bfloat16":
            why = "trainer.precision=bfloat16"
            return Way(together=False, one_thread=one_thread, note=f"{ALONE}: {why}", flops=flops)
        if why := probe.obstacle():
            return Way(together=False, one_thread=one_thread, note=f"{ALONE}: {why}", flops=flops)
        if asked == "close":
            return Way(note="together, the same to rounding (model.together=close)", flops=flops)
        if why := probe.difference():
            return Way(together=False, one_thread=one_thread, note=f"{ALONE}: {why}", flops=flops)
        return Way(one_thread=one_thread, note="together", flops=flops)


class _Probe:
    """Four trials of a network, and batches of real samples."""

    def __init__(self, network: Network, batches: Batches, n_classes: int) -> None:
        self.network, self.batches, self.n_classes = network, batches, n_classes
        self.device = batches.samples.y_N.device
        self.rows_TP = network.init(range(4)).to(self.device)

    def check(self) -> float:
        """Computes a batch of each size by one trial; returns the operations of the largest one's training step."""
        network, state, flops = self.network, torch.get_rng_state(), 0.0
        network.draws = False  # so that drawing shows itself
        for size in sorted(self.batches.train_sizes, reverse=True):
            counter = OperationCounter()
            try:
                with counter:
                    self._check_batch(size)
            except RequestError:
                raise
            except Exception as error:
                advice = ""
                if size < max(self.batches.train_sizes):
                    advice = "; to leave out the last batch type trainer.drop_last=true"
                elif self.batches.precision == "bfloat16":
                    advice = "; try trainer.precision=float32"
                raise RequestError(f"it fails on a batch of {size} samples: {_told(error)}{advice}") from error
            flops = max(flops, counter.total, 6.0 * network.layout.n_trained * size)
        network.draws = not torch.equal(state, torch.get_rng_state())
        torch.set_rng_state(state)
        if not torch.equal(network.init([0]).to(self.device)[0].view(torch.int32), self.rows_TP[0].view(torch.int32)):
            raise RequestError(
                "two networks of one seed have different first weights: its constructor draws numbers from elsewhere "
                "than torch"
            )
        return flops

    def _check_batch(self, size: int) -> None:
        """Trains and evaluates one trial on one batch. Raises `RequestError` for an output that is no logits."""
        layout, x_TBD = self.network.layout, self._x(1, size, 0)
        rows_TP, dtype = self.rows_TP[:1].clone(), LOW if self.batches.precision == "bfloat16" else torch.float32
        trained = layout.views(rows_TP[:, : layout.n_trained].to(dtype))
        tensors = [*trained, *layout.views(rows_TP)[len(trained) :]]
        streams = TrialStreams([0], self.network.n_layers, self.device)
        logits_TBC, backward = self.network.vjp(tensors, x_TBD.to(dtype), streams, together=False)
        wanted = (size, self.n_classes)
        for found in (logits_TBC, self.network.forward(layout.views(rows_TP), x_TBD, together=False)):
            if tuple(found.shape[1:]) != wanted or not found.is_floating_point():
                raise RequestError(
                    f"its forward must return logits of the shape (samples, classes) = {wanted}, got "
                    f"{tuple(found.shape[1:])}"
                )
        backward(torch.ones_like(logits_TBC), layout.views(torch.empty_like(self._trained(range(1)), dtype=dtype)))

    def obstacle(self) -> str:
        """Why `torch.func.vmap` cannot compute the network, or only slowly; empty if it can."""
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                self._computed((2,), max(self.batches.train_sizes), 0)
                self._evaluated((2,), max(self.batches.train_sizes), 0)
            except Exception as error:
                return _told(error)
        slow = [str(w.message) for w in warned if "batching rule" in str(w.message)]
        return f"{slow[0].rpartition('rule for ')[2].partition('.')[0]} has no batching rule" if slow else ""

    def difference(self) -> str:
        """Which bits depend on the number of trials; empty if none do."""
        for turn in range(TURNS):
            for size in self.batches.train_sizes:
                if _differ([self._computed(split, size, turn) for split in SPLITS]):
                    return f"its last bits depend on the number of trials (batches of {size} samples)"
            for size in self.batches.eval_sizes:
                if _differ([self._evaluated(split, size, turn) for split in SPLITS]):
                    return f"its last bits depend on the number of trials ({size} samples at once)"
        return ""

    def _x(self, n_trials: int, size: int, turn: int) -> Tensor:
        """Samples (T, B, D), others for each trial and turn."""
        samples = self.batches.samples
        start_T1 = (97 * torch.arange(n_trials) + 31 * turn)[:, None]
        return samples.rows(((torch.arange(size) + start_T1) % len(samples)).to(self.device), n_trials)

    def _trained(self, places: Sequence[int]) -> Tensor:
        return self.rows_TP[list(places), : self.network.layout.n_trained]

    def _step(
        self, places: Sequence[int], x_TBD: Tensor, rows_TP: Tensor, *, together: bool
    ) -> tuple[Tensor, Backward]:
        streams = TrialStreams(list(places), self.network.n_layers, self.device)
        return self.network.vjp(self.network.layout.views(rows_TP), x_TBD, streams, together=together)

    def _computed(self, split: Sequence[int], size: int, turn: int) -> list[Tensor]:
        """Logits, gradients and rows after a training step, computed by so many trials at a time."""
        x_TBD, found = self._x(sum(split), size, turn), []
        for places in _places(split):
            rows_TP = self.rows_TP[list(places)]
            logits_TBC, backward = self._step(places, x_TBD[list(places)], rows_TP, together=True)
            grads_TP = torch.empty_like(self._trained(places))
            backward(torch.sin(logits_TBC * 7 + 1) / size, self.network.layout.views(grads_TP))
            found.append((logits_TBC, grads_TP, rows_TP))
        return [torch.cat(parts) for parts in zip(*found, strict=True)]

    def _evaluated(self, split: Sequence[int], size: int, turn: int) -> list[Tensor]:
        """Logits of networks that are evaluated, by so many trials at a time."""
        x_BD, layout = self._x(1, size, turn)[0], self.network.layout
        return [
            torch.cat(
                [
                    self.network.forward(
                        layout.views(self.rows_TP[list(places)]), x_BD.expand(len(places), *x_BD.shape), together=True
                    )
                    for places in _places(split)
                ]
            )
        ]


def _places(split: Sequence[int]) -> list[range]:
    ends = [sum(split[: i + 1]) for i in range(len(split))]
    return [range(end - n, end) for n, end in zip(split, ends, strict=True)]


def _differ(ways: Sequence[Sequence[Tensor]]) -> bool:
    """Whether the tensors of any way have other bits than those of the first."""
    return any(
        not torch.equal(one.contiguous().view(torch.int32), other.contiguous().view(torch.int32))
        for way in ways[1:]
        for one, other in zip(ways[0], way, strict=True)
    )


def _told(error: Exception) -> str:
    """An error of a network in one line, with the module that raised it."""
    owner = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        module = frame.f_locals.get("self")
        if isinstance(module, nn.Module):
            owner = f"{'nn.' if type(module).__module__.startswith('torch.nn') else ''}{type(module).__name__}"
    text = " ".join(str(error).split(". ")[0].split())
    if "Batching rule not implemented" in text:
        return f"{owner} has no batching rule"
    if "randomness" in str(error):
        return f"{owner} draws random numbers"
    return f"{owner}: {type(error).__name__}: {text[:160]}"
