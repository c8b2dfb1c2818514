"""One run against a plain in-memory torch loop: epoch time, and time from import to the first training step.

    python benchmarks/single_run.py [--data-root ../shared/data] [--rounds 5]

Both train the same network on the same data in memory with the same batch size and optimizer; the plain loop does
what one writes by hand: `nn.Sequential`, `torch.optim`, `randperm`, loss and accuracy summed without a transfer per
step, and a validation pass. The two alternate, so that a machine that slows down slows both.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import nn

from phalanx import MLP, OPTIMIZERS, TrainerSpec, TrialSpec, load_dataset, train_trial
from phalanx.data.digits import Digits
from phalanx.data.mnist import Mnist

CASES = (
    ("digits 64-64-64-10, batch 32, Adam", "digits", (64, 64), 32, "adam", 10),
    ("digits 64-32-10, batch 32, SGD", "digits", (32,), 32, "sgd", 10),
    ("MNIST 784-128-64-10, batch 128, Adam", "mnist", (128, 64), 128, "adam", 1),
    ("MNIST 784-128-64-10, batch 128, SGD", "mnist", (128, 64), 128, "sgd", 1),
    ("MNIST 784-256-128-10, batch 128, Adam", "mnist", (256, 128), 128, "adam", 1),
)


def plain_loop(dataset, hidden, batch_size, optimizer, epochs, lr):
    """Seconds for `epochs` epochs of an ordinary loop."""
    widths = (dataset.n_features, *hidden, dataset.n_classes)
    layers = []
    for n_in, n_out in itertools.pairwise(widths):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    net = nn.Sequential(*layers[:-1])
    opt = torch.optim.Adam(net.parameters(), lr) if optimizer == "adam" else torch.optim.SGD(net.parameters(), lr, 0.9)
    criterion, n = nn.CrossEntropyLoss(), len(dataset.train)
    x, y = dataset.train.x_ND, dataset.train.y_N
    start = time.perf_counter()
    for _ in range(epochs):
        order, total, hits = torch.randperm(n), torch.zeros(()), torch.zeros(())
        for i in range(0, n, batch_size):
            index = order[i : i + batch_size]
            opt.zero_grad()
            logits = net(x[index])
            loss = criterion(logits, y[index])
            loss.backward()
            opt.step()
            total += loss.detach() * len(index)
            hits += (logits.argmax(-1) == y[index]).sum()
        with torch.no_grad():
            logits = net(dataset.val.x_ND)
            criterion(logits, dataset.val.y_N).item()
            (logits.argmax(-1) == dataset.val.y_N).double().mean().item()
        float(total / n), float(hits / n)
    return time.perf_counter() - start


def ours(dataset, hidden, batch_size, optimizer, epochs, lr):
    """Seconds for the same through `train_trial`, whose own time leaves out the final evaluation."""
    spec = TrialSpec(
        model=MLP(hidden=hidden),
        optimizer=OPTIMIZERS[optimizer](lr=lr),
        trainer=TrainerSpec(epochs=epochs, batch_size=batch_size),
    )
    return train_trial(spec, dataset).train_seconds


def spread(values):
    return f"{statistics.median(values):.3f} ({min(values):.3f}-{max(values):.3f})"


def epoch_times(args):
    data = {"digits": load_dataset(Digits())}
    if (Path(args.data_root) / "MNIST").is_dir():
        data["mnist"] = load_dataset(Mnist(root=args.data_root))
    print(f"{args.rounds} alternating rounds, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print("| work | plain loop, s an epoch | Phalanx, s an epoch | Phalanx / plain |")
    print("| --- | --- | --- | --- |")
    for name, source, hidden, batch_size, optimizer, epochs in CASES:
        if source not in data:
            print(f"| {name} | the MNIST files are not in {args.data_root} | | |")
            continue
        case = (data[source], hidden, batch_size, optimizer, epochs, 0.001)
        pairs = [(plain_loop(*case) / epochs, ours(*case) / epochs) for _ in range(args.rounds + 1)][1:]
        plain, mine = zip(*pairs, strict=True)
        print(f"| {name} | {spread(plain)} | {spread(mine)} | {spread([b / a for a, b in pairs])} |")


FIRST_STEP = {
    "plain loop": """
import time; start = time.time()
import torch
from sklearn.datasets import load_digits
d = load_digits(); x = torch.tensor(d.data, dtype=torch.float32) / 16; y = torch.tensor(d.target)
net = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
opt = torch.optim.Adam(net.parameters())
torch.nn.functional.cross_entropy(net(x[:32]), y[:32]).backward(); opt.step()
print(time.time() - start)
""",
    "Phalanx, Python": """
import time; start = time.time()
from phalanx import Callback, TrialSpec, load_dataset, train_trial
class First(Callback):
    def on_step(self, epoch, step):
        if (epoch, step) == (1, 1): print(time.time() - start)
train_trial(TrialSpec(), load_dataset(TrialSpec().data), First())
""",
    "Phalanx, train.py with Hydra": """
import sys, time; start = time.time()
from phalanx.jobs.run_progress import RunProgress
on_step = RunProgress.on_step
def first(self, epoch, step):
    if (epoch, step) == (1, 1): print("FIRST", time.time() - start)
RunProgress.on_step = first
sys.argv = ["train.py", "tracking=none", "trainer.epochs=1", "hydra.run.dir=outputs/runs/benchmark-first-step"]
import runpy; runpy.run_path("train.py", run_name="__main__")
""",
}


def first_step(args):
    print("\n| until the first update | seconds |\n| --- | --- |")
    rounds = {name: [] for name in FIRST_STEP}
    for _ in range(args.rounds):
        for name, code in FIRST_STEP.items():
            out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
            numbers = [line.split()[-1] for line in out.splitlines() if line.startswith("FIRST") or "." in line[:3]]
            rounds[name].append(float(numbers[0]))
    for name, seconds in rounds.items():
        print(f"| {name} | {spread(seconds)} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-root", default="../shared/data")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    epoch_times(arguments)
    first_step(arguments)
