"""Trains one configuration, or sweeps over many: `python train.py --help`, README.md."""

import hydra
from omegaconf import DictConfig

from hydra_plugins.phalanx.application import MAY_CALL, guarded, run_job, trains_together


@hydra.main(config_path="conf", config_name="config", execution_whitelist=MAY_CALL)
@trains_together
def main(cfg: DictConfig) -> float | tuple[float, ...]:
    return run_job(cfg)


if __name__ == "__main__":
    guarded(main)
