"""A search as tutorials put one together: Hydra, its Optuna sweeper, a DataLoader, a loop, MLflow's fluent API.

    python benchmarks/tutorial_way.py -m hydra/sweeper=optuna hydra.sweeper.n_trials=20 '+lr=interval(0.001,0.01)'

The same network, data and epochs as `python train.py`. `benchmarks/tutorial.py` compares the two.
"""

from __future__ import annotations

import hydra
import mlflow
import torch
from omegaconf import DictConfig
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

EPOCHS, BATCH = 20, 32


def loaders(seed: int) -> tuple[DataLoader, DataLoader]:
    """Batches for training and for validation."""
    x, y = load_digits(return_X_y=True)
    x_train, x_val, y_train, y_val = train_test_split(x / 16, y, test_size=0.2, random_state=seed, stratify=y)
    splits = [(x_train, y_train), (x_val, y_val)]
    train, val = (TensorDataset(torch.tensor(x, dtype=torch.float32), torch.tensor(y)) for x, y in splits)
    return DataLoader(train, BATCH, shuffle=True), DataLoader(val, 256)


@torch.no_grad()
def accuracy(network: nn.Module, batches: DataLoader) -> float:
    """The share of samples that are classified correctly."""
    network.eval()
    right = [(network(x).argmax(1) == y).float() for x, y in batches]
    return float(torch.cat(right).mean())


@hydra.main(config_path=None, version_base="1.3")
def main(config: DictConfig) -> float:
    torch.manual_seed(0)
    train, val = loaders(0)
    layers = (nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    network, loss_of = nn.Sequential(*layers), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(network.parameters(), lr=config.get("lr", 0.0015))
    best = 0.0
    with mlflow.start_run():
        mlflow.log_params(dict(config))
        for epoch in range(EPOCHS):
            network.train()
            total = 0.0
            for x, y in train:
                optimizer.zero_grad()
                loss = loss_of(network(x), y)
                loss.backward()
                optimizer.step()
                total += loss.item() * len(x)
            found = accuracy(network, val)
            best = max(best, found)
            mlflow.log_metric("train_loss", total / len(train.dataset), epoch)
            mlflow.log_metric("val_accuracy", found, epoch)
        torch.save(network.state_dict(), "model.pt")
        mlflow.log_artifact("model.pt")
    return -best


if __name__ == "__main__":
    main()
