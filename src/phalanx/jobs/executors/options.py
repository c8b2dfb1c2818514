"""Options of the cohort launcher and of its executors."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from phalanx.core.errors import Fault, RequestError, SpecError
from phalanx.core.specs import Spec, build, static
from phalanx.jobs.executors.base import ExecutorSpec
from phalanx.jobs.executors.processes import ProcessesSpec
from phalanx.jobs.executors.ray import RaySpec
from phalanx.jobs.executors.slurm import SubmititSpec


@dataclass(frozen=True, kw_only=True)
class LauncherSpec(Spec):
    """Options of the cohort launcher; an executor's own options are a mapping under its name."""

    config_group: ClassVar[str] = "hydra.launcher"
    name: ClassVar[str] = "cohort"
    executor: str = static("local", choices=("local", "processes", "submitit", "ray"))
    workers: int | None = static(None, ge=1, advice="2")  # shards that train at a time; null: the executor's choice
    max_trials: int | None = static(None, ge=1, advice="null")  # jobs in one cohort
    submitit: SubmititSpec = field(default=SubmititSpec())
    ray: RaySpec = field(default=RaySpec())

    @property
    def executor_options(self) -> ExecutorSpec | None:
        """The options of the executor; None if everything trains in this process."""
        return {"processes": ProcessesSpec(), "submitit": self.submitit, "ray": self.ray}.get(self.executor)

    def conflicts(self) -> list[Fault | str]:
        faults: list[Fault | str] = [
            fault for name in _executors() if name != self.executor for fault in _unused(getattr(self, name))
        ]
        if self.workers is not None and self.executor == "local":
            allowed = "null where hydra.launcher.executor=local"
            faults.append(Fault("hydra.launcher.workers", self.workers, allowed, "hydra.launcher.executor=processes"))
        return faults

    @classmethod
    def of(cls, keys: Mapping[str, Any]) -> LauncherSpec:
        """Builds the options from what stands under `hydra.launcher`.

        Raises `SpecError` with all faults, unknown keys among them, and `RequestError` if the library of the executor
        is not installed or this machine cannot use it.
        """
        faults: list[Fault | str] = []
        executors = {
            name: _build_executor(kind, keys[name], faults) for name, kind in _executors().items() if name in keys
        }
        spec: LauncherSpec | None = build(cls, {**keys, **executors}, faults)
        if faults or spec is None:
            raise SpecError(faults)
        options = spec.executor_options
        if options is not None and options.library and importlib.util.find_spec(options.library) is None:
            raise RequestError(
                f"hydra.launcher.executor={spec.executor} needs {options.library}, which is not installed; "
                f"type: pip install -e '.[{options.extra}]'"
            )
        if options is not None:
            options.check()
        return spec


def _executors() -> dict[str, type[ExecutorSpec]]:
    """The options classes of executors that have options, by name."""
    fields = dataclasses.fields(LauncherSpec)
    return {f.name: type(f.default) for f in fields if isinstance(f.default, ExecutorSpec)}


def _build_executor(kind: type[ExecutorSpec], given: Any, faults: list[Fault | str]) -> ExecutorSpec:
    if not isinstance(given, Mapping):
        faults.append(Fault(kind.config_group, given, "a mapping", f"{kind.config_group}={{}}"))
        return kind()
    return build(kind, given, faults) or kind()


def _unused(options: ExecutorSpec) -> list[Fault | str]:
    """A fault for each option that was given to an executor that is not used."""
    return [
        Fault(f"{options.config_group}.{f.name}", value, f"{f.default} where hydra.launcher.executor is another",
              f"hydra.launcher.executor={options.name}")
        for f in dataclasses.fields(options)
        if (value := getattr(options, f.name)) != f.default
    ]  # fmt: skip
