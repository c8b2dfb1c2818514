"""`hydra.launcher.executor=submitit`: shards as jobs of Slurm, in job arrays, by submitit.

The files of submitit are in the sweep's folder. A job that Slurm preempts, or that has used up its time, is queued
again by submitit and continues from the checkpoints of its trials; for the driver it only takes longer.
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
from typing import TYPE_CHECKING, ClassVar

import psutil

from phalanx.core.errors import Fault, RequestError, TrainingInterrupted, WorkerLost
from phalanx.core.specs import static
from phalanx.jobs.executors.base import LARGEST, Executor, ExecutorSpec, Shard, read_here
from phalanx.jobs.executors.slurm_job import SlurmJob
from phalanx.jobs.executors.worker import unpacked
from phalanx.runs.layout import relative

if TYPE_CHECKING:
    from submitit import Executor as SubmititExecutor
    from submitit import Job as SubmititJob

    from phalanx.jobs.job import JobResult

    Pending = Future[list[JobResult]]

log = logging.getLogger(__name__)

COMMANDS = ("sbatch", "srun", "scancel", "squeue", "sacct")
GRACE_S = 15.0  # how much later than the end of a job its result may appear on a shared disk
UNLIMITED = 1_000_000  # timeouts: a job without progress ends itself


@dataclass(frozen=True, kw_only=True)
class SubmititSpec(ExecutorSpec):
    """The resources of a job of Slurm, which trains one shard."""

    config_group: ClassVar[str] = "hydra.launcher.submitit"
    name: ClassVar[str] = "submitit"
    library: ClassVar[str] = "submitit"
    extra: ClassVar[str] = "slurm"
    memory_advice: ClassVar[str] = "more hydra.launcher.submitit.mem_gb"
    cluster: str = static("slurm", choices=("slurm", "local"))
    partition: str | None = static(None)
    timeout_min: int = static(60, ge=1)
    signal_delay_s: int = static(90, ge=1)  # how long before its end a job gets a signal
    cpus_per_task: int = static(1, ge=1)
    gpus_per_node: int | None = static(None, ge=1, advice="1")
    mem_gb: float | None = static(None, gt=0, advice="4")
    setup: tuple[str, ...] = static(())  # shell commands before Python starts
    sbatch: tuple[str, ...] = static((), advice='["--account=NAME"]')  # further options, as sbatch takes them

    def conflicts(self) -> list[Fault | str]:
        faults: list[Fault | str] = []
        if not all(str(option).startswith("--") for option in self.sbatch or ()):
            allowed, advice = "a list of options that begin with --", f'{self.config_group}.sbatch=["--account=NAME"]'
            faults.append(Fault(f"{self.config_group}.sbatch", self.sbatch, allowed, advice))
        delay, minutes = self.signal_delay_s, self.timeout_min
        if isinstance(delay, int) and isinstance(minutes, int) and delay >= 60 * minutes > 0:
            allowed = f"less than the {60 * minutes} s of {self.config_group}.timeout_min={minutes}"
            faults.append(
                Fault(f"{self.config_group}.signal_delay_s", delay, allowed, f"{self.config_group}.timeout_min=60")
            )
        return faults

    def check(self) -> None:
        if self.cluster == "slurm" and (reason := _no_slurm()):
            raise RequestError(
                f"hydra.launcher.executor=submitit needs Slurm: {reason}; "
                f"try {self.config_group}.cluster=local, or hydra.launcher.executor=processes"
            )

    def open(self, n_workers: int | None, shard: Shard) -> Executor:
        job = shard.jobs[0]
        root = job.folder.parent if job.sweep is None else job.sweep.root(job.folder)
        return Submitted(self, root / "submitit", n_workers)

    def submitit_executor(self, folder: Path, n_workers: int | None) -> SubmititExecutor:
        """submitit's executor of the chosen cluster; left to choose, submitit takes Slurm where it is installed."""
        from submitit import LocalExecutor, SlurmExecutor

        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # who can write there can run code as this user
        if self.cluster == "local":
            local = LocalExecutor(folder, max_num_timeout=UNLIMITED)
            local.update_parameters(
                timeout_min=self.timeout_min, signal_delay_s=self.signal_delay_s, setup=self.setup,
                gpus_per_node=self.gpus_per_node or 0,
            )  # fmt: skip
            return local
        executor = SlurmExecutor(folder, max_num_timeout=UNLIMITED)
        given = {
            "partition": self.partition, "cpus_per_task": self.cpus_per_task, "gpus_per_node": self.gpus_per_node,
            "mem": self.mem_gb and f"{math.ceil(1024 * self.mem_gb)}M", "setup": list(self.setup),
            "array_parallelism": n_workers, "additional_parameters": dict(map(_parameter, self.sbatch)),
        }  # fmt: skip
        executor.update_parameters(
            job_name="phalanx", time=self.timeout_min, signal_delay_s=self.signal_delay_s,
            srun_args=[f"--cpus-per-task={self.cpus_per_task}"],  # which srun does not inherit since Slurm 22.05
            **{name: value for name, value in given.items() if value},
        )  # fmt: skip
        return executor


def _parameter(option: str) -> tuple[str, str | bool]:
    """An option of sbatch such as `--account=me` as submitit takes it."""
    name, equals, value = option.removeprefix("--").partition("=")
    return name, value if equals else True


@functools.cache
def _no_slurm() -> str:
    """The reason why this process cannot work with Slurm; empty if it can."""
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
    """The executor: a thread checks which jobs have ended."""

    n_at_once: int | None
    largest: int | None

    def __init__(self, options: SubmititSpec, folder: Path, n_workers: int | None) -> None:
        self.options, self.here = options, options.cluster == "local"
        self.executor = options.submitit_executor(folder, n_workers)
        if self.here:
            from loky import cpu_count  # fewer than there are where a container may not use all of them

            n_workers = n_workers or max(cpu_count() // options.cpus_per_task, 1)
        self.n_at_once, self.largest = n_workers, None if options.gpus_per_node else LARGEST
        self.waiting: deque[tuple[Pending, Shard]] = deque()
        self.jobs: dict[Pending, SubmititJob[bytes]] = {}
        self.ended_at: dict[Pending, float] = {}  # when a job was first seen to have ended without a result
        self.lock, self.over, self.since = threading.Lock(), threading.Event(), time.monotonic()
        self.thread: threading.Thread | None = None

    def submit(self, shards: Sequence[Shard]) -> list[Future[list[JobResult]]]:
        futures: list[Pending] = [Future() for _ in shards]
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
        """Submits waiting shards: to Slurm all of them as one array, on this machine as many as train at a time."""
        room = self.n_at_once - len(self.jobs) if self.here and self.n_at_once else len(self.waiting)
        some = [self.waiting.popleft() for _ in range(min(room, len(self.waiting)))]
        if not some:
            return
        from phalanx.core.process_identity import ProcessIdentity

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
        log.warning("the state of the jobs cannot be read any more", exc_info=error)
        for future in [*self.jobs, *(future for future, _ in self.waiting)]:
            if not future.done():
                future.set_exception(error)
        self.jobs, self.waiting = {}, deque()

    def _ended(self, future: Pending, job: SubmititJob[bytes]) -> bool:
        """Whether the job has ended; its future then has a result or an exception."""
        if not job.done():
            return False
        if job.paths.result_pickle.exists():
            self._receive(future, job)
        elif self._may_bring_result(future, job):
            return False
        else:
            self._end(job)
            what = "the process" if self.here else f"Slurm's job {job.job_id}, {job.state},"
            future.set_exception(WorkerLost(f"{what} with the log {_log(job)} ended without a result"))
        return True

    def _may_bring_result(self, future: Pending, job: SubmititJob[bytes]) -> bool:
        """Whether an ended job can still bring a result: it has only just ended, or Slurm has queued it again."""
        if self.here:
            return False
        if time.monotonic() - self.ended_at.setdefault(future, time.monotonic()) < GRACE_S:
            return True
        del self.ended_at[future]
        squeue = ["squeue", "--noheader", f"--jobs={job.job_id}"]
        found = subprocess.run(squeue, capture_output=True, text=True)
        return found.returncode == 0 and bool(found.stdout.strip())

    def _receive(self, future: Pending, job: SubmititJob[bytes]) -> None:
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
                started = job.paths.stdout.exists()
                if not self._ended(future, job):
                    self._end(job)
                    future.set_exception(TrainingInterrupted([])) if started else future.cancel()
            for future, _ in self.waiting:
                future.cancel()
            self.jobs, self.waiting = {}, deque()

    def _end(self, job: SubmititJob[bytes]) -> None:
        """Ends every process of the job."""
        if not self.here:
            job.cancel(check=False)
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            controller = psutil.Process(int(job.job_id))  # the job id is a process id here
            family = [controller, *controller.children(recursive=True)]
            for process in family:  # submitit's own first, which would start another
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(family, timeout=5)


@contextlib.contextmanager
def _no_interrupts(*signals: signal.Signals) -> Iterator[None]:
    """Blocks signals, so that no job is submitted and then not recorded.

    Processes that start meanwhile ignore Ctrl-C, which a terminal sends to all; the leader handles it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _log(job: SubmititJob[bytes]) -> str:
    return relative(job.paths.stderr)


def _last_line(error: Exception) -> str:
    """The last line of the original error in an error of submitit, which contains a whole traceback."""
    text = str(error).split("-" * 22)
    lines = text[1 if len(text) > 1 else 0].strip().splitlines()
    return lines[-1] if lines else type(error).__name__
