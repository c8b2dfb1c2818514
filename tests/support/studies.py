"""Search spaces, cheap functions in place of training, and studies for tests of the search."""

from __future__ import annotations

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from phalanx.core.result import EpochMetrics
from phalanx.study import Outcome, open_study

SMALL = {
    "x": FloatDistribution(-2, 2),
    "n": IntDistribution(1, 9, step=2),
    "kind": CategoricalDistribution(["a", "b"]),
}

SPACE = {
    "lr": FloatDistribution(1e-4, 1.0, log=True),
    "width": IntDistribution(8, 64, step=8),
    "kind": CategoricalDistribution(["sgd", "adam", "[128,64]"]),
    "momentum": FloatDistribution(0.0, 0.9),
}
WHEN = {"momentum": "kind=sgd"}
COIN = {"side": CategoricalDistribution(["head", "tail"])}


def cost(params):
    """The objective of a point of `SMALL`."""
    return (params["x"] - 1) ** 2 + params["n"] + (params["kind"] == "b")


def evaluate(proposals):
    """The outcomes of points of `SMALL`."""
    return [Outcome((cost(p.params),)) for p in proposals]


def study_at(tmp_path, seed=0):
    """A study in a file of the folder; each call opens it again."""
    url = f"sqlite:///{tmp_path / 'study.db'}"
    return open_study("s", url, ["minimize"], optuna.samplers.RandomSampler(seed=seed))


def study(tmp_path=None, name="s", directions=("minimize",), sampler=None):
    """A study in memory or, with a folder, in a file."""
    url = None if tmp_path is None else f"sqlite:///{tmp_path / f'{name}.db'}"
    return open_study(name, url, list(directions), sampler or optuna.samplers.RandomSampler(seed=0))


def value(params):
    """The objective of a point of `SPACE`."""
    return (params["lr"] - 0.1) ** 2 + params["width"]


def good(proposals):
    """The outcomes of points of `SPACE`."""
    return [Outcome((value(p.params),)) for p in proposals]


def valued(*values):
    """Returns an `evaluate` that gives these values one after another; None fails."""
    left = iter(values)
    return lambda ps: [Outcome(None if (v := next(left)) is None else (v,)) for _ in ps]


def epoch(number, accuracy):
    """A row of metrics of an epoch."""
    return EpochMetrics(number, 1.0, 0.5, 0.5, 1.0, accuracy, 0.5, 0.1, 0.0)


class Killed(BaseException):
    """The end of a driver in the middle of an evaluation."""
