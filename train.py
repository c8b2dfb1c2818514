"""Trains one configuration, or sweeps over many: `python train.py --help`, README.md."""

import hydra
from omegaconf import DictConfig

from hydra_plugins.phalanx._entry import main as guarded
from hydra_plugins.phalanx._entry import run_job
from hydra_plugins.phalanx.launcher import trains_together
from phalanx.runs.config import register_resolvers

register_resolvers()


# What a config may call. A config is data here: a `_target_` outside this list is refused.
MAY_CALL = ("hydra_plugins.*", "hydra._internal.core_plugins.*", "optuna.samplers.*", "logging.*")


@hydra.main(config_path="conf", config_name="config", execution_whitelist=MAY_CALL)
@trains_together
def main(cfg: DictConfig) -> float | tuple[float, ...]:
    return run_job(cfg)


if __name__ == "__main__":
    guarded(main)
