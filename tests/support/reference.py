"""The oracle: one trial trained with `nn.Sequential`, `torch.optim` and torch's own losses and schedules.

It shares no code with `phalanx`. What has to agree by contract and not by torch — seeds, data order, dropout
masks — is written a second time here, from the description in docs/architecture.md.
"""

from __future__ import annotations

import hashlib
import itertools
import math

import numpy as np
import torch
from torch import nn

M32 = np.uint64(0xFFFFFFFF)
ACTIVATION = {
    "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "gelu": nn.GELU, "silu": nn.SiLU, "selu": nn.SELU,
    "softplus": nn.Softplus, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "identity": nn.Identity,
}  # fmt: skip


def seed_for(seed, *purpose):
    digest = hashlib.sha256("/".join([str(seed), *map(str, purpose)]).encode()).digest()
    return int.from_bytes(digest[:8], "little") // 2


def stream(seed, *purpose):
    gen = torch.Generator()
    gen.manual_seed(seed_for(seed, *purpose))
    return gen


def lowbias32(x):
    x = x ^ (x >> np.uint64(16))
    x = (x * np.uint64(0x7FEB352D)) & M32
    x = x ^ (x >> np.uint64(15))
    x = (x * np.uint64(0x846CA68B)) & M32
    return x ^ (x >> np.uint64(16))


class HashDropout(nn.Module):
    """Inverted dropout; a hash of (seed, layer, step, row, pair of units) is compared with the rate, half by half."""

    def __init__(self, rate, seed, layer, clock):
        super().__init__()
        self.rate, self.clock = min(round(np.float64(np.float32(rate)) * 65536), 65535), clock  # of 65536
        self.key = seed_for(seed, "dropout", layer) % 2**32

    def forward(self, x):
        if not self.training or self.rate == 0:
            return x
        rows, units = (np.arange(n, dtype=np.uint64) for n in x.shape)
        key = np.uint64((self.key + self.clock["step"] * 0xC2B2AE3D) % 2**32)
        hashed = (rows[:, None] * np.uint64(0x9E3779B1) + (units // 2)[None] * np.uint64(0x85EBCA77)) & M32 ^ key
        hashed = (hashed * np.uint64(0x7FEB352D)) & M32
        hashed = ((hashed ^ (hashed >> np.uint64(15))) * np.uint64(0x846CA68B)) & M32
        hashed ^= hashed >> np.uint64(16)
        halves = (hashed >> (16 * (units % 2))[None]).astype(np.uint16).view(np.int16)
        keep = torch.from_numpy((halves >= self.rate - 32768).astype(np.float32))
        return x * keep * (65536 / (65536 - self.rate))


def network(widths, activation, dropout, dropout_at, seed, clock):
    gen, layers = stream(seed, "init"), []
    for i, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
        linear = nn.Linear(n_in, n_out)
        with torch.no_grad():
            nn.init.uniform_(linear.weight, -1 / math.sqrt(n_in), 1 / math.sqrt(n_in), generator=gen)
            nn.init.uniform_(linear.bias, -1 / math.sqrt(n_in), 1 / math.sqrt(n_in), generator=gen)
        layers.append(linear)
        if i < len(widths) - 2:
            layers.append(ACTIVATION[activation]())
            if dropout_at == "all" or i == len(widths) - 3:
                layers.append(HashDropout(dropout, seed, i, clock))
    return nn.Sequential(*layers)


def with_hashed_dropout(net, seed, clock):
    for layer, name in enumerate(name for name, part in net.named_modules() if type(part) is nn.Dropout):
        net.set_submodule(name, HashDropout(net.get_submodule(name).p, seed, layer, clock))
    return net


def criterion(loss, output, smoothing):
    """A function (logits, y) -> mean loss, from torch.nn's losses wherever torch has one."""
    out = {"logits": nn.Identity(), "softmax": nn.Softmax(-1), "log_softmax": nn.LogSoftmax(-1)}[output]
    if loss in ("cross_entropy", "sampled_softmax"):
        inner = nn.CrossEntropyLoss(label_smoothing=smoothing)
        return lambda z, y: inner(out(z), y)

    def target(z, y):
        return (1 - smoothing) * torch.eye(z.shape[-1], dtype=z.dtype)[y] + smoothing / z.shape[-1]

    if loss == "one_vs_all":
        return lambda z, y: nn.BCEWithLogitsLoss()(out(z), target(z, y))

    if loss == "mse":
        return lambda z, y: nn.MSELoss()(out(z), target(z, y))
    if output == "softmax":
        return lambda z, y: -(target(z, y) * torch.log(out(z) + 1e-7)).sum(-1).mean()
    if smoothing:
        return lambda z, y: -(target(z, y) * out(z)).sum(-1).mean()
    return lambda z, y: nn.NLLLoss()(out(z), y)


def sampled_softmax(n_sampled, n_classes, seed, clock):
    """A function (logits, y) -> mean loss of a training step: own class, and one of each run of classes weighted."""
    n_runs, key = min(n_sampled, n_classes), seed_for(seed, "classes") % 2**32
    ends = np.arange(n_runs + 1) * n_classes // n_runs

    def loss(z, y):
        step_key = lowbias32(np.uint64((key + clock["step"] * 0xC2B2AE3D) % 2**32))
        units = (np.arange(n_runs, dtype=np.uint64) * np.uint64(0x85EBCA77)) & M32
        uniform = (lowbias32(units ^ step_key) >> np.uint64(8)).astype(np.float64) / 2**24
        lengths = np.diff(ends)
        drawn = torch.from_numpy(ends[:-1] + np.floor(uniform * lengths).astype(np.int64))
        total = z.exp().gather(1, y[:, None])[:, 0]
        for which, length in zip(drawn, lengths, strict=True):
            total = total + torch.where(which == y, torch.zeros_like(total), length * z[:, which].exp())
        return (total.log() - z.gather(1, y[:, None])[:, 0]).mean()

    return loss


class MuonAndAdamW(torch.optim.Optimizer):
    """Muon by the singular values of each matrix, in float64, and torch's AdamW for all else."""

    def __init__(
        self, params, lr, weight_decay=0.1, momentum=0.95, nesterov=True, n_iterations=5, step_size="match_adamw",
        last_layer="adamw", adamw_factor=1.0, beta1=0.9, beta2=0.999, eps=1e-8,
    ):  # fmt: skip
        params = list(params)
        super().__init__(params, {"lr": lr})
        matrices = [p for p in params if p.ndim == 2]
        self.matrices = matrices[:-1] if last_layer == "adamw" else matrices
        others = [p for p in params if not any(p is m for m in self.matrices)]
        self.adamw = torch.optim.AdamW(others, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay)
        self.means = [torch.zeros_like(m) for m in self.matrices]
        self.decay, self.momentum, self.nesterov, self.n_iterations = weight_decay, momentum, nesterov, n_iterations
        self.original, self.factor = step_size == "original", adamw_factor

    @torch.no_grad()
    def step(self, closure=None):
        lr = self.adamw.param_groups[0]["lr"] = self.param_groups[0]["lr"]
        self.adamw.param_groups[0]["lr"] *= self.factor
        self.adamw.step()
        for p, mean in zip(self.matrices, self.means, strict=True):
            mean.mul_(self.momentum).add_(p.grad, alpha=1 - self.momentum)
            direction = self.momentum * mean + (1 - self.momentum) * p.grad if self.nesterov else mean
            u, s, v = torch.linalg.svd(direction.double(), full_matrices=False)
            s = s / max(s.square().sum().sqrt(), 1e-7)
            for _ in range(self.n_iterations):
                s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
            n_out, n_in = p.shape
            size = max(1, n_out / n_in) ** 0.5 if self.original else 0.2 * max(n_out, n_in) ** 0.5
            p.copy_(p.double() * (1 - lr * self.decay) - lr * size * (u * s) @ v)


def optimizer_for(name, parameters, options):
    options = dict(options)
    if name == "muon":
        return MuonAndAdamW(parameters, **options)
    if name == "sgd":
        return torch.optim.SGD(parameters, **options)
    if name == "rmsprop":
        return torch.optim.RMSprop(parameters, **options)
    options["betas"] = (options.pop("beta1", 0.9), options.pop("beta2", 0.999))
    if name == "nadam":
        options["decoupled_weight_decay"] = options.pop("decoupled", False)
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "nadam": torch.optim.NAdam}[name](
        parameters, **options
    )


def scheduler_for(name, optimizer, options, steps_per_epoch, total):
    """torch's own scheduler, stepped after each minibatch."""
    sched = torch.optim.lr_scheduler
    lr = optimizer.param_groups[0]["lr"]
    if name == "cosine":
        return sched.CosineAnnealingLR(optimizer, T_max=total, eta_min=lr * options.get("min_factor", 0.0))
    if name == "step":
        return sched.StepLR(optimizer, options["every_epochs"] * steps_per_epoch, options["gamma"])
    if name == "one_cycle":
        return sched.OneCycleLR(
            optimizer, max_lr=lr, total_steps=total, pct_start=options.get("rise", 0.3), cycle_momentum=False,
            div_factor=options.get("start_divisor", 25.0), final_div_factor=options.get("final_divisor", 1e4),
        )  # fmt: skip
    return sched.ConstantLR(optimizer, factor=1.0)


@torch.no_grad()
def measure(net, compute_loss, x, y):
    net.eval()
    logits = net(x)
    return compute_loss(logits, y).item(), (logits.argmax(-1) == y).double().mean().item()


def weighted(loss, logits, y, class_weights):
    """The mean over samples of weight of the class times loss of the sample by itself; without weights the mean."""
    if class_weights is None:
        return loss(logits, y)
    losses = [loss(z[None], c[None]) for z, c in zip(logits, y, strict=True)]
    return sum(class_weights[int(c)] * part for c, part in zip(y, losses, strict=True)) / len(y)


def train(
    train_split, val_split, widths, *, loss="cross_entropy", output="logits", smoothing=0.0, optimizer="adam",
    optimizer_options=None, schedule="constant", schedule_options=None, activation="relu", dropout=0.0,
    dropout_at="all", epochs=3, batch_size=32, drop_last=False, clip_norm=None, zero_grad=True, n_sampled=None, seed=0,
    build=None, average="none", ema_decay=0.999, swa_start=1, class_weights=None, stop_after=None,
):  # fmt: skip
    """Per-epoch rows (train_loss, train_accuracy, val_loss, val_accuracy, lr) and the final network.

    `build` makes a network of another kind; its dropout modules are replaced. `class_weights` has the weight of each
    class in the mean that is trained for; the losses in the rows are without. It ends after epoch `stop_after`, with the
    schedule of all epochs.
    """
    (x, y), clock = train_split, {"step": 0}
    if build is None:
        net = network(widths, activation, dropout, dropout_at, seed, clock)
    else:
        torch.manual_seed(seed_for(seed, "init"))
        net = with_hashed_dropout(build(), seed, clock)
    compute_loss = train_loss = criterion(loss, output, smoothing)
    if n_sampled is not None:
        train_loss = sampled_softmax(n_sampled, widths[-1], seed, clock)
    opt = optimizer_for(optimizer, net.parameters(), optimizer_options or {})
    batch_size = min(batch_size or len(y), len(y))
    per_epoch = len(y) // batch_size if drop_last else -(-len(y) // batch_size)
    sched = scheduler_for(schedule, opt, schedule_options or {}, per_epoch, per_epoch * epochs)
    rows, averaged = [], None
    if average != "none":
        function = torch.optim.swa_utils.get_ema_multi_avg_fn(ema_decay) if average == "ema" else None
        averaged = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=function)
    for epoch in range(1, epochs + 1):
        order = torch.randperm(len(y), generator=stream(seed, "order", epoch))
        loss_sum = hits = seen = 0.0
        net.train()
        for i in range(per_epoch):
            index = order[i * batch_size : (i + 1) * batch_size]
            if zero_grad:
                opt.zero_grad()
            logits = net(x[index])
            value = train_loss(logits, y[index])
            weighted(train_loss, logits, y[index], class_weights).backward()
            if clip_norm is not None:
                nn.utils.clip_grad_norm_(net.parameters(), clip_norm)
            lr = opt.param_groups[0]["lr"]
            opt.step()
            sched.step()
            clock["step"] += 1
            if average == "ema":
                averaged.update_parameters(net)
            loss_sum += value.item() * len(index)
            hits += (logits.argmax(-1) == y[index]).sum().item()
            seen += len(index)
        if average == "swa" and epoch >= swa_start:
            averaged.update_parameters(net)
        evaluated = averaged.module if averaged is not None and averaged.n_averaged else net
        rows.append((loss_sum / seen, hits / seen, *measure(evaluated, compute_loss, *val_split), lr))
        if epoch == stop_after:
            break
    return rows, evaluated
