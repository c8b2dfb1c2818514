"""Hydra's basic sweeper, which checks the whole grid before anything is written and keeps the log of its jobs.

Hydra's basic sweeper is no public class: only this file imports it, and tests/hydra_plugin/test_launcher.py holds the
contract.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.phalanx._compose import Composer
from hydra_plugins.phalanx._overrides import lines_of
from hydra_plugins.phalanx._request import swept_objective
from hydra_plugins.phalanx._secrets import refuse_in_config
from hydra_plugins.phalanx._spaces import trains_here, without_hydra
from hydra_plugins.phalanx._state import STATE, hydra_config
from hydra_plugins.phalanx.launcher import CohortLauncher, is_marked, job_config
from phalanx.core.errors import Fault, RequestError, SpecError

KEY = "hydra.sweeper"
MOST_JOBS = 100_000  # whoever asks for more has mistyped a range
MOST_TRIED = 100  # jobs, until one is found that can be trained


class GridSweeper(BasicSweeper):
    """Options: conf/hydra/sweeper/basic.yaml, which are those of Hydra's own."""

    def __init__(self, max_batch_size: Any = None, params: Any = None, **others: Any) -> None:
        super().__init__(max_batch_size, params)
        self.others = others

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Sets the sweeper up, with one composer for itself and its launcher."""
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self.composer = Composer(hydra_context.config_loader, config)
        self.ours = is_marked(task_function)
        if isinstance(self.launcher, CohortLauncher):
            self.launcher.composer = self.composer

    def sweep(self, arguments: list[str]) -> Any:
        """Runs all combinations. Raises `RequestError` before anything is written if none of them can be trained."""
        assert self.config is not None
        refuse_in_config(self.config)
        self._check_keys()
        overrides = self._parsed(arguments)
        n_jobs = _n_jobs(overrides)
        if self.ours:
            self._check_jobs(overrides)
            self._begin(n_jobs)
        return super().sweep(arguments)

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Composes every job of the batch, unless `sweep` has done it."""
        if not self.ours:
            for overrides in batch:
                self.composer.compose(list(overrides))

    def _check_keys(self) -> None:
        known = "max_batch_size, params"
        faults: list[Fault | str] = [
            f"{KEY}.{key} is not a key of a grid; known: {known}; for a search try hydra/sweeper=optuna"
            for key in self.others
        ]
        size = self.max_batch_size
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
            advice = f"{KEY}.max_batch_size=null"
            faults.append(Fault(f"{KEY}.max_batch_size", size, "a whole number of at least 1 or null", advice))
        if not isinstance(self.params, Mapping):
            faults.append(Fault(f"{KEY}.params", self.params, "a mapping or null", f"'{KEY}.params={{seed: \"0,1\"}}'"))
        if faults:
            raise SpecError(faults)

    def _parse_config(self) -> list[str]:
        """The overrides of `params`; values that are no text, such as null, as Hydra's grammar has them."""
        params = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.create(dict(self.params)), resolve=True))
        return lines_of(params)

    def _parsed(self, arguments: Sequence[str]) -> dict[str, Override]:
        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        return {o.get_key_element(): o for o in parser.parse_overrides([*self._parse_config(), *arguments])}

    def _check_jobs(self, overrides: Mapping[str, Override]) -> None:
        """Composes every job, and raises the faults of the first one if no job can be trained."""
        from phalanx.jobs.job import check_trial
        from phalanx.runs.config import settings

        assert self.config is not None
        (jobs,) = self.split_arguments(list(overrides.values()), None)
        here = trains_here(self.config.hydra.launcher)
        first: RequestError | None = None
        sound = False
        for number, job in enumerate(jobs):
            config = job_config(self.composer, job, number)
            if sound or number >= MOST_TRIED:
                continue
            try:
                with hydra_config(config):
                    trial = settings(without_hydra(config)).trial
                    if here:  # elsewhere there may be other data and devices
                        check_trial(trial, here=True)
                sound = True
            except RequestError as error:
                first = first or error
        if first is not None and not sound:
            raise first

    def _begin(self, n_jobs: int) -> None:
        from phalanx.jobs.sweep_log import SweepLog
        from phalanx.runs.layout import make_folder

        assert self.config is not None
        folder = Path(self.config.hydra.sweep.dir)
        make_folder(folder, "hydra.sweep.dir", "sweeps/mine")
        sweep_log = SweepLog(folder, self.config, n_trials=n_jobs, manifest={"search": False})
        sweep_log.start()
        STATE.sweep_log = sweep_log  # which the callback ends


def _n_jobs(overrides: Mapping[str, Override]) -> int:
    """Returns the number of combinations. Raises `SpecError` for a sweep without values or end, or of objectives."""
    swept = {key.lstrip("+"): override for key, override in overrides.items() if override.is_sweep_override()}
    faults, n_jobs = swept_objective(swept), 1
    for key, override in swept.items():
        if not override.is_discrete_sweep():
            faults.append(
                f"{override.input_line} is a range to search, and a grid needs values; try {key}=<value>,<value>, or "
                "search it with hydra/sweeper=optuna"
            )
            continue
        try:
            n_values = sum(1 for _ in itertools.islice(override.sweep_string_iterator(), MOST_JOBS + 1))
        except ValueError as error:
            faults.append(f"{override.input_line} has no values: {error}; try {key}=<value>,<value>")
            continue
        if n_values == 0:
            faults.append(f"{override.input_line} has no values; try {key}=<value>,<value>")
        n_jobs *= n_values
    if n_jobs > MOST_JOBS:
        faults.append(
            f"the grid has more than {MOST_JOBS:,} jobs; write shorter lists or ranges, or search them with "
            "hydra/sweeper=optuna"
        )
    if faults:
        raise SpecError(faults)
    return n_jobs
