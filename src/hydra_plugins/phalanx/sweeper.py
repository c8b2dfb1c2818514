"""`hydra/sweeper=optuna`: hands Hydra's search space and launcher to `phalanx.study`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.phalanx._state import STATE
from hydra_plugins.phalanx.launcher import CohortLauncher, is_marked

if TYPE_CHECKING:
    from optuna import Study

    from hydra_plugins.phalanx._opening import Opened
    from phalanx.study import Evaluate, Evaluator, Outcome, Proposal, Suggest

log = logging.getLogger(__name__)

WEEK_S = 7 * 86400.0  # how long a driver waits for another one that trains the final


class StudySweeper(Sweeper):
    """Runs a search as a study of `phalanx.study`. Options: conf/hydra/sweeper/optuna.yaml."""

    config: DictConfig
    launcher: Launcher

    def __init__(self, **keys: Any) -> None:
        self.keys = keys

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config, self.context, self.task_function = config, hydra_context, task_function

    def sweep(self, arguments: list[str]) -> None:
        """Runs the study to its total, then the final; writes the summary also if it is stopped early."""
        if self.keys.get("nested"):
            from hydra_plugins.phalanx._nested import search_each_outer_fold

            search_each_outer_fold(self, arguments)
        else:
            self._search(arguments)

    def check(self, arguments: list[str]) -> None:
        """Checks every combination of the search, without a folder. Raises `SpecError` with all faults."""
        from hydra_plugins.phalanx._request import read

        config, loader = self.config.copy(), self.context.config_loader  # a copy, since reading it may change it
        read(self.keys, config, loader, arguments, ours=is_marked(self.task_function)).check()

    def _search(self, arguments: list[str]) -> None:
        from hydra_plugins.phalanx._known_data import check_study_data
        from hydra_plugins.phalanx._opening import open_matching, sources
        from hydra_plugins.phalanx._request import read
        from phalanx.runs.layout import SweepPaths
        from phalanx.study import Leases, TooManyFailures, run_study

        ours = is_marked(self.task_function)
        self.request = read(self.keys, self.config, self.context.config_loader, arguments, ours=ours)
        self.space = self.request.search.space
        warm = sources(self.request, self.config)
        if not SweepPaths(Path(self.config.hydra.sweep.dir)).storage.is_file():
            self.request.check()  # a search that is continued was checked when it began
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self.context, task_function=self.task_function, config=self.config
        )
        opened = open_matching(self.request, self.config)
        self.paths, study = opened.paths, opened.study
        if ours:
            check_study_data(self.paths, self.config)
        if warm or self.request.points:
            self._inform(opened, warm)
        if isinstance(self.launcher, CohortLauncher):
            self.launcher.composer = self.request.composer
        self._begin(opened)
        n_jobs = self.request.n_jobs(self.config, study.sampler)
        limits = replace(self.request.budget, n_trials=opened.n_trials, n_jobs=n_jobs)
        try:
            ending = run_study(
                study, self._suggest(), self._evaluator(), budget=limits,
                recorded=self._recorded, reused=self._reused,
                leases=Leases.of(opened.url, study.study_name, self.request.options.lease_s),
            )  # fmt: skip
            self._ended(opened, ending)
        except TooManyFailures as error:
            raise TooManyFailures(f"{error}; {self._where_errors_are()}") from error
        finally:
            if isinstance(self.launcher, CohortLauncher):
                self.launcher.close()  # processes of trials that are still in flight
            self._sum_up(study, sys.exc_info()[1])
        self._make_models()

    def _inform(self, opened: Opened, warm: Sequence[Study]) -> None:
        """Takes in the trials of other studies and queues the start points; of several drivers one after another."""
        from phalanx.study import Leases, enqueue, warm_start

        study = opened.study
        with Leases.of(opened.url, study.study_name, self.request.options.lease_s) as leases, leases.exclusive("start"):
            for source in warm:
                taken, left = warm_start(study, source, self.request.known)
                log.info(
                    "%d trials of %s are known from the start, %d are not of this space", taken, source.study_name, left
                )
            enqueue(study, self.request.points, opened.grid)

    def _suggest(self) -> Suggest:
        from phalanx.study import suggest_from

        return self.request.custom or suggest_from(self.space.distributions, self.request.search.conditions)

    def _begin(self, opened: Opened) -> None:
        from hydra_plugins.phalanx._folds import repeats_of
        from phalanx.core.files import write_text
        from phalanx.jobs.sweep_log import SweepLog
        from phalanx.runs.manifest import WAYS
        from phalanx.study import Leases, identity_of

        write_text(self.paths.request, OmegaConf.to_yaml(self.config))
        self.log = None
        if self.request.ours:
            options, final, study = self.request.options, self.request.final, opened.study
            with Leases.of(opened.url, study.study_name, options.lease_s) as leases:
                identity = identity_of(study, leases)
            manifest = {
                "study": study.study_name, "study_id": identity, "search": True,
                **repeats_of(options),
                "predictions": options.ensemble in WAYS[1:],
                "final_seeds": final.seeds if final else 0, "trial_timeout_s": self.request.budget.trial_timeout_s,
                "ending": None,
            }  # fmt: skip
            self.log = SweepLog(self.paths.root, self.config, n_trials=opened.n_trials, manifest=manifest,
                                live_report_s=options.live_report_s, logging_process=STATE.logging.take())  # fmt: skip
            self.log.start()
            STATE.sweep_log = self.log

    def _evaluator(self) -> Evaluator | Evaluate:
        """A stream where the launcher can stream and trains jobs of ours, else batches."""
        from hydra_plugins.phalanx._jobs import LauncherStream

        if isinstance(self.launcher, CohortLauncher) and self.launcher.together:
            return LauncherStream(self.launcher, self.paths, self.space, lambda proposal: self._show([proposal]))
        return self._evaluate

    def _evaluate(self, proposals: Sequence[Proposal]) -> list[Outcome]:
        """Launches trials with consecutive numbers together, since Hydra numbers the jobs of a launch so."""
        from hydra_plugins.phalanx._jobs import launch

        outcomes: list[Outcome] = []
        start = 0
        for stop in range(1, len(proposals) + 1):
            if stop == len(proposals) or proposals[stop].number != proposals[stop - 1].number + 1:
                chunk = proposals[start:stop]
                overrides = [self.space.overrides(p.params) for p in chunk]
                outcomes.extend(launch(self.launcher, self.paths, chunk, overrides))
                self._show(chunk)
                start = stop
        return outcomes

    def _recorded(self, number: int) -> Outcome | None:
        from hydra_plugins.phalanx._jobs import recorded

        return recorded(self.paths.trial(number))

    def _reused(self, proposal: Proposal, number: int) -> None:
        from phalanx.runs.sweep_folder import reuse

        if self.log is not None:
            reuse(self.paths, proposal.number, number)
            self._show([proposal])

    def _show(self, proposals: Sequence[Proposal]) -> None:
        if self.log is not None:
            for proposal in proposals:
                self.log.trial_ended(proposal.number, self.space.overrides(proposal.params))

    def _ended(self, opened: Opened, ending: str) -> None:
        """Records why the study ended and trains the final. Raises `StudyFailed` if no trial has a value."""
        from hydra_plugins.phalanx._final import train_final
        from phalanx.core.errors import StudyFailed
        from phalanx.runs.manifest import update_manifest
        from phalanx.study import Leases, n_finished, n_valued, points_of

        name, final = opened.study.study_name, self.request.final
        update_manifest(self.paths, ending=ending)
        n_trials = n_finished(opened.study)
        if not n_trials:
            raise StudyFailed(f"no trial of {name} was trained: {ending}; try hydra.sweeper.timeout_s=null")
        if not n_valued(opened.study):
            raise StudyFailed(f"no trial of {name} came to a value; {self._where_errors_are()}")
        elsewhere = n_trials - sum(1 for _ in self.paths.root.glob("[0-9]*/result.json"))
        if self.log is not None and elsewhere > 0:
            log.info(
                "%d of the study's %d trials have no folder here: other drivers evaluated them, or their equals",
                elsewhere, n_trials,
            )  # fmt: skip
        if final is not None and self.log is not None:
            # One driver trains it; the others then find its results.
            with Leases.of(opened.url, name, self.request.options.lease_s) as leases, leases.exclusive("final", WEEK_S):
                points = points_of(opened.study)
                self.log.progress.final_begins()
                train_final(self.launcher, self.paths, self.request, final, points, self.log.direction)

    def _make_models(self) -> None:
        """Makes an ensemble, and trains the best point again, if that is asked for."""
        options = self.request.options
        if self.log is None or (options.ensemble is None and not options.refit):
            return
        from phalanx.jobs.made_models import make_models
        from phalanx.runs.left_out import LeftOut

        left_out = LeftOut()
        make_models(
            self.paths.root, self.log.tracking, left_out, ensemble=options.ensemble, seeds=int(options.refit)
        )  # fmt: skip
        left_out.check("the search is summed up")

    def _where_errors_are(self) -> str:
        """What writes `trials.csv` is ours; the jobs of another application leave a `result.json` each if they fail."""
        errors = self.paths.trials if self.log is not None else self.paths.root / "*" / "result.json"
        return f"the errors are in {errors}"

    def _sum_up(self, study: Study, error: BaseException | None) -> None:
        from phalanx.core.files import write_text
        from phalanx.runs.config_file import to_yaml
        from phalanx.runs.left_out import LeftOut
        from phalanx.study import summary

        left_out = LeftOut()
        left_out.attempt(lambda: write_text(self.paths.optimization_results, to_yaml(summary(study))), None)
        STATE.sweep_log = None
        if self.log is not None:
            self.log.finish(error, left_out)
        left_out.check("the search is summed up", error)
