"""Hydra's basic sweeper, whose check of a batch composes the jobs as quickly as the cohort launcher does.

Hydra's basic sweeper is no public class: only this file imports it, and tests/hydra_plugin/test_launcher.py holds the
contract.
"""

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.phalanx._compose import Composer
from hydra_plugins.phalanx.launcher import CohortLauncher


class GridSweeper(BasicSweeper):
    """Options: conf/hydra/sweeper/basic.yaml, which are those of Hydra's own."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Sets the sweeper up, with one composer for itself and its launcher."""
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self.composer = Composer(hydra_context.config_loader, config)
        if isinstance(self.launcher, CohortLauncher):
            self.launcher.composer = self.composer

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Composes every job of the batch before the first one runs."""
        for overrides in batch:
            self.composer.compose(list(overrides))
