"""`hydra.launcher.executor=submitit`: parts as jobs of Slurm, one array at a time, by way of submitit.

What submitit writes stands in the sweep's folder. A job that Slurm pre-empts, or that has run its time, is queued
again by submitit, and goes on from the checkpoints of its trials: for the driver it simply takes longer.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import psutil

from phalanx.core.errors import Fault, RequestError, TrainingInterrupted, WorkerLost
from phalanx.core.specs import static
from phalanx.jobs.executors.base import LARGEST, ExecutorSpec, Shard, read_here
from phalanx.jobs.executors.slurm_job import SlurmJob
from phalanx.jobs.executors.worker import unpacked
from phalanx.runs.layout import relative

if TYPE_CHECKING:
    from phalanx.jobs.handover import JobResult

log = logging.getLogger(__name__)

COMMANDS = ("sbatch", "srun", "scancel", "squeue", "sacct")
GRACE_S = 15.0  # how much later than Slurm's word a result may be seen on a shared disk
ANY_NUMBER = 1_000_000  # of time-outs: a part itself ends what does not get on


@dataclass(frozen=True, kw_only=True)
class SubmititSpec(ExecutorSpec):
    """What each job of Slurm asks for: one part."""

    group: ClassVar[str] = "hydra.launcher.submitit"
    name: ClassVar[str] = "submitit"
    library: ClassVar[str] = "submitit"
    extra: ClassVar[str] = "slurm"
    relief: ClassVar[str] = "more hydra.launcher.submitit.mem_gb"
    cluster: str = static("slurm", choices=("slurm", "local"))
    partition: str | None = static(None)
    timeout_min: int = static(60, ge=1)
    signal_delay_s: int = static(90, ge=1)  # how long before that a job is told
    cpus_per_task: int = static(1, ge=1)
    gpus_per_node: int | None = static(None, ge=1, advice="1")
    mem_gb: float | None = static(None, gt=0, advice="4")
    setup: tuple[str, ...] = static(())  # shell commands before Python starts
    sbatch: tuple[str, ...] = static((), advice='["--account=NAME"]')  # more of sbatch's options, as sbatch takes them

    def conflicts(self) -> list[Fault | str]:
        faults: list[Fault | str] = []
        if not all(str(option).startswith("--") for option in self.sbatch or ()):
            allowed, advice = "a list of options that begin with --", f'{self.group}.sbatch=["--account=NAME"]'
            faults.append(Fault(f"{self.group}.sbatch", self.sbatch, allowed, advice))
        delay, minutes = self.signal_delay_s, self.timeout_min
        if isinstance(delay, int) and isinstance(minutes, int) and delay >= 60 * minutes > 0:
            allowed = f"less than the {60 * minutes} s of {self.group}.timeout_min={minutes}"
            faults.append(Fault(f"{self.group}.signal_delay_s", delay, allowed, f"{self.group}.timeout_min=60"))
        return faults

    def check(self) -> None:
        if self.cluster == "slurm" and (reason := _no_slurm()):
            raise RequestError(
                f"hydra.launcher.executor=submitit needs Slurm: {reason}; "
                f"try {self.group}.cluster=local, or hydra.launcher.executor=processes"
            )

    def open(self, n_workers: int | None, shard: Shard) -> Submitted:
        job = shard.jobs[0]
        sweep = job.folder.parent.parent if job.sweep.final else job.folder.parent
        return Submitted(self, sweep / "submitit", n_workers)

    def executor(self, folder: Path, n_workers: int | None) -> Any:
        """submitit's executor with these options; chosen, where submitit would take Slurm as soon as it is there."""
        from submitit import LocalExecutor, SlurmExecutor

        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # whoever could write there could run code as this user
        if self.cluster == "local":
            executor = LocalExecutor(folder, max_num_timeout=ANY_NUMBER)
            executor.update_parameters(
                timeout_min=self.timeout_min, signal_delay_s=self.signal_delay_s, setup=self.setup,
                gpus_per_node=self.gpus_per_node or 0,
            )  # fmt: skip
            return executor
        executor = SlurmExecutor(folder, max_num_timeout=ANY_NUMBER)
        asked = {
            "partition": self.partition, "cpus_per_task": self.cpus_per_task, "gpus_per_node": self.gpus_per_node,
            "mem": self.mem_gb and f"{math.ceil(1024 * self.mem_gb)}M", "setup": list(self.setup),
            "array_parallelism": n_workers, "additional_parameters": dict(map(_parameter, self.sbatch)),
        }  # fmt: skip
        executor.update_parameters(
            job_name="phalanx", time=self.timeout_min, signal_delay_s=self.signal_delay_s,
            srun_args=[f"--cpus-per-task={self.cpus_per_task}"],  # since Slurm 22.05 a job does not hand it on
            **{name: value for name, value in asked.items() if value},
        )  # fmt: skip
        return executor


def _parameter(option: str) -> tuple[str, str | bool]:
    """`--account=me` as submitit wants it."""
    name, equals, value = option.removeprefix("--").partition("=")
    return name, value if equals else True


@functools.cache
def _no_slurm() -> str:
    """Why this process cannot work with Slurm; empty if it can."""
    missing = [command for command in COMMANDS if shutil.which(command) is None]
    if missing:
        return f"{', '.join(missing)} {'are' if len(missing) > 1 else 'is'} not found"
    try:
        done = subprocess.run(["sacct", "--noheader", "--jobs=1"], capture_output=True, text=True, timeout=30)
    except subprocess.TimeoutExpired:
        return "sacct does not answer"
    if done.returncode == 0:
        return ""
    return f"sacct, which tells what became of a job, says: {done.stderr.strip() or done.returncode}"


class Submitted:
    """The engine: one thread looks what has become of the jobs."""

    def __init__(self, options: SubmititSpec, folder: Path, n_workers: int | None) -> None:
        self.options, self.here = options, options.cluster == "local"
        self.executor = options.executor(folder, n_workers)
        if self.here:
            from loky import cpu_count  # fewer than there are where a container may not use all of them

            n_workers = n_workers or max(cpu_count() // options.cpus_per_task, 1)
        self.n_at_once, self.largest = n_workers, None if options.gpus_per_node else LARGEST
        self.waiting: deque[tuple[Future[list[JobResult]], Shard]] = deque()
        self.jobs: dict[Future[list[JobResult]], Any] = {}
        self.missed: dict[Future[list[JobResult]], float] = {}  # since when a job is over and has no result
        self.lock, self.over, self.since = threading.Lock(), threading.Event(), time.monotonic()
        self.thread: threading.Thread | None = None

    def submit(self, shards: Sequence[Shard]) -> list[Future[list[JobResult]]]:
        futures: list[Future[list[JobResult]]] = [Future() for _ in shards]
        for shard in shards:
            read_here(shard)
        with self.lock:
            self.waiting.extend(zip(futures, shards, strict=True))
            self._send()
        if self.thread is None:
            self.thread = threading.Thread(target=self._watch, daemon=True)
            self.thread.start()
        return futures

    def _send(self) -> None:
        """Submits what may train: to Slurm everything, as one array, and here as many as train at a time."""
        room = self.n_at_once - len(self.jobs) if self.here else len(self.waiting)
        some = [self.waiting.popleft() for _ in range(min(room, len(self.waiting)))]
        if not some:
            return
        from phalanx.study import ProcessIdentity

        o, leader = self.options, ProcessIdentity.here() if self.here else None
        tasks = [SlurmJob(shard, o.cpus_per_task, o.timeout_min, o.signal_delay_s, leader) for _, shard in some]
        with _no_interrupts(signal.SIGINT, *(() if self.here else (signal.SIGTERM,))):
            try:
                jobs = self.executor.submit_array(tasks)
            except Exception as error:
                raise RequestError(f"the jobs could not be submitted: {_last_line(error)}") from error
            self.jobs.update(zip((future for future, _ in some), jobs, strict=True))
        self.since = time.monotonic()

    def _watch(self) -> None:
        while not self.over.wait(min(0.1 + 0.05 * (time.monotonic() - self.since), 2.0)):
            with self.lock:
                try:
                    for future in [future for future, job in self.jobs.items() if self._ended(future, job)]:
                        del self.jobs[future]
                        self.since = time.monotonic()
                    self._send()
                except Exception as error:
                    self._fail(error)

    def _fail(self, error: Exception) -> None:
        log.warning("jobs cannot be followed any more", exc_info=error)
        for future in [*self.jobs, *(future for future, _ in self.waiting)]:
            if not future.done():
                future.set_exception(error)
        self.jobs, self.waiting = {}, deque()

    def _ended(self, future: Future[list[JobResult]], job: Any) -> bool:
        """Whether the job is over; then its future has what there is."""
        if not job.done():
            return False
        if job.paths.result_pickle.exists():
            self._receive(future, job)
        elif self._runs_on(future, job):
            return False
        else:
            self._end(job)
            what = "the process" if self.here else f"Slurm's job {job.job_id}, {job.state},"
            future.set_exception(WorkerLost(f"{what} with the log {_log(job)} ended without a result"))
        return True

    def _runs_on(self, future: Future[list[JobResult]], job: Any) -> bool:
        """Whether a job without a result may still bring one: just now, or because Slurm has queued it again."""
        if self.here:
            return False
        if time.monotonic() - self.missed.setdefault(future, time.monotonic()) < GRACE_S:
            return True
        del self.missed[future]
        squeue = ["squeue", "--noheader", f"--jobs={job.job_id}"]
        found = subprocess.run(squeue, capture_output=True, text=True)
        return found.returncode == 0 and bool(found.stdout.strip())

    def _receive(self, future: Future[list[JobResult]], job: Any) -> None:
        try:
            found = unpacked(job.result())
        except Exception as error:
            future.set_exception(RuntimeError(f"{_last_line(error)}; see {_log(job)}"))
            return
        for path in (job.paths.result_pickle, job.paths.submitted_pickle):
            path.unlink(missing_ok=True)  # they hold weights
        future.set_result(found)

    def close(self) -> None:
        self.over.set()
        if self.thread is not None:
            self.thread.join()
        with self.lock:
            for future, job in self.jobs.items():
                begun = job.paths.stdout.exists()
                if not self._ended(future, job):
                    self._end(job)
                    future.set_exception(TrainingInterrupted([])) if begun else future.cancel()
            for future, _ in self.waiting:
                future.cancel()
            self.jobs, self.waiting = {}, deque()

    def _end(self, job: Any) -> None:
        """Sees to it that nothing of the job goes on."""
        if not self.here:
            job.cancel(check=False)
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            controller = psutil.Process(int(job.job_id))  # which is its number here
            family = [controller, *controller.children(recursive=True)]
            for process in family:  # submitit's first, which would start another
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(family, timeout=5)


@contextlib.contextmanager
def _no_interrupts(*signals: signal.Signals) -> Iterator[None]:
    """No job is submitted and then not known. And Ctrl-C goes to every process of a terminal: those that start in here
    leave it to the one that leads."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _log(job: Any) -> str:
    return relative(job.paths.stderr)


def _last_line(error: Exception) -> str:
    """What there is to say of an error of submitit, which wraps the whole trace of a job's own."""
    text = str(error).split("-" * 22)
    lines = text[1 if len(text) > 1 else 0].strip().splitlines()
    return lines[-1] if lines else type(error).__name__
