"""A network that is an `nn.Module`, computed for T trials whose parameters and buffers are rows of flat tensors.

Axes: T trials, B batch, D inputs, C classes, P numbers of one trial, L dropout modules.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from phalanx.core.errors import RequestError
from phalanx.core.seeding import derive
from phalanx.nn.models.base import Backward
from phalanx.nn.models.layout import Layout
from phalanx.nn.models.module_dropout import HashedDropout, TrialStreams, replace_dropout

EVALUATION = derive(0, "evaluation")  # seeds whatever a network draws when it is evaluated
_GENERATOR = threading.RLock()  # held while the global generator of torch is a trial's own


@contextlib.contextmanager
def own_generator(seed: int, device: torch.device) -> Iterator[None]:
    """Has torch's global generators draw from a stream of this seed, in one thread at a time."""
    with _GENERATOR, torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


class _WithBuffers(nn.Module):
    """Returns the buffers of a network beside its output: one that `forward` assigns is lost when the call ends."""

    def __init__(self, module: nn.Module, image_shape: tuple[int, int] | None) -> None:
        super().__init__()
        self.module, self.image_shape = module, image_shape

    def forward(self, x_BD: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        x = x_BD if self.image_shape is None else x_BD.reshape(len(x_BD), *self.image_shape)
        logits_BC = self.module(x)
        return logits_BC, dict(self.module.named_buffers())


@dataclass(frozen=True)
class _Template:
    """A network that lends its structure to the rows of tensors, with what has to be set before a step."""

    caller: _WithBuffers
    dropouts: list[HashedDropout]


class Network:
    """The structure of a module with its layout. Equal to itself alone.

    Args:
        build: Returns a new module whose first weights are drawn from torch's global generator.
        image_shape: Height and width that each row is given before it is passed on; None for rows as they are.
    """

    def __init__(self, build: Callable[[], nn.Module], image_shape: tuple[int, int] | None) -> None:
        self._build, self._image_shape = build, image_shape
        self._idle: list[_Template] = []  # append and pop are atomic, so threads need no lock
        self.draws = True  # from torch's global generator, as far as is known
        module = self._new(0)
        self.layout = _layout(module)
        self.n_layers = len(self._new_template(module).dropouts)

    def init(self, seeds: Sequence[int]) -> Tensor:
        """Initial rows (T, P): what torch gives a module that is built after `torch.manual_seed`."""
        rows = [self.layout.row(_tensors(self._new(derive(seed, "init")))) for seed in seeds]
        return torch.stack(rows) if rows else torch.empty(0, self.layout.size)

    def _new(self, seed: int) -> nn.Module:
        with own_generator(seed, torch.device("cpu")):
            return self._build()

    def _new_template(self, module: nn.Module | None = None) -> _Template:
        module = module or self._new(0)
        dropouts = replace_dropout(module)
        template = _Template(_WithBuffers(module.requires_grad_(False), self._image_shape), dropouts)
        self._idle.append(template)
        return template

    @contextlib.contextmanager
    def _lent(self, *, training: bool) -> Iterator[_Template]:
        """A template that no other thread uses: a call writes into the module."""
        try:
            template = self._idle.pop()
        except IndexError:
            self._new_template()
            template = self._idle.pop()
        try:
            template.caller.train(training)
            yield template
        finally:
            self._idle.append(template)

    def _call(
        self, template: _Template, tensors: Sequence[Tensor], x_BD: Tensor, keys_L: Tensor | None, step: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        """Logits (B, C) of one trial, and its buffers after the call."""
        if keys_L is not None and step is not None:
            for layer, dropout in enumerate(template.dropouts):
                dropout.key, dropout.step, dropout.n_calls = keys_L[layer], step, 0
        names = [f"module.{name}" for name in self.layout.names]
        logits_BC, buffers = functional_call(template.caller, dict(zip(names, tensors, strict=True)), (x_BD,))
        kept = self.layout.names[len(names) - self.layout.n_buffers :]
        before = tensors[len(names) - self.layout.n_buffers :]
        return logits_BC, [buffers.get(name, value) for name, value in zip(kept, before, strict=True)]

    def forward(self, tensors: Sequence[Tensor], x_TBD: Tensor, *, together: bool) -> Tensor:
        """Logits (T, B, C) of networks that are evaluated; see `ModelSpec.forward`."""
        n_trained = len(tensors) - self.layout.n_buffers
        own = [*tensors[:n_trained], *(buffer.clone() for buffer in tensors[n_trained:])]
        with self._lent(training=False) as template, torch.no_grad():

            def one(own: list[Tensor], x_BD: Tensor) -> Tensor:
                return self._call(template, own, x_BD, None, None)[0]

            if together:
                return torch.func.vmap(one)(own, x_TBD.contiguous())
            rows = []
            for row, x_BD in enumerate(x_TBD):
                with own_generator(EVALUATION, x_BD.device) if self.draws else contextlib.nullcontext():
                    rows.append(one([tensor[row] for tensor in own], x_BD))
            return torch.stack(rows)

    def vjp(
        self, tensors: Sequence[Tensor], x_TBD: Tensor, streams: TrialStreams, *, together: bool
    ) -> tuple[Tensor, Backward]:
        """A training step; see `ModelSpec.vjp`. `backward` also writes the buffers into `tensors`.

        Returns:
            The logits (T, B, C), and `backward`.
        """
        n_trained = len(tensors) - self.layout.n_buffers
        leaves = [tensor.detach().requires_grad_() for tensor in tensors[:n_trained]]
        # Buffers are copies: views of one tensor share its version, so a network that changes one breaks the backward
        # pass through the others.
        buffers = [tensor.detach().clone() for tensor in tensors[n_trained:]]
        compute = self._together if together else self._one_by_one
        with self._lent(training=True) as template, torch.enable_grad():
            graph_TBC, after = compute(template, [*leaves, *buffers], x_TBD, streams)

        def backward(grad_TBC: Tensor, out: Sequence[Tensor]) -> None:
            with torch.enable_grad():  # a gradient of its own would have autograd import sympy, which takes a second
                weighted = (graph_TBC * grad_TBC).sum()
            grads = torch.autograd.grad(weighted, leaves, materialize_grads=True)
            for target, grad in zip(out, grads, strict=True):
                target.copy_(grad)
            for target, value in zip(tensors[n_trained:], after, strict=True):
                target.copy_(value.detach())

        return graph_TBC.detach(), backward

    def _together(
        self, template: _Template, tensors: list[Tensor], x_TBD: Tensor, streams: TrialStreams
    ) -> tuple[Tensor, list[Tensor]]:
        def one(own: list[Tensor], x_BD: Tensor, keys_L: Tensor, step: Tensor) -> tuple[Tensor, list[Tensor]]:
            return self._call(template, own, x_BD, keys_L, step)

        found = torch.func.vmap(one, randomness="error")(tensors, x_TBD.contiguous(), streams.keys_TL, streams.step_T)
        return found[0], found[1]

    def _one_by_one(
        self, template: _Template, tensors: list[Tensor], x_TBD: Tensor, streams: TrialStreams
    ) -> tuple[Tensor, list[Tensor]]:
        logits, after = [], []
        for row, x_BD in enumerate(x_TBD):
            own, key, step = [tensor[row] for tensor in tensors], streams.keys_TL[row], streams.step_T[row]
            with self._stream(streams, row, x_BD.device):
                logits_BC, buffers = self._call(template, own, x_BD, key, step)
            logits.append(logits_BC)
            after.append(buffers)
        return torch.stack(logits), [torch.stack(values) for values in zip(*after, strict=True)]

    def _stream(self, streams: TrialStreams, row: int, device: torch.device) -> contextlib.AbstractContextManager[None]:
        """The trial's own generator for this step, where the network draws from one."""
        if not self.draws:
            return contextlib.nullcontext()
        return own_generator(derive(streams.seeds[row], "forward", int(streams.step_T[row])), device)


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in [*module.named_parameters(), *module.named_buffers()]}


def _layout(module: nn.Module) -> Layout:
    """The trained parameters, then frozen ones and buffers. Raises `RequestError` for tensors that no row can hold."""
    trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
    frozen = {name: p for name, p in module.named_parameters() if not p.requires_grad}
    kept = frozen | dict(module.named_buffers())
    faults = [
        f"{name} has no shape before the first batch; give its layer all sizes"
        for name, tensor in (trained | kept).items()
        if nn.parameter.is_lazy(tensor)
    ]
    faults += [
        f"{name} is {str(p.dtype).removeprefix('torch.')}, and trained parameters must be float32"
        for name, p in trained.items()
        if p.dtype != torch.float32
    ]
    if not trained:
        faults.append("it has no parameters to train")
    if faults:
        raise RequestError("; ".join(faults))
    every = trained | kept
    shapes = tuple(tuple(tensor.shape) for tensor in every.values())
    return Layout(tuple(every), shapes, tuple(tensor.dtype for tensor in every.values()), len(kept))
