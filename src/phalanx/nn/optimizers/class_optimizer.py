"""An optimizer that a user wrote with the interface of `torch.optim`: `@phalanx.optimizer`.

Axes: T trials (one), P trained numbers of one trial, S steps of one epoch.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from phalanx.core.errors import RequestError
from phalanx.core.extensions import ExtensionError, snake_case, source_of
from phalanx.core.registry import add_option, travelling
from phalanx.core.signatures import Argument, SignatureError, read_signature, reserved_in
from phalanx.core.specs import constraint_of, keys_of, static
from phalanx.nn.models.layout import Layout
from phalanx.nn.optimizers.base import OWN_STATE, Columns, OptimizerSpec, State
from phalanx.nn.optimizers.stepper import Stepper

O = TypeVar("O", bound=type[Optimizer])  # noqa: E741
STEPS = 3  # of the check, the last one after a resume


@dataclass(frozen=True, kw_only=True)
class ClassOptimizer(OptimizerSpec):
    """Base of the specs that `optimizer` makes of classes. Their keys are the class's keyword-only arguments."""

    _optimizer: ClassVar[type[Optimizer]]
    together: ClassVar[bool] = False
    pads: ClassVar[bool] = False
    stepper: Stepper | None = static(None, internal=True, determines_numbers=False)  # noqa: RUF009

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return travelling(self)

    @property
    def note(self) -> str:
        """See `OptimizerSpec.note`."""
        return f"one after another: optimizer={self.name} steps one trial at a time"

    def bound(self, layout: Layout) -> ClassOptimizer:
        """See `OptimizerSpec.bound`. Raises `RequestError` if the class cannot be built, or cannot be resumed."""
        spec = replace(self, stepper=None)
        _check(spec, layout)
        return replace(self, stepper=Stepper(spec.new_optimizer, layout))

    def init(self, params_TP: Tensor, columns: Columns) -> State:
        """See `OptimizerSpec.init`. The optimizer keeps its state itself: see `own_state`."""
        self._stepper.begin(params_TP[0])
        return {}

    def placed(self, tables: Mapping[str, Tensor], like: Tensor) -> dict[str, Tensor]:
        """See `OptimizerSpec.placed`: in float64 on the CPU, as the numbers that a torch optimizer reads."""
        return dict(tables)

    def update(
        self, params_TP: Tensor, grads_TP: Tensor, state: State, at: dict[str, Tensor], columns: Columns
    ) -> None:
        """See `OptimizerSpec.update`."""
        self._stepper.step(params_TP[0], grads_TP[0], at["lr"].item(), self.lr)

    def own_state(self) -> dict[str, Tensor]:
        """See `OptimizerSpec.own_state`."""
        return {OWN_STATE: self._stepper.saved()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """See `OptimizerSpec.restore`."""
        if OWN_STATE in tensors:
            self._stepper.restore(tensors[OWN_STATE])

    @property
    def _stepper(self) -> Stepper:
        if self.stepper is None:
            raise ValueError(f"optimizer={self.name} has no parameters before `bound` tells it their shapes")
        return self.stepper

    def new_optimizer(self, params: list[nn.Parameter]) -> Optimizer:
        """An optimizer of these parameters. Raises `RequestError`."""
        given = {field.name: getattr(self, field.name) for field in keys_of(self)}
        try:
            made = type(self)._optimizer(params, **given)
        except Exception as error:
            values = ", ".join(f"{name}={value!r}" for name, value in given.items())
            reason = f"{type(error).__name__}: {error}"
            raise RequestError(
                f"optimizer={self.name} cannot be built with {values}: {reason} ({self.source})"
            ) from error
        if not all(isinstance(group.get("lr"), (int, float)) for group in made.param_groups):
            raise RequestError(
                f"optimizer={self.name} must keep lr as a number in each of its param_groups, where schedules set it; "
                f"pass {{'lr': lr}} among the defaults of torch.optim.Optimizer ({self.source})"
            )
        return made


@functools.lru_cache(maxsize=512)
def _check(spec: ClassOptimizer, layout: Layout) -> None:
    """Makes a few steps. Raises `RequestError` if they fail, draw random numbers, or a resumed one is another one."""
    place_P = torch.arange(layout.n_trained, dtype=torch.float32)
    whole_P, grads = (place_P + 1).cos(), [(place_P + step).sin() for step in range(STEPS)]
    whole, resumed = Stepper(spec.new_optimizer, layout), Stepper(spec.new_optimizer, layout)
    stream = torch.get_rng_state()
    try:
        whole.begin(whole_P)
        for grads_P in grads[:-1]:
            whole.step(whole_P, grads_P, spec.lr, spec.lr)
        resumed_P = whole_P.clone()
        resumed.begin(resumed_P)
        resumed.restore(whole.saved())
        whole.step(whole_P, grads[-1], spec.lr, spec.lr)
        resumed.step(resumed_P, grads[-1], spec.lr, spec.lr)
    except RequestError as error:
        if f"optimizer={spec.name}" in str(error):
            raise
        raise RequestError(f"optimizer={spec.name} cannot be used: {error} ({spec.source})") from error
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise RequestError(f"optimizer={spec.name} fails in its first steps: {reason} ({spec.source})") from error
    if not torch.equal(stream, torch.get_rng_state()):
        raise RequestError(f"optimizer={spec.name} draws random numbers, which could not be repeated ({spec.source})")
    if not torch.equal(whole_P.nan_to_num(), resumed_P.nan_to_num()):
        raise RequestError(
            f"optimizer={spec.name} makes other steps after a resume: its state_dict lacks what a step needs; keep it "
            f"in self.state[param] or in param_groups ({spec.source})"
        )


def _as_stacked(argument: Argument) -> Any:
    """The argument's field; numbers may differ inside a cohort, since each trial has an optimizer of its own."""
    is_lr = argument.name == "lr"
    if is_lr and argument.kind not in (float, int):
        raise SignatureError(["the argument lr must be a number, such as lr: float = 0.01"])
    if argument.kind not in (int, float, bool):
        return argument.field
    constraint = replace(constraint_of(argument.field), stacked=True)
    if is_lr and constraint.gt is None:
        constraint = replace(constraint, gt=0.0, ge=None)
    return dataclasses.field(default=argument.field.default, metadata={"constraint": constraint})


def class_optimizer(cls: type[Optimizer]) -> type[ClassOptimizer]:
    """The spec class of an optimizer. Raises `ExtensionError` if it cannot be one."""
    source = source_of(cls)
    where = f"{source.file}: {cls.__name__}"
    if not (isinstance(cls, type) and issubclass(cls, Optimizer)):
        raise ExtensionError(f"{where} must be a class derived from torch.optim.Optimizer")
    closure = inspect.signature(cls.step).parameters.get("closure")
    if closure is not None and closure.default is closure.empty:
        raise ExtensionError(
            f"{where}: its step needs a closure, by which it computes the loss several times, as L-BFGS does; Phalanx "
            "computes one gradient a step, so step has to work without one"
        )
    try:
        first, arguments = read_signature(cls, ("params",), reserved_in(ClassOptimizer) - {"lr"})
        if first != ("params",):
            raise SignatureError(["its constructor must take params before the *"])
        if "lr" not in [argument.name for argument in arguments]:
            raise SignatureError(["its constructor must take lr behind the *, such as lr: float = 0.01"])
        fields = [(a.name, float if a.name == "lr" else a.kind, _as_stacked(a)) for a in arguments]
    except SignatureError as error:
        raise ExtensionError(f"{where}: {error}") from error
    own: dict[str, Any] = {"name": snake_case(cls.__name__), "_optimizer": cls, "source": str(source)}
    return dataclasses.make_dataclass(
        f"{cls.__name__}Spec", fields, bases=(ClassOptimizer,),
        namespace={**own, "__doc__": cls.__doc__, "__module__": cls.__module__}, frozen=True, kw_only=True,
    )  # fmt: skip


def optimizer(cls: O) -> O:
    """Makes a class derived from `torch.optim.Optimizer` an option of the config group `optimizer`; returns it.

    The option's name is the class's in snake case. The keyword-only arguments of the constructor behind `params` are
    its keys; `lr` is one of them. Trials train one after another, several at a time on several cores.

    Args:
        cls: The class.

    Raises:
        RequestError: The signature cannot be read, `step` needs a closure, or the name is taken.

    Examples:
        >>> import phalanx, torch
        >>> @phalanx.optimizer  # doctest: +SKIP
        ... class SignSGD(torch.optim.Optimizer):
        ...     def __init__(self, params, *, lr: float = 0.001):
        ...         super().__init__(params, {"lr": lr})
        ...     @torch.no_grad()
        ...     def step(self, closure=None):
        ...         for group in self.param_groups:
        ...             for param in group["params"]:
        ...                 param.sub_(param.grad.sign(), alpha=group["lr"])
    """
    add_option(class_optimizer(cls), source_of(cls))
    return cls
