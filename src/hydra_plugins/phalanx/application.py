"""What a `train.py` is made of, and `phalanx train`, which needs none."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import hydra
from omegaconf import DictConfig

from hydra_plugins.phalanx._entry import main as guarded
from hydra_plugins.phalanx._entry import run_job
from hydra_plugins.phalanx._project import Project
from hydra_plugins.phalanx.launcher import trains_together
from phalanx.runs.config import register_resolvers

__all__ = ["MAY_CALL", "guarded", "run_job", "train", "trains_together"]

register_resolvers()

# What a config may call. A config is data here: a `_target_` outside this list is refused.
MAY_CALL = ("hydra_plugins.*", "hydra._internal.core_plugins.*", "optuna.samplers.*", "logging.*")


def train(arguments: Sequence[str]) -> NoReturn:
    """Does what `python train.py` does, with `conf/`, `extensions/` and `experiments/` of the working directory.

    Args:
        arguments: What was typed behind `phalanx train`.

    Raises:
        SystemExit: Always, with the exit status.
    """

    @trains_together
    def main(cfg: DictConfig) -> float | tuple[float, ...]:
        return run_job(cfg)

    main.__module__ = "train"  # from which Hydra takes the name of the job
    project = Project(Path.cwd())
    sys.argv = ["phalanx train", *arguments]
    guarded(
        hydra.main(config_path=str(project.conf), config_name="config", execution_whitelist=MAY_CALL)(main), project
    )
