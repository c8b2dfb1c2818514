"""Optimizers as a user might write them, with the interface of `torch.optim`."""

from __future__ import annotations

import torch
from torch.optim import Optimizer


class OwnAdam(torch.optim.AdamW):
    """torch's AdamW, whose arguments become keys."""

    def __init__(self, params, *, lr: float = 0.01, beta1: float = 0.9, weight_decay: float = 0.01, fast: bool = False):
        super().__init__(params, lr=lr, betas=(beta1, 0.999), weight_decay=weight_decay, foreach=fast)


class OwnSGD(torch.optim.SGD):
    def __init__(self, params, *, lr: float = 0.1, momentum: float = 0.9):
        super().__init__(params, lr=lr, momentum=momentum)


class Lion(Optimizer):
    """Keeps a number of its own, begins its state in the first step, and assigns `param.data`."""

    def __init__(self, params, *, lr: float = 0.001, momentum: float = 0.9):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for param in group["params"]:
                state = self.state[param]
                if not state:
                    state.update(n=0, mean=torch.zeros_like(param, dtype=torch.float64), seen=[], last=None)
                state["n"] += 1
                state["seen"] = [*state["seen"][-1:], (state["n"], float("inf"))]
                state["mean"].mul_(group["momentum"]).add_(param.grad, alpha=1 - group["momentum"])
                param.data = param.data - group["lr"] * state["mean"].float().sign() / state["n"] ** 0.25


class TwoRates(Optimizer):
    """Biases have a tenth of the learning rate."""

    def __init__(self, params, *, lr: float = 0.1):
        params = list(params)
        biases = [param for param in params if param.ndim < 2]
        weights = [param for param in params if param.ndim >= 2]
        super().__init__([{"params": weights}, {"params": biases, "lr": lr / 10}], {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for param in group["params"]:
                param.sub_(param.grad, alpha=group["lr"])


class Picky(Lion):
    def __init__(self, params, *, lr: float = 0.001, momentum: float = 0.9):
        if momentum > 0.95:
            raise ValueError(f"Invalid momentum: {momentum}")
        super().__init__(params, lr=lr, momentum=momentum)


class Failing(TwoRates):
    def step(self, closure=None):
        return closure()


class Noisy(TwoRates):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for param in group["params"]:
                param.sub_(param.grad + 0.1 * torch.randn_like(param), alpha=group["lr"])


class Forgetful(Lion):
    """Counts its steps where `state_dict` does not look."""

    n = 0

    def step(self, closure=None):
        self.n += 1
        for group in self.param_groups:
            for param in group["params"]:
                param.data.sub_(param.grad, alpha=group["lr"] / self.n)


class Odd(TwoRates):
    """Its state cannot be written without pickle."""

    def step(self, closure=None):
        self.state[self.param_groups[0]["params"][0]]["seen"] = {1, 2}


class Rateless(Lion):
    def __init__(self, params, *, lr: float = 0.001):
        Optimizer.__init__(self, params, {"rate": lr})


WRONG = {
    Failing: r"optimizer=failing fails in its first steps: TypeError: 'NoneType' object is not callable \(optimizers\.py",
    Noisy: r"optimizer=noisy draws random numbers, which could not be repeated",
    Forgetful: r"optimizer=forgetful makes other steps after a resume: its state_dict lacks what a step needs; keep it in",
    Odd: r"optimizer=odd cannot be used: its state_dict holds a value of type set, and a checkpoint keeps tensors, numb",
    Rateless: r"optimizer=rateless must keep lr as a number in each of its param_groups, where schedules set it; pass",
}
