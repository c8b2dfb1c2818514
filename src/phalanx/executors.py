"""Where the jobs of a sweep train: here, as a `together.Stream`, or elsewhere, as `Parts` on an engine.

What is shipped is a part of a cohort: specs with seeds. What comes back is what `app.run` finds ready. A trial's
numbers depend on no other trial, so they do not depend on where it trained either. torch comes when first needed.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from phalanx.engines import Engine, EngineSpec, Part
from phalanx.engines.processes import ProcessesSpec
from phalanx.engines.ray import RaySpec
from phalanx.engines.slurm import SubmititSpec
from phalanx.errors import Fault, RequestError, SpecError, TrainingInterrupted, WorkerLost
from phalanx.fields import Spec, build, static

if TYPE_CHECKING:
    from phalanx.app import Trained
    from phalanx.together import Job

log = logging.getLogger(__name__)

TRIES = 2  # times that a part is trained whose process or machine is lost


@dataclass(frozen=True, kw_only=True)
class ExecutorSpec(Spec):
    """Options of the cohort launcher; those of one engine alone are a mapping of its name."""

    group: ClassVar[str] = "hydra.launcher"
    name: ClassVar[str] = "cohort"
    executor: str = static("local", choices=("local", "processes", "submitit", "ray"))
    workers: int | None = static(None, low=1, advice="2")  # parts that train at a time; null: what the engine says
    max_trials: int | None = static(None, low=1, advice="null")  # jobs in one cohort
    submitit: SubmititSpec = field(default=SubmititSpec())
    ray: RaySpec = field(default=RaySpec())

    @property
    def engine(self) -> EngineSpec | None:
        """The options of the engine; None where everything trains here."""
        return {"processes": ProcessesSpec(), "submitit": self.submitit, "ray": self.ray}.get(self.executor)

    def conflicts(self) -> list[Fault | str]:
        faults: list[Fault | str] = [
            fault for name in _engines() if name != self.executor for fault in _idle(getattr(self, name))
        ]
        if self.workers is not None and self.executor == "local":
            allowed = "null where hydra.launcher.executor=local"
            faults.append(Fault("hydra.launcher.workers", self.workers, allowed, "hydra.launcher.executor=processes"))
        return faults

    @classmethod
    def of(cls, keys: Mapping[str, Any]) -> ExecutorSpec:
        """From what stands under `hydra.launcher`. Raises `SpecError` with all faults, also for a key that there is
        not, and `RequestError` where the engine's library is not installed."""
        faults: list[Fault | str] = []
        engines = {name: _built(kind, keys[name], faults) for name, kind in _engines().items() if name in keys}
        spec = build(cls, {**keys, **engines}, faults)
        if faults:
            raise SpecError(faults)
        engine = spec.engine
        if engine is not None and engine.library and importlib.util.find_spec(engine.library) is None:
            raise RequestError(
                f"hydra.launcher.executor={spec.executor} needs {engine.library}, which is not installed; "
                f"type: pip install 'phalanx[{engine.extra}]'"
            )
        if engine is not None:
            engine.check()
        return spec


def _engines() -> dict[str, type[EngineSpec]]:
    """The engines that have options, by the name of their executor."""
    fields = dataclasses.fields(ExecutorSpec)
    return {f.name: type(f.default) for f in fields if isinstance(f.default, EngineSpec)}


def _built(kind: type[EngineSpec], given: Any, faults: list[Fault | str]) -> EngineSpec:
    if not isinstance(given, Mapping):
        faults.append(Fault(kind.group, given, "a mapping", f"{kind.group}={{}}"))
        return kind()
    return build(kind, given, faults) or kind()


def _idle(options: EngineSpec) -> list[Fault | str]:
    """A fault for each option that was given to an engine that is not used."""
    return [
        Fault(f"{options.group}.{f.name}", value, f"{f.default} where hydra.launcher.executor is another",
              f"hydra.launcher.executor={options.name}")
        for f in dataclasses.fields(options)
        if (value := getattr(options, f.name)) != f.default
    ]  # fmt: skip


def cut(groups: Sequence[Sequence[int]], n_at_once: int, largest: int | None) -> list[list[int]]:
    """Cohorts cut into parts that keep `n_at_once` places equally busy, of at most about `largest` jobs, largest first.

    Every n-th job goes into the same part, since neighbours in a grid take about as long as each other.
    """
    n_jobs = sum(map(len, groups))
    rounds = max(-(-n_jobs // (n_at_once * largest)), 1) if largest else 1
    size = max(-(-n_jobs // (n_at_once * rounds)), 1)
    parts = [list(group[i :: -(-len(group) // size)]) for group in groups for i in range(-(-len(group) // size))]
    return sorted(parts, key=len, reverse=True)


@dataclass
class _Sent:
    """A part, with the jobs as the caller knows them."""

    jobs: list[Job]
    part: Part
    tries: int = 0


class Parts:
    """Jobs that train on an engine; has the interface of `together.Stream`."""

    def __init__(self, options: ExecutorSpec, report: Callable[[str], None] = lambda text: None) -> None:
        self.options, self.report, self.note = options, report, ""
        self.engine: Engine | None = None  # opened for the first job that can be trained
        self.points: list[Job] = []  # of a search, which wait to be gathered into parts
        self.waiting: list[_Sent] = []
        self.futures: dict[Future[list[Trained]], _Sent] = {}
        self.wrong: list[Job] = []  # configurations that cannot be trained: their jobs say why when they are run

    @property
    def running(self) -> int:
        """How many jobs have not been returned by `advance`."""
        sent = sum(len(sent.jobs) for sent in (*self.waiting, *self.futures.values()))
        return sent + len(self.points) + len(self.wrong)

    def divided(self, groups: Sequence[Sequence[int]], jobs: Sequence[Job]) -> list[list[int]]:
        """Cohorts, as positions in `jobs`, cut into parts for the engine."""
        for job in jobs:
            if (part := self._part([job])) is not None:
                engine = self._open(part)
                return cut(groups, max((engine.n_at_once or 1) - len(self.futures), 1), engine.largest)
        return list(map(list, groups))

    def add(self, job: Job) -> None:
        """The job trains with those of its cohort that are added before the next `advance`."""
        self.points.append(job)

    def submit(self, parts: Sequence[Sequence[Job]]) -> None:
        """Has each part, jobs of one cohort, trained in one place. They begin with the next `advance`, together."""
        for jobs in parts:
            part = self._part(jobs)
            if part is None:
                self.wrong.extend(jobs)
            else:
                self.waiting.append(_Sent(list(jobs), part))

    def _part(self, jobs: Sequence[Job]) -> Part | None:
        """What is shipped; None where a configuration is wrong."""
        try:
            return Part([replace(job, cfg=job.asked) for job in jobs], self.note)
        except RequestError:
            return None

    def _open(self, part: Part) -> Engine:
        if self.engine is None:
            self.engine = self.options.engine.open(self.options.workers, part)
        return self.engine

    def advance(self) -> list[Job]:
        """Waits until at least one part has ended; returns its jobs, their results left in `app.ready`."""
        ended, self.wrong = self.wrong, []
        try:
            while not ended:
                self._send()
                self._tell()
                wait(self.futures, return_when=FIRST_COMPLETED)
                ended = [job for future in list(self.futures) if future.done() for job in self._received(future)]
        except KeyboardInterrupt:
            self.abandon()
            raise TrainingInterrupted([]) from None
        return ended

    def _gather(self) -> None:
        """Makes parts of the points that wait, for the places that are free."""
        from phalanx.together import cohorts

        points, self.points = self.points, []
        groups = self.divided(cohorts(points, self.options.max_trials), points)
        self.submit([[points[place] for place in group] for group in groups])

    def _send(self) -> None:
        if self.points:
            self._gather()
        if self.waiting:
            waiting, self.waiting = self.waiting, []
            futures = self._open(waiting[0].part).submit([sent.part for sent in waiting])
            for future, sent in zip(futures, waiting, strict=True):
                sent.tries += 1
                self.futures[future] = sent

    def _tell(self) -> None:
        n_parts = min(len(self.futures), self.engine.n_at_once or len(self.futures))
        doing = "training" if self.engine.n_at_once else "submitted"
        more = f", {len(self.futures) - n_parts} wait" if len(self.futures) > n_parts else ""
        self.report(f"{n_parts} part{'s' * (n_parts > 1)} {doing}{more}")

    def _received(self, future: Future[list[Trained]], tries: int = TRIES) -> list[Job]:
        """The jobs of a part that ended, their results left; none where it was lost and is trained again."""
        from phalanx.app import Trained, ready

        sent = self.futures.pop(future)
        error = future.exception()
        if isinstance(error, WorkerLost) and sent.tries < tries:
            log.warning("%s; trained again: %d of the jobs", error, len(sent.jobs))
            self.waiting.append(sent)
            return []
        if isinstance(error, WorkerLost) and sent.tries > 1:
            error = WorkerLost(
                f"{error}, twice; if memory ran out, try {self.options.engine.relief} or "
                f"hydra.launcher.max_trials={max(len(sent.jobs) // 2, 1)}"
            )
        found = [Trained((), error=error) for _ in sent.jobs] if error is not None else future.result()
        for job, trained in zip(sent.jobs, found, strict=True):
            ready[job.folder] = replace(trained, fence=job.fence)
        return sent.jobs

    def abandon(self) -> list[Job]:
        """Ends the engine. Leaves what has ended, and of what has begun that it was interrupted; returns these."""
        if self.engine is not None:
            self.engine.close()
        self.engine, self.waiting, self.points = None, [], []
        begun = [future for future in self.futures if not future.cancelled()]
        ended = [job for future in begun for job in self._received(future, tries=1)]
        self.futures = {}
        return ended

    def close(self) -> None:
        """Ends the engine, whatever it does."""
        self.abandon()
