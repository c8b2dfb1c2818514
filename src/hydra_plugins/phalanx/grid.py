"""Hydra's basic sweeper, which checks the whole grid before anything is written and keeps the log of its jobs.

Hydra's basic sweeper is no public class: only this file imports it, and tests/hydra_plugin/test_launcher.py holds the
contract.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.phalanx._arguments import check_grammar, swept_objective
from hydra_plugins.phalanx._compose import Composer, trains_here
from hydra_plugins.phalanx._folders import check_grid, lock_sweep
from hydra_plugins.phalanx._job_config import job_config
from hydra_plugins.phalanx._overrides import lines_of, some_values
from hydra_plugins.phalanx._secrets import refuse_in_config
from hydra_plugins.phalanx._state import STATE
from hydra_plugins.phalanx.launcher import CohortLauncher, is_marked
from phalanx.core.errors import Fault, RequestError, SpecError

KEY = "hydra.sweeper"
OF_A_SEARCH = "default_params"  # by which a stored study, of which a grid is made too, says what a search of it tries
MOST_JOBS = 100_000  # whoever asks for more has mistyped a range
MOST_TRIED = 100  # jobs, until one is found that can be trained


class GridSweeper(BasicSweeper):
    """Options: conf/hydra/sweeper/basic.yaml, which are those of Hydra's own and `live_report_s`."""

    def __init__(
        self, max_batch_size: Any = None, params: Any = None, live_report_s: Any = None, **others: Any
    ) -> None:  # fmt: skip
        super().__init__(max_batch_size, params)
        self.live_report_s = live_report_s
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
        assert self.hydra_context is not None
        n_jobs = _n_jobs(overrides, self.hydra_context.config_loader)
        if self.ours:
            self._check_jobs(overrides)
            STATE.lock = lock_sweep(self.config, check_grid)
            self._begin(n_jobs)
        return super().sweep([str(override.input_line) for override in overrides.values()])

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Composes every job of the batch, unless `sweep` has done it."""
        if not self.ours:
            for overrides in batch:
                self.composer.compose(list(overrides))

    @staticmethod
    def split_arguments(overrides: list[Override], max_batch_size: int | None) -> list[list[list[str]]]:
        """The overrides of each job, by batch. Hydra's own writes `~key` as `~key=null`, which deletes only a null."""
        bare = {f"{o.get_key_element()}=null": o.input_line for o in overrides if o.is_delete() and o.value() is None}
        batches = BasicSweeper.split_arguments(overrides, max_batch_size)
        return [[[str(bare.get(text, text)) for text in job] for job in batch] for batch in batches]

    def _check_keys(self) -> None:
        known = "max_batch_size, params, live_report_s"
        faults: list[Fault | str] = [
            f"{KEY}.{key} is not a key of a grid; known: {known}; for a search, without the +, try hydra/sweeper=optuna"
            for key in self.others
            if key != OF_A_SEARCH
        ]
        size = self.max_batch_size
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
            advice = f"{KEY}.max_batch_size=null"
            faults.append(Fault(f"{KEY}.max_batch_size", size, "a whole number of at least 1 or null", advice))
        live = self.live_report_s
        if live is not None and (
            isinstance(live, bool) or not isinstance(live, (int, float)) or not 1 <= live < math.inf
        ):
            advice = f"{KEY}.live_report_s=30"
            faults.append(Fault(f"{KEY}.live_report_s", live, "a number of at least 1 or null", advice))
        if not isinstance(self.params, Mapping):
            faults.append(Fault(f"{KEY}.params", self.params, "a mapping or null", f"{KEY}.params={{seed: '0,1'}}"))
        if faults:
            raise SpecError(faults)

    def _parse_config(self) -> list[str]:
        """None, since `sweep` has them among its overrides; Hydra would multiply the values of a key given twice."""
        return []

    def _params(self) -> list[str]:
        """The overrides of `params`; values that are no text, such as null, as Hydra's grammar has them."""
        params = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.create(dict(self.params)), resolve=True))
        lines = lines_of(params)
        check_grammar(lines, f"{KEY}.params")
        return lines

    def _parsed(self, arguments: Sequence[str]) -> dict[str, Override]:
        """The overrides by key; of a key that is given twice the last."""
        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        return {o.get_key_element().lstrip("+"): o for o in parser.parse_overrides([*self._params(), *arguments])}

    def _check_jobs(self, overrides: Mapping[str, Override]) -> None:
        """Composes every job, and raises the faults of the first one if no job can be trained."""
        from phalanx.jobs.job import check_trial
        from phalanx.runs.config import settings

        assert self.config is not None
        (jobs,) = self.split_arguments(list(overrides.values()), None)
        self.composer.expect(dict.fromkeys(itertools.chain.from_iterable(jobs)))
        here = trains_here(self.config.hydra.launcher)
        first: RequestError | None = None
        sound = False
        for number, job in enumerate(jobs):
            config = job_config(self.composer, job, number)
            if sound or number >= MOST_TRIED:
                continue
            try:
                with config.active():
                    trial = settings(config.task).trial
                    if here:  # elsewhere there may be other data and devices
                        check_trial(trial, here=True)
                sound = True
            except RequestError as error:
                first = first or error
        if first is not None and not sound:
            raise first

    def _begin(self, n_jobs: int) -> None:
        from phalanx.jobs.sweep_log import SweepLog

        assert self.config is not None
        folder = Path(self.config.hydra.sweep.dir)
        manifest = {"search": False, "n_jobs": n_jobs}
        sweep_log = SweepLog(
            folder, self.config, n_trials=n_jobs, manifest=manifest, live_report_s=self.live_report_s,
            logging_process=STATE.logging.take(),
        )  # fmt: skip
        sweep_log.start()
        STATE.sweep_log = sweep_log  # which the callback ends, and then it releases the folder


def _n_jobs(overrides: Mapping[str, Override], loader: ConfigLoader) -> int:
    """Returns the number of combinations. Raises `SpecError` for a sweep without values or end, or of objectives."""
    swept = {key: override for key, override in overrides.items() if override.is_sweep_override()}
    faults, n_jobs = swept_objective(swept), 1
    for override in swept.values():
        if not override.is_discrete_sweep():
            faults.append(
                f"{override.input_line} is a range to search, and a grid needs values; list some, or to search it try "
                "hydra/sweeper=optuna"
            )
            continue
        try:
            n_values = sum(1 for _ in itertools.islice(override.sweep_string_iterator(), MOST_JOBS + 1))
        except ValueError as error:
            faults.append(f"{override.input_line} has no values: {error}; try {some_values(override, loader)}")
            continue
        if n_values == 0:
            faults.append(f"{override.input_line} has no values; try {some_values(override, loader)}")
        n_jobs *= n_values
    if n_jobs > MOST_JOBS:
        faults.append(
            f"the grid has more than {MOST_JOBS:,} jobs; write shorter lists or ranges, or search them with "
            "hydra/sweeper=optuna"
        )
    if faults:
        raise SpecError(faults)
    return n_jobs
