"""Hydra's basic sweeper, which composes every job before the first one runs, at the price of one a choice of groups.

The basic sweeper is no public class: this file alone knows it, and tests/test_launcher.py holds the contract.
"""

from __future__ import annotations

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

from hydra_plugins.phalanx._compose import composer_of


class GridSweeper(BasicSweeper):
    """Options: conf/hydra/sweeper/basic.yaml, which are those of Hydra's own."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        composer = composer_of(self.hydra_context.config_loader, self.config)
        for overrides in batch:
            composer.compose(list(overrides))
