"""The interface of a loss: one number per sample from an output of the network. Axes: T trials, B batch, C classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor

from phalanx.core.errors import Fault
from phalanx.core.specs import Spec, stacked, static
from phalanx.nn.losses.functional import OUTPUTS, SCORES, THROUGH_OUTPUTS, log_softmax, one_hot, smoothed, softmax_nll


class ClassSampler(Protocol):
    """Draws the classes whose logits a training step computes, and computes the loss from those logits alone.

    Axes: S sampled classes, K = 1 + S logits of a sample, its own class first.
    """

    step_T: Tensor  # int64, the number of updates of each trial before this one

    def __call__(self) -> Tensor:
        """The sampled classes of each trial: int64, shape (T, S)."""

    def value_and_grad(self, logits_TBK: Tensor, y_TB: Tensor, classes_TS: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of each sample (T, B), and the gradient (T, B, K) of each trial's mean loss.

        Args:
            logits_TBK: Logits of each sample's own class and of the sampled classes, shape (T, B, K).
            y_TB: Class indices, int64, shape (T, B).
            classes_TS: The sampled classes, int64, shape (T, S).
        """


@dataclass(frozen=True, kw_only=True)
class LossSpec(Spec):
    """Base of all losses. To add one, write a file with a subclass that defines `per_sample`, and a YAML file."""

    config_group: ClassVar[str] = "loss"
    stackable: ClassVar[bool] = True
    outputs: ClassVar[tuple[str, ...]] = tuple(OUTPUTS)  # outputs that this loss accepts
    output_advice: ClassVar[str] = ""  # why, or which loss to take for the others
    unsmoothed: ClassVar[tuple[str, str]] = ("", "")  # why labels cannot be smoothed, and what to type; empty: they can
    unweighted: ClassVar[tuple[str, str]] = ("", "")  # the same of class weights
    probabilities: ClassVar[str] = "softmax"  # how logits become class probabilities: `softmax` or `sigmoid`
    output: str = static("logits", choices=tuple(OUTPUTS))
    label_smoothing: float = stacked(0.0, ge=0, lt=1, advice="0.1")
    class_weights: Literal["none", "balanced"] | tuple[float, ...] = stacked(
        "none", ge=0, advice="balanced", neutral=True
    )

    def conflicts(self) -> list[Fault | str]:
        faults: list[Fault | str] = []
        if self.output not in self.outputs:
            allowed = f"{' or '.join(self.outputs)} with loss={self.name} ({self.output_advice})"
            faults.append(Fault("loss.output", self.output, allowed, f"loss.output={self.outputs[0]}"))
        why, advice = self.unsmoothed
        if why and self.label_smoothing:
            faults.append(Fault("loss.label_smoothing", self.label_smoothing, f"0 with loss={self.name}{why}", advice))
        why, advice = self.unweighted
        if why and self.class_weights != "none":
            faults.append(Fault("loss.class_weights", self.class_weights, f"none with loss={self.name}{why}", advice))
        elif not isinstance(self.class_weights, str) and not any(self.class_weights):
            allowed = "none, balanced or a list of numbers, one for each class, that are not all 0"
            faults.append(Fault("loss.class_weights", list(self.class_weights), allowed, "loss.class_weights=balanced"))
        return faults

    def __call__(self, logits_TBC: Tensor, y_TB: Tensor, smoothing_T: Tensor | None = None) -> Tensor:
        """The loss of each sample (T, B).

        Args:
            logits_TBC: Logits (T, B, C).
            y_TB: Class indices, int64, shape (T, B).
            smoothing_T: Label smoothing of each trial, shape (T,); None where no trial smooths its labels.
        """
        return self.per_sample(OUTPUTS[self.output](logits_TBC), y_TB, smoothed(logits_TBC, y_TB, smoothing_T))

    def value_and_grad(
        self, logits_TBC: Tensor, y_TB: Tensor, smoothing_T: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The loss of each sample (T, B), and the gradient (T, B, C) of each trial's mean loss.

        The gradient is that of `slope`, or of autograd if the loss has none.

        Args:
            logits_TBC: Logits (T, B, C).
            y_TB: Class indices, int64, shape (T, B).
            smoothing_T: Label smoothing of each trial, shape (T,); None where no trial smooths its labels.
        """
        if type(self).slope is LossSpec.slope:
            return self._by_autograd(logits_TBC, y_TB, smoothing_T)
        output_TBC, target_TBC = OUTPUTS[self.output](logits_TBC), smoothed(logits_TBC, y_TB, smoothing_T)
        slope_TBC = self.slope(output_TBC, one_hot(output_TBC, y_TB) if target_TBC is None else target_TBC)
        grad_TBC = THROUGH_OUTPUTS[self.output](output_TBC, slope_TBC)
        return self.per_sample(output_TBC, y_TB, target_TBC), grad_TBC.div_(y_TB.shape[1])

    def weighted_value_and_grad(
        self, logits_TBC: Tensor, y_TB: Tensor, smoothing_T: Tensor | None, weight_TB: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The loss of each sample (T, B), without its weight, and the gradient (T, B, C) of the mean of weight · loss.

        Args:
            logits_TBC: Logits (T, B, C).
            y_TB: Class indices, int64, shape (T, B).
            smoothing_T: Label smoothing of each trial, shape (T,); None where no trial smooths its labels.
            weight_TB: The weight of each sample, shape (T, B).
        """
        if type(self).value_and_grad is LossSpec.value_and_grad and type(self).slope is LossSpec.slope:
            return self._by_autograd(logits_TBC, y_TB, smoothing_T, weight_TB)  # where samples may depend on others
        loss_TB, grad_TBC = self.value_and_grad(logits_TBC, y_TB, smoothing_T)
        return loss_TB, grad_TBC * weight_TB[..., None]

    def _by_autograd(
        self, logits_TBC: Tensor, y_TB: Tensor, smoothing_T: Tensor | None, weight_TB: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        leaf_TBC = logits_TBC.detach().requires_grad_()
        with torch.enable_grad():
            loss_TB = self(leaf_TBC, y_TB, smoothing_T)
            # A mean per trial, then a sum: no trial's gradient depends on the number of trials.
            mean_T = (loss_TB if weight_TB is None else loss_TB * weight_TB).mean(1)
            (grad_TBC,) = torch.autograd.grad(mean_T.sum(), leaf_TBC)
        return loss_TB.detach(), grad_TBC

    @property
    def is_log_likelihood(self) -> bool:
        """Whether the loss is -log p(true class) of the softmax, where labels are not smoothed."""
        return False

    def log_probabilities(self, logits_TBC: Tensor) -> Tensor:
        """Log class probabilities (T, B, C) that correspond to these logits."""
        return log_softmax(SCORES[self.probabilities](logits_TBC))

    def class_sampler(self, seeds: Sequence[int], n_classes: int, device: torch.device) -> ClassSampler | None:
        """The class sampler of a loss whose steps compute only some logits, which is not `stackable`; else None.

        Args:
            seeds: The seed of each trial.
            n_classes: C.
            device: Where the sampler keeps its tensors.
        """
        return None

    def per_sample(self, output_TBC: Tensor, y_TB: Tensor, target_TBC: Tensor | None) -> Tensor:
        """The loss of each sample (T, B) from the output that `self.output` names. Every subclass defines it.

        Args:
            output_TBC: The network's output after `OUTPUTS[self.output]`, shape (T, B, C).
            y_TB: Class indices, int64, shape (T, B).
            target_TBC: With label smoothing, (1 - s) · one-hot + s / C, to use in place of `y_TB`; else None.
        """
        raise NotImplementedError

    def slope(self, output_TBC: Tensor, target_TBC: Tensor) -> Tensor:
        """The derivative of `per_sample` by the output, a new tensor (T, B, C). A loss that knows it defines it.

        Args:
            output_TBC: As in `per_sample`.
            target_TBC: Class weights: one-hot, or smoothed.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class LogLikelihood(LossSpec):
    """A loss that, on the output named by `plain`, is the negative log-likelihood of the softmax."""

    plain: ClassVar[str]

    @property
    def is_log_likelihood(self) -> bool:
        return self.output == self.plain

    def __call__(self, logits_TBC: Tensor, y_TB: Tensor, smoothing_T: Tensor | None = None) -> Tensor:
        if not self.is_log_likelihood:
            return super().__call__(logits_TBC, y_TB, smoothing_T)
        return softmax_nll(logits_TBC, y_TB, smoothed(logits_TBC, y_TB, smoothing_T))[0].squeeze(-1)

    def value_and_grad(
        self, logits_TBC: Tensor, y_TB: Tensor, smoothing_T: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """As in the base class; the gradient (softmax - target) / B is computed directly."""
        if not self.is_log_likelihood:
            return super().value_and_grad(logits_TBC, y_TB, smoothing_T)
        target_TBC, n_batch = smoothed(logits_TBC, y_TB, smoothing_T), y_TB.shape[1]
        loss_TB1, exp_TBC, total_TB1 = softmax_nll(logits_TBC, y_TB, target_TBC)
        grad_TBC = exp_TBC.div_(total_TB1 * n_batch)
        if target_TBC is None:
            grad_TBC.scatter_(-1, y_TB.unsqueeze(-1), -1 / n_batch, reduce="add")
        else:
            grad_TBC.sub_(target_TBC, alpha=1 / n_batch)
        return loss_TB1.squeeze(-1), grad_TBC
