"""What of a search follows from the epochs of a trial, where `trainer.min_updates` raises them by the data."""

from __future__ import annotations

import contextlib
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from hydra_plugins.phalanx._compose import without_hydra
from hydra_plugins.phalanx._options import KEY
from hydra_plugins.phalanx._overrides import raw_list
from phalanx.core.errors import RequestError
from phalanx.runs.config import trial_spec

EPOCHS = "${trainer.epochs}"  # as conf/hydra/sweeper/pruner/hyperband.yaml refers to them
NAME = "max_resource"


def raise_max_resource(keys: dict[str, Any], config: DictConfig) -> None:
    """Sets the longest training of Hyperband, in the keys and for the jobs, where it is `trainer.epochs` and too short.

    A search with a fault, which is told later, is left as it is.

    Args:
        keys: The plain values under `hydra.sweeper`.
        config: The composed config of the sweep.
    """
    trainer, pruner = config.get("trainer"), config.hydra.sweeper.get("pruner")
    if not trainer or trainer.get("min_updates") is None or not isinstance(pruner, DictConfig):
        return
    plain = OmegaConf.to_container(pruner, resolve=False)
    if not isinstance(plain, dict) or plain.get(NAME) != EPOCHS:
        return
    from phalanx.data.cache import dataset_of
    from phalanx.training.epochs import with_epochs

    with contextlib.suppress(RequestError):
        spec = trial_spec(without_hydra(config))
        n_epochs = with_epochs(spec, len(dataset_of(spec.data).train)).trainer.n_epochs
        keys["pruner"] = {**keys["pruner"], NAME: n_epochs}
        given = raw_list(config.hydra.overrides.hydra)
        with read_write(config), read_write(config.hydra), read_write(config.hydra.sweeper), open_dict(config):
            config.hydra.sweeper.pruner[NAME] = n_epochs
            config.hydra.overrides.hydra = [*given, f"{KEY}.pruner.{NAME}={n_epochs}"]
