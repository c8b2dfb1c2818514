"""`hydra/sweeper=optuna`: hands Hydra's search space and launcher to `phalanx.study`."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

PRUNERS = ("optuna.pruners.*",)
SAMPLERS = ("hydra_plugins.hydra_optuna_sweeper.*", "optuna.samplers.*")  # what a sampler option may instantiate


class StudySweeper(Sweeper):
    """Hydra's side of a study. Options: conf/hydra/sweeper/optuna.yaml."""

    def __init__(
        self, *, sampler: Any, direction: Any, storage: str | None, study_name: str | None, n_trials: int, n_jobs: int,
        max_failure_rate: float, custom_search_space: str | None, params: DictConfig | None,
        pruner: Any = None, conditions: DictConfig | None = None, timeout_s: float | None = None,
        target: float | None = None, patience: int | None = None,
    ) -> None:  # fmt: skip
        self.sampler, self.direction, self.storage, self.study_name = sampler, direction, storage, study_name
        self.custom_search_space, self.params = custom_search_space, params or {}
        self.pruner, self.conditions = pruner, conditions or {}
        self.budget = {
            "n_trials": n_trials, "timeout_s": timeout_s, "target": target, "patience": patience,
            "max_failure_rate": max_failure_rate, "n_jobs": n_jobs,
        }  # fmt: skip

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Runs the study to its total and writes `optimization_results.yaml`, also when it is stopped early."""
        from hydra_plugins.phalanx import _grammar as grammar
        from phalanx.config import to_yaml
        from phalanx.paths import SweepPaths, read_json, write_json, write_text
        from phalanx.study import Budget, agree, open_study, run_study, summary

        self.paths = SweepPaths(Path(self.config.hydra.sweep.dir))
        self.paths.root.mkdir(parents=True, exist_ok=True)
        self.space = grammar.parse([f"{key}={value}" for key, value in self.params.items()] + list(arguments))
        budget = Budget(**self.budget)
        suggest, (sampler, n_points) = self._suggest(), self._sampler()
        if n_points is not None:
            budget = replace(budget, n_trials=min(budget.n_trials, n_points))
        storage = self.storage or f"sqlite:///{self.paths.storage.resolve()}"
        directions = self._directions()
        study = open_study(self.study_name or self.paths.root.name, storage, directions, sampler, self._pruner())
        agree(study, self._fingerprint(), directions)
        write_text(self.paths.root / "multirun.yaml", OmegaConf.to_yaml(self.config))
        try:
            ending = run_study(study, suggest, self._evaluate, budget=budget, recorded=self._recorded)
            manifest = self.paths.manifest
            write_json(manifest, {**(read_json(manifest) if manifest.is_file() else {}), "ending": ending})
        finally:
            write_text(self.paths.optimization_results, to_yaml(summary(study)))

    def _sampler(self) -> tuple[Any, int | None]:
        """The sampler, and for a grid the number of its points."""
        from hydra.utils import instantiate

        from hydra_plugins.phalanx import _grammar as grammar
        from phalanx.errors import RequestError

        sampler = instantiate(self.sampler, _execution_whitelist_=SAMPLERS)
        if not isinstance(sampler, functools.partial):
            return sampler, None
        if self._conditions():
            raise RequestError(
                "a grid has no conditions: every point of it has every parameter; try hydra/sweeper/sampler=tpe or "
                "hydra.sweeper.conditions=null"
            )
        points = grammar.grid(self.space)
        size = functools.reduce(lambda total, values: total * len(values), points.values(), 1)
        return sampler(points), size

    def _pruner(self) -> Any:
        from hydra.utils import instantiate

        return None if self.pruner is None else instantiate(self.pruner, _execution_whitelist_=PRUNERS)

    def _directions(self) -> list[str]:
        from phalanx.errors import Fault, SpecError
        from phalanx.spec import OBJECTIVES

        given = self.direction if self.direction is not None else OBJECTIVES.get(self.config.get("objective"), "")
        names = [given] if isinstance(given, str) or not isinstance(given, Sequence) else list(given)
        names = [getattr(name, "name", name) for name in names]
        if not set(names) <= {"minimize", "maximize"}:
            allowed = "minimize or maximize, or null where `objective` is one of " + ", ".join(OBJECTIVES)
            raise SpecError([Fault("hydra.sweeper.direction", self.direction, allowed, "hydra.sweeper.direction=null")])
        return names

    def _fingerprint(self) -> dict[str, Any]:
        """What every start of a study has to agree on: the space, and all that determines a trial's numbers."""
        from optuna.distributions import distribution_to_json

        from phalanx.config import trial_spec
        from phalanx.spec import determining

        found = {f"space {key}": distribution_to_json(d) for key, d in self.space.distributions.items()}
        found |= {f"condition {key}": text for key, text in self._conditions().items()}
        if self.custom_search_space:
            found["custom_search_space"] = self.custom_search_space
        if "optimizer" in self.config:  # an application of somebody else has a config of its own
            groups = [key for key in self.config if key != "hydra"]
            found |= determining(trial_spec(OmegaConf.masked_copy(self.config, groups)))
        return found

    def _conditions(self) -> dict[str, str]:
        """Those whose parameter is searched at all: a value fixed on the command line needs none."""
        return {key: text for key, text in self.conditions.items() if key not in self.space.fixed}

    def _suggest(self) -> Any:
        from hydra.utils import get_method

        from phalanx.study import suggest_from

        draw = suggest_from(self.space.distributions, self._conditions())
        if not self.custom_search_space:
            return draw
        extend = get_method(self.custom_search_space)

        def suggest(trial: Any) -> None:
            draw(trial)
            extend(self.config, trial)

        return suggest

    def _evaluate(self, proposals: Sequence[Any]) -> list[Any]:
        """Launches runs of consecutive numbers together, since Hydra numbers jobs from one start on."""
        outcomes: list[Any] = []
        start = 0
        for stop in range(1, len(proposals) + 1):
            if stop == len(proposals) or proposals[stop].number != proposals[stop - 1].number + 1:
                chunk = proposals[start:stop]
                overrides = [self.space.overrides(dict(p.params)) for p in chunk]
                returns = self.launcher.launch(overrides, initial_job_idx=chunk[0].number)
                # What the job has written counts; what it returned does not say whether it was pruned.
                outcomes.extend(self._recorded(p.number) or _outcome(r) for p, r in zip(chunk, returns, strict=True))
                start = stop
        return outcomes

    def _recorded(self, number: int) -> Any:
        """What a trial has written; None if it failed or wrote nothing."""
        from phalanx.paths import read_json
        from phalanx.study import Outcome

        file = self.paths.trial(number).result
        if not file.is_file():
            return None
        stored = read_json(file)
        value = stored["objective"]["value"]
        if stored["status"] == "failed":
            return None
        return Outcome(None if value is None else (float(value),), stored["error"], stored["status"] == "pruned")


def _outcome(returned: JobReturn) -> Any:
    from phalanx.study import Outcome

    if returned.status is not JobStatus.COMPLETED:
        return Outcome(None, repr(returned._return_value))
    value = returned.return_value
    try:
        values = value if isinstance(value, (tuple, list)) else (value,)
        return Outcome(tuple(float(v) for v in values))
    except (TypeError, ValueError):
        return Outcome(None, f"the job must return a number for each objective, got {value!r}")
