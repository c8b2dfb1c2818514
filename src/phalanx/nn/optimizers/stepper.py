"""One trial's parameters under an optimizer with the interface of `torch.optim`, and its state as bytes without pickle.

Axes: P trained numbers of one trial, B bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.optim import Optimizer

from phalanx.core.device import threads
from phalanx.core.errors import RequestError, UnreadableFile
from phalanx.core.reading import parse_json
from phalanx.nn.models.layout import Layout

VALUES = (bool, int, float, str, type(None))
TREE = "tree"  # the tensor that holds the JSON of everything else
Build = Callable[[list[nn.Parameter]], Optimizer]


class Stepper:
    """Steps an optimizer over views of a trial's row of parameters.

    Args:
        build: Makes the optimizer of a list of parameters.
        layout: The tensors in the row.
    """

    def __init__(self, build: Build, layout: Layout) -> None:
        self.build, self.layout = build, layout
        self.params: list[nn.Parameter] = []
        self.optimizer: Optimizer | None = None
        self.first: list[float] = []  # the learning rate of each group of parameters, as the optimizer was built

    def begin(self, params_P: Tensor) -> None:
        """Makes the optimizer of these first parameters, once."""
        if self.optimizer is None:
            self.params = [nn.Parameter(view) for view in self._views(params_P)]
            self.optimizer = self.build(self.params)
            self.first = [group["lr"] for group in self.optimizer.param_groups]

    def step(self, params_P: Tensor, grads_P: Tensor, lr: float, base: float) -> None:
        """Makes one update, in place.

        Args:
            params_P: The parameters (P,).
            grads_P: Their gradients (P,).
            lr: The scheduled learning rate.
            base: The learning rate without its schedule. Groups that were built with another one keep the ratio.
        """
        optimizer = self._started
        views = self._views(params_P)
        for param, view, grad in zip(self.params, views, self._views(grads_P), strict=True):
            param.data, param.grad = view, grad
        for group, first in zip(optimizer.param_groups, self.first, strict=True):
            group["lr"] = lr if first == base else first * (lr / base)
        with threads(1):  # a sum over a large tensor rounds by the number of threads
            optimizer.step()
        for param, view in zip(self.params, views, strict=True):
            if param.data_ptr() != view.data_ptr():  # a step that assigns param.data has left the row
                view.copy_(param.data)

    def saved(self) -> Tensor:
        """The optimizer's `state_dict` as bytes, uint8 (B,). Raises `RequestError` if it cannot be plain values."""
        tensors: list[Tensor] = []
        tree = json.dumps(_plain(self._started.state_dict(), tensors))
        named = {str(place): tensor for place, tensor in enumerate(tensors)}
        named[TREE] = torch.frombuffer(bytearray(tree.encode()), dtype=torch.uint8)
        return torch.frombuffer(bytearray(save(named)), dtype=torch.uint8)

    def restore(self, saved_B: Tensor) -> None:
        """Takes a state that `saved` returned. Raises `RequestError` if it is not that of such an optimizer."""
        optimizer = self._started
        try:
            named = load(saved_B.cpu().numpy().tobytes())
            text = named[TREE].numpy().tobytes().decode()
            state = _rebuilt(parse_json(text, "the state of the optimizer"), named)
            optimizer.load_state_dict(state)
            # `load_state_dict` converts floating-point tensors to the type of their parameter.
            places = [place for group in state["param_groups"] for place in group["params"]]
            params = [param for group in optimizer.param_groups for param in group["params"]]
            for place, param in zip(places, params, strict=True):
                for key, value in state["state"].get(place, {}).items():
                    if isinstance(value, Tensor) and optimizer.state[param][key].dtype != value.dtype:
                        optimizer.state[param][key] = value.to(param.device)
        except (SafetensorError, UnreadableFile, KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise RequestError(f"the state of the optimizer in the checkpoint cannot be used: {reason}") from error

    @property
    def _started(self) -> Optimizer:
        assert self.optimizer is not None, "`begin` makes the optimizer"
        return self.optimizer

    def _views(self, flat_P: Tensor) -> list[Tensor]:
        return [view[0] for view in self.layout.views(flat_P[None])]


def _plain(value: Any, tensors: list[Tensor]) -> Any:
    """`value` as JSON has it, with its tensors appended to `tensors`."""
    if isinstance(value, Tensor):
        tensors.append(value.detach().to("cpu", copy=True).contiguous())
        return {"tensor": str(len(tensors) - 1)}
    if type(value) in VALUES:
        return value
    if isinstance(value, Mapping) and all(type(key) in (int, str) for key in value):
        return {"map": [[key, _plain(item, tensors)] for key, item in value.items()]}
    if type(value) in (list, tuple):
        return {type(value).__name__: [_plain(item, tensors) for item in value]}
    raise RequestError(
        f"its state_dict holds a value of type {type(value).__name__}, and a checkpoint keeps tensors, numbers, text, "
        "lists and mappings of these alone"
    )


def _rebuilt(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The value that `_plain` made `tree` of."""
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "map":
        return {key: _rebuilt(item, tensors) for key, item in content}
    return {"list": list, "tuple": tuple}[kind](_rebuilt(item, tensors) for item in content)
