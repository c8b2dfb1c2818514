"""Networks as a user might write them."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn


class Perceptron(nn.Module):
    """As the built-in multi-layer perceptron with one hidden layer."""

    def __init__(self, n_features, n_classes, *, units: int = 16, dropout: float = 0.0):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features, units), nn.ReLU(), nn.Dropout(dropout), nn.Linear(units, n_classes)
        )

    def forward(self, x):
        return self.layers(x)


class LayerNormed(nn.Module):
    """A residual block with a layer norm, whose shape keeps full registers."""

    def __init__(self, n_features, n_classes, *, units: int = 16):
        super().__init__()
        self.first, self.last = nn.Linear(n_features, units), nn.Linear(units, n_classes)
        self.norm, self.inner = nn.LayerNorm(units), nn.Linear(units, units)

    def forward(self, x):
        x = self.first(x)
        return self.last(x + self.inner(self.norm(x)).relu())


class BatchNormed(nn.Module):
    def __init__(self, n_features, n_classes, *, units: int = 64):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features, units), nn.BatchNorm1d(units), nn.ReLU(), nn.Linear(units, n_classes)
        )

    def forward(self, x):
        return self.layers(x)


class Embedded(nn.Module):
    """Each feature's sign chooses a vector."""

    def __init__(self, n_features, n_classes, *, size: int = 4):
        super().__init__()
        self.vectors, self.last = nn.Embedding(2, size), nn.Linear(n_features * size, n_classes)

    def forward(self, x):
        return self.last(self.vectors((x > 0).long()).flatten(1))


class Convolutional(nn.Module):
    def __init__(self, n_features, n_classes, *, channels: int = 3):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, channels, (1, 3), padding=(0, 1)), nn.BatchNorm2d(channels)
        self.drop, self.last = nn.Dropout2d(0.3), nn.Linear(channels * n_features, n_classes)

    def forward(self, x):
        return self.last(self.drop(self.norm(self.conv(x[:, None, None])).relu()).flatten(1))


class Attentive(nn.Module):
    """Features as tokens."""

    def __init__(self, n_features, n_classes, *, size: int = 8):
        super().__init__()
        self.up, self.attention = nn.Linear(1, size), nn.MultiheadAttention(size, 2, batch_first=True)
        self.last = nn.Linear(size, n_classes)

    def forward(self, x):
        x = self.up(x[..., None])
        return self.last((x + self.attention(x, x, x, need_weights=False)[0]).mean(1))


class Tied(nn.Module):
    """One matrix up and down, and a frozen one at the end."""

    def __init__(self, n_features, n_classes, *, units: int = 16):
        super().__init__()
        self.up, self.down = nn.Linear(n_features, units), nn.Linear(n_features, units, bias=False)
        self.down.weight = self.up.weight
        self.last = nn.Linear(n_features, n_classes, bias=False).requires_grad_(False)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.last(self.scale * (self.up(x).tanh() @ self.down.weight))


class Counting(nn.Module):
    """Python control flow, a buffer that is assigned, and buffers of several types."""

    def __init__(self, n_features, n_classes, *, depth: int = 2, widest: bool = False):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(n_features, n_features) for _ in range(depth))
        self.last = nn.Linear(n_features, n_classes)
        self.register_buffer("n_batches", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(n_features, dtype=torch.float64))
        self.register_buffer("used", torch.ones(n_features, dtype=torch.bool))

    def forward(self, x):
        if self.training:
            self.n_batches = self.n_batches + 1
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
        for block in self.blocks:
            x = x + block(torch.where(self.used, x, 0.0)).relu()
        return self.last(x - self.mean.float())


class Branching(nn.Module):
    """Control flow that depends on values, which vmap cannot follow."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.last = nn.Linear(n_features, n_classes)

    def forward(self, x):
        return self.last(x if x.mean() > 0 else x.abs())


class Recurrent(nn.Module):
    def __init__(self, n_features, n_classes, *, size: int = 5):
        super().__init__()
        self.gru, self.last = nn.GRU(1, size, batch_first=True), nn.Linear(size, n_classes)

    def forward(self, x):
        return self.last(self.gru(x[..., None])[0][:, -1])


class Noisy(nn.Module):
    """Draws from torch's global generator in training, and when it is evaluated."""

    def __init__(self, n_features, n_classes, *, size: float = 0.1):
        super().__init__()
        self.size, self.last = size, nn.Linear(n_features, n_classes)

    def forward(self, x):
        return self.last(x + self.size * torch.rand_like(x))


TOGETHER = (Perceptron, LayerNormed, BatchNormed, Embedded, Tied, Counting)
ALONE = {
    Attentive: "aten::_scaled_dot_product_flash_attention_for_cpu has no batching rule",
    Convolutional: "its last bits depend", Branching: "Branching: RuntimeError: vmap", Recurrent: "nn.GRU has no",
    Noisy: "Noisy draws random numbers",
}  # fmt: skip
MODULES = (*TOGETHER, *ALONE)


class WrongShape(nn.Module):
    def __init__(self, n_features, n_classes):
        super().__init__()
        self.last = nn.Linear(n_features, 1)

    def forward(self, x):
        return self.last(x)[:, 0]


class Failing(nn.Module):
    def __init__(self, n_features, n_classes):
        super().__init__()
        self.last = nn.Linear(n_features + 1, n_classes)

    def forward(self, x):
        return self.last(x)


class Double(nn.Module):
    def __init__(self, n_features, n_classes):
        super().__init__()
        self.last = nn.Linear(n_features, n_classes, dtype=torch.float64)

    def forward(self, x):
        return self.last(x.double())


class Constant(nn.Module):
    def __init__(self, n_features, n_classes):
        super().__init__()
        self.n_classes = n_classes

    def forward(self, x):
        return x.new_zeros(len(x), self.n_classes)


class Lazy(nn.Module):
    def __init__(self, n_features, n_classes):
        super().__init__()
        self.last = nn.LazyLinear(n_classes)

    def forward(self, x):
        return self.last(x)


class OtherGenerator(nn.Module):
    def __init__(self, n_features, n_classes):
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(np.random.standard_normal((n_features, n_classes))).float())

    def forward(self, x):
        return x @ self.weight


class Refusing(nn.Module):
    def __init__(self, n_features, n_classes, *, size: int = 3):
        super().__init__()
        raise ValueError(f"size must be even, got {size}")


class OneByOne(nn.Module):
    """A batch norm, which cannot train on the one sample that is left over."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.norm, self.last = nn.BatchNorm1d(n_features), nn.Linear(n_features, n_classes)

    def forward(self, x):
        return self.last(self.norm(x))


WRONG = {
    WrongShape: r"model=wrong_shape cannot be trained: its forward must return logits of the shape \(samples, classes\) "
    r"= \(25, 3\), got \(25,\) \(modules\.py, digest",
    Failing: r"model=failing cannot be trained: it fails on a batch of 25 samples: nn\.Linear: RuntimeError: .*"
    r"cannot be multiplied \(25x6 and 7x3\) \(modules\.py",
    Double: r"last\.weight is float64, and trained parameters must be float32",
    Constant: r"it has no parameters to train",
    Lazy: r"last\.weight has no shape before the first batch; give its layer all sizes",
    OtherGenerator: r"two networks of one seed have different first weights",
    Refusing: r"model=refusing cannot be built with size=3: ValueError: size must be even, got 3 \(modules\.py",
    OneByOne: r"it fails on a batch of 1 samples: .*; to leave out the last batch type trainer\.drop_last=true",
}
