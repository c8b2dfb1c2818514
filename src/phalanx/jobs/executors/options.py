"""Options of the cohort launcher and of its executors."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from phalanx.core.errors import Fault, RequestError, SpecError
from phalanx.core.specs import Spec, build, static
from phalanx.jobs.executors.base import ExecutorSpec
from phalanx.jobs.executors.processes import ProcessesSpec
from phalanx.jobs.executors.ray import RaySpec
from phalanx.jobs.executors.slurm import SubmititSpec

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, kw_only=True)
class LauncherSpec(Spec):
    """Options of the cohort launcher; those of one engine alone are a mapping of its name."""

    group: ClassVar[str] = "hydra.launcher"
    name: ClassVar[str] = "cohort"
    executor: str = static("local", choices=("local", "processes", "submitit", "ray"))
    workers: int | None = static(None, ge=1, advice="2")  # parts that train at a time; null: what the engine says
    max_trials: int | None = static(None, ge=1, advice="null")  # jobs in one cohort
    submitit: SubmititSpec = field(default=SubmititSpec())
    ray: RaySpec = field(default=RaySpec())

    @property
    def executor_options(self) -> ExecutorSpec | None:
        """The options of the engine; None where everything trains here."""
        return {"processes": ProcessesSpec(), "submitit": self.submitit, "ray": self.ray}.get(self.executor)

    def conflicts(self) -> list[Fault | str]:
        faults: list[Fault | str] = [
            fault for name in _executors() if name != self.executor for fault in _idle(getattr(self, name))
        ]
        if self.workers is not None and self.executor == "local":
            allowed = "null where hydra.launcher.executor=local"
            faults.append(Fault("hydra.launcher.workers", self.workers, allowed, "hydra.launcher.executor=processes"))
        return faults

    @classmethod
    def of(cls, keys: Mapping[str, Any]) -> LauncherSpec:
        """From what stands under `hydra.launcher`. Raises `SpecError` with all faults, also for a key that there is
        not, and `RequestError` where the engine's library is not installed."""
        faults: list[Fault | str] = []
        engines = {name: _built(kind, keys[name], faults) for name, kind in _executors().items() if name in keys}
        spec = build(cls, {**keys, **engines}, faults)
        if faults:
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
    """The engines that have options, by the name of their executor."""
    fields = dataclasses.fields(LauncherSpec)
    return {f.name: type(f.default) for f in fields if isinstance(f.default, ExecutorSpec)}


def _built(kind: type[ExecutorSpec], given: Any, faults: list[Fault | str]) -> ExecutorSpec:
    if not isinstance(given, Mapping):
        faults.append(Fault(kind.group, given, "a mapping", f"{kind.group}={{}}"))
        return kind()
    return build(kind, given, faults) or kind()


def _idle(options: ExecutorSpec) -> list[Fault | str]:
    """A fault for each option that was given to an engine that is not used."""
    return [
        Fault(f"{options.group}.{f.name}", value, f"{f.default} where hydra.launcher.executor is another",
              f"hydra.launcher.executor={options.name}")
        for f in dataclasses.fields(options)
        if (value := getattr(options, f.name)) != f.default
    ]  # fmt: skip
