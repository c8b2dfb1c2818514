"""False alarms of the corrected resampled t-test among small networks that are equal in truth, over folds and draws.

    python benchmarks/overlapping_networks.py [--quick]

Each network of 5-8-1 units sees one of two exchangeable sets of five features of 100 rows, and trains by Adam on all
rows of its fold at once, for 60 steps (about where it is best) or 300 (by when it overfits). All networks of all folds
of 20 simulations train as one stack. Axes: S simulations, N rows, J folds, L learners, K = S·L·J networks, D features,
H units.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from overlapping import Fold, N, draws, k_fold, shown
from torch import Tensor

from phalanx.analysis.overlap import correlation_of_values

AT_ONCE, D, H, SHIFT = 20, 5, 8, 0.4
LR, BETAS, EPS = 0.01, (0.9, 0.999), 1e-8


def accuracies(folds: list[Fold], n: int, steps: int, stream: np.random.Generator) -> np.ndarray:
    """The accuracies (S, J, L) of `n` simulations, a multiple of `AT_ONCE`, on each fold's own rows."""
    found = []
    train_JN = torch.zeros(len(folds), N)
    for place, (rows, _) in enumerate(folds):
        train_JN[place, torch.from_numpy(rows)] = 1
    for start in range(0, n, AT_ONCE):
        y_SN = np.tile(np.arange(N) % 2, (AT_ONCE, 1))
        x_SNLD = stream.normal(size=(AT_ONCE, N, 2, D)) + SHIFT * (2 * y_SN[:, :, None, None] - 1)
        shape = AT_ONCE, 2, len(folds), N
        x_KND = (
            torch.tensor(x_SNLD.transpose(0, 2, 1, 3)[:, :, None], dtype=torch.float32).expand(*shape, D).flatten(0, 2)
        )
        y_KN = torch.tensor(y_SN[:, None, None], dtype=torch.float32).expand(shape).flatten(0, 2)
        train_KN = train_JN.expand(shape).flatten(0, 2)
        right_KN = (trained(x_KND, y_KN, train_KN, steps, start) > 0) == (y_KN > 0)
        shares_K = (right_KN * (1 - train_KN)).sum(1) / (1 - train_KN).sum(1)
        found.append(shares_K.reshape(shape[:3]).permute(0, 2, 1).numpy())
    return np.concatenate(found)


def trained(x_KND: Tensor, y_KN: Tensor, train_KN: Tensor, steps: int, seed: int) -> Tensor:
    """The logits (K, N) of all rows after `steps` of Adam on the training rows."""
    random, n = torch.Generator().manual_seed(seed), len(x_KND)
    w = [(torch.rand(n, rows, columns, generator=random) * 2 - 1) / fan_in**0.5
         for rows, columns, fan_in in ((D, H, D), (1, H, D), (H, 1, H))] + [torch.zeros(n, 1, 1)]  # fmt: skip
    first, second = [torch.zeros_like(part) for part in w], [torch.zeros_like(part) for part in w]
    for step in range(1, steps + 1):
        hidden_KNH = torch.baddbmm(w[1], x_KND, w[0]).clamp_min(0)
        logits_KN = torch.baddbmm(w[3], hidden_KNH, w[2])[..., 0]
        d_logits = ((torch.sigmoid(logits_KN) - y_KN) * train_KN / train_KN.sum(1, keepdim=True))[..., None]
        d_hidden = (d_logits @ w[2].mT) * (hidden_KNH > 0)
        gradients = (x_KND.mT @ d_hidden, d_hidden.sum(1, True), hidden_KNH.mT @ d_logits, d_logits.sum(1, True))
        for part, m, v, gradient in zip(w, first, second, gradients, strict=True):
            m.mul_(BETAS[0]).add_(gradient, alpha=1 - BETAS[0])
            v.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
            part.sub_(LR * (m / (1 - BETAS[0] ** step)) / ((v / (1 - BETAS[1] ** step)).sqrt() + EPS))
    return torch.baddbmm(w[3], torch.baddbmm(w[1], x_KND, w[0]).clamp_min(0), w[2])[..., 0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20 simulations each: does it still run?")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    stream = np.random.default_rng(0)
    titles = "taken for independent | Nadeau and Bengio | now"
    print(f"| steps | folds | simulations | accuracy | {titles} |\n|" + " --- |" * 7)
    for steps in (60, 300):
        kinds = (("5", k_fold(5, 1, stream), 5, 0.2, 600), ("5, 3 times", k_fold(5, 3, stream), 5, 0.2, 600),
                 ("10 draws of a fifth", draws(10, 0.2, stream), 1, 0.2, 600),
                 ("10, 10 times", k_fold(10, 10, stream), 10, 0.1, 200))  # fmt: skip
        for name, folds, of_division, evaluated, n in kinds:
            tables_SJL = accuracies(folds, AT_ONCE if quick else n, steps, stream)
            now = correlation_of_values(evaluated, [place // of_division for place in range(len(folds))])
            rates = (shown(tables_SJL, correlation) for correlation in (0.0, evaluated, now))
            cells = [str(steps), name, str(len(tables_SJL)), f"{tables_SJL.mean():.3f}"]
            print("| " + " | ".join([*cells, *(f"{100 * rate:.1f} %" for rate in rates)]) + " |", flush=True)


if __name__ == "__main__":
    main()
