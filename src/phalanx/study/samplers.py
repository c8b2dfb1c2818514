"""Chooses a sampler that suits a search, and its seed at each start of a study."""

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution

GP_TRIALS = 250  # beyond so many, fitting a Gaussian process costs more than small trials do
NSGA_TRIALS = 500  # an evolutionary search needs several generations of 50

# These keep their place in the study itself, so that a new seed at a later start would break them.
STATEFUL = (optuna.samplers.GridSampler, optuna.samplers.QMCSampler, optuna.samplers.CmaEsSampler)


def automatic(
    space: Mapping[str, BaseDistribution], *, conditional: bool, n_objectives: int, n_trials: int,
    seed: int | None = None,
) -> tuple[optuna.samplers.BaseSampler, str]:  # fmt: skip
    """Chooses a sampler that suits the space and the number of trials.

    Args:
        space: Distributions by parameter.
        conditional: Whether a trial may lack parameters or have others: there are conditions, a function of the user's
            that draws, or trials of another study.
        n_objectives: Number of objectives, from 1.
        n_trials: Total number of trials of the study.
        seed: Of the sampler; None draws other points each time.

    Returns:
        The sampler, and the reason for it, to be logged.
    """
    choices = [len(d.choices) for d in space.values() if isinstance(d, CategoricalDistribution)]
    if len(choices) == len(space) and not conditional and math.prod(choices) <= n_trials:
        return optuna.samplers.BruteForceSampler(seed), f"brute_force: the space has only {math.prod(choices)} points"
    if n_objectives > 1 and n_trials >= NSGA_TRIALS:
        return optuna.samplers.NSGAIISampler(seed=seed), f"nsgaii: {n_objectives} objectives and {n_trials} trials"
    if conditional or choices or n_objectives > 1:
        reason = (
            "conditions, a custom space or a warm start"
            if conditional
            else "choices"
            if choices
            else "several objectives"
        )
        return optuna.samplers.TPESampler(seed=seed), f"tpe: the search has {reason}"
    if n_trials <= GP_TRIALS:
        return optuna.samplers.GPSampler(seed=seed), f"gp: numbers only and at most {GP_TRIALS} trials"
    return optuna.samplers.CmaEsSampler(seed=seed), f"cmaes: numbers only and more than {GP_TRIALS} trials"


def seed_of_start(seed: int | None, n_trials: int) -> int | None:
    """Returns the sampler's seed for a start that finds `n_trials` in the study.

    The same seed again would draw the same points again; a first start keeps the seed as it is given.
    """
    if seed is None or n_trials == 0:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed} {n_trials}".encode()).digest()[:4], "big")


def reseeded(config: Mapping[str, Any], target: type | None, n_trials: int) -> dict[str, Any]:
    """Returns a sampler's options with the seed of a start.

    Args:
        config: The sampler's options, `seed` among them or not.
        target: The sampler's class, where it is known; some samplers have to keep their seed.
        n_trials: Number of trials that the start finds in the study.
    """
    if target in STATEFUL:
        return dict(config)
    return {**config, "seed": seed_of_start(config.get("seed"), n_trials)}
