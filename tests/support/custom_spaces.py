"""Functions for `hydra.sweeper.custom_search_space`."""

from __future__ import annotations


def rate(config, trial):
    trial.suggest_float("optimizer.lr", 0.001, 0.1, log=True)


def momentum_of_sgd(config, trial):
    if trial.suggest_categorical("optimizer", ["sgd", "adam"]) == "sgd":
        trial.suggest_float("optimizer.momentum", 0, 0.9)


def fails(config, trial):
    raise KeyError("nothing")


def fails_later(config, trial):
    rate(config, trial)
    if trial.number == 1:
        fails(config, trial)
