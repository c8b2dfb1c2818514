"""Whether the state in a checkpoint is one that its trial can be in: a check sum says only that it was written so.

Axes: E epochs, P parameters.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from phalanx.core.result import Snapshot, State
from phalanx.core.specs import stacked_values
from phalanx.nn.models.base import InputShape
from phalanx.nn.models.layout import Layout
from phalanx.nn.optimizers.base import OWN_STATE
from phalanx.training.spec import TrialSpec


def state_faults(
    spec: TrialSpec, state: State, n_features: int, n_classes: int, image_shape: tuple[int, int] | None = None
) -> list[str]:
    """Returns what is wrong with the state of a trial, each as words that follow "the state".

    Args:
        spec: The trial.
        state: Its state.
        n_features: The number of encoded features of its data.
        n_classes: The number of classes.
        image_shape: Height and width, where its data are images.
    """
    if state is None:
        return []
    model = spec.model.bound(InputShape(n_features, n_classes, image_shape))
    layout, n_epochs = model.layout(n_features, n_classes), len(state.history)
    faults = []
    if [row.epoch for row in state.history] != list(range(1, n_epochs + 1)):
        faults.append(f"has {n_epochs} rows of metrics that are not those of the epochs 1 to {n_epochs}")
    if state.best_epoch is not None and (type(state.best_epoch) is not int or not 1 <= state.best_epoch <= n_epochs):
        faults.append(f"has the best epoch {state.best_epoch!r} of {n_epochs} trained ones")
    if isinstance(state, Snapshot):
        if n_epochs >= spec.trainer.n_epochs:
            faults.append(f"has {n_epochs} trained epochs of {spec.trainer.n_epochs}, so nothing is left to train")
        return faults + _tensor_faults(_expected(spec, layout), state.tensors, layout.n_trained)
    if state.weights is None:
        return faults
    expected = dict(zip(layout.names, (view[0] for view in layout.views(torch.zeros(1, layout.size))), strict=True))
    return faults + _tensor_faults(expected, state.weights)


def _expected(spec: TrialSpec, layout: Layout) -> dict[str, Tensor]:
    """Tensors like those of a snapshot of this trial, alone in its stack."""
    row_1P, zeros_1P = torch.zeros(1, layout.size), torch.zeros(1, layout.n_trained)
    optimizer = spec.optimizer.bound(layout)
    columns = optimizer.columns(stacked_values([optimizer]), zeros_1P)
    own = {"params_TP": row_1P, "kept_TP": row_1P, **optimizer.init(zeros_1P, columns)}
    if not spec.trainer.zero_grad:
        own["sum_TP"] = zeros_1P
    if spec.trainer.average != "none":
        own["average_TP"] = zeros_1P
    return {name: value_1[0] for name, value_1 in own.items()} | optimizer.own_state()


def _tensor_faults(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], size: int | None = None) -> list[str]:
    """What differs. With a `size` (P), further tensors of that size are allowed: the state of neighbours in a stack."""
    faults = []
    for name, like in expected.items():
        if name not in found:
            faults.append(f"lacks {name}")
        elif (wanted := _kind(like, name)) != (given := _kind(found[name], name)):
            faults.append(f"has {name} as {given} instead of {wanted}")
    odd = [name for name in found if name not in expected and (size is None or not _fits(found[name], size))]
    return faults + [f"has {name}, which is not known" for name in odd]


def _fits(tensor: Tensor, size: int) -> bool:
    return tensor.dtype == torch.float32 and tuple(tensor.shape) == (size,)


def _kind(tensor: Tensor, name: str) -> str:
    """Type and shape; the bytes of an optimizer that keeps its state itself have any number."""
    shape = f"{tensor.ndim}-dimensional" if name == OWN_STATE else tuple(tensor.shape)
    return f"{str(tensor.dtype).removeprefix('torch.')} {shape}"
