"""Runs a job: by Hydra's `run_job`, or in a fifth of its time where nobody can see a difference.

Per job, Hydra copies the configuration four times, configures logging twice, and writes its own part of the
configuration anew. For a job that has been trained the copies are left out here, the handlers of its log take the
places of the sweep's, and YAML that is the same for all jobs is kept. Everything else is left to Hydra: other
callbacks, another kind of log, a job that changes its folder or environment, and every job that fails.
tests/hydra_plugin/test_run_job.py compares both ways.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra.core.utils import JobReturn, JobRuntime, JobStatus, configure_log, run_job
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from hydra_plugins.phalanx._hydra_yaml import RuntimeTexts, part
from hydra_plugins.phalanx._job_config import Frame, JobConfig
from hydra_plugins.phalanx._overrides import raw_list
from hydra_plugins.phalanx._state import STATE

if TYPE_CHECKING:
    from phalanx.jobs.job import Job, JobResult

CALLBACK = "hydra_plugins.phalanx.callback.SweepCallback"  # which needs no copies
SWEEPERS = ("hydra_plugins.phalanx.grid.GridSweeper", "hydra_plugins.phalanx.sweeper.StudySweeper")
OF_A_JOB = ("job", "overrides", "runtime")  # parts of the node `hydra` that differ from job to job
FOLDER = "${hydra.runtime.output_dir}"
STREAMS = {"ext://sys.stderr": "stderr", "ext://sys.stdout": "stdout"}


@dataclass(frozen=True)
class _Handler:
    """A handler of the job's log: a stream, or a file in the job's folder."""

    level: int
    format: str | None
    stream: str | None = None  # of `sys`
    file: str | None = None
    encoding: str | None = None

    def make(self, folder: str) -> logging.Handler:
        """The handler for a job with that folder; a file is opened with its first line."""
        made: logging.Handler
        if self.file is None:
            made = logging.StreamHandler(getattr(sys, self.stream or "stderr"))
        else:
            made = logging.FileHandler(os.path.join(folder, self.file), encoding=self.encoding, delay=True)
        made.setLevel(self.level)
        made.setFormatter(logging.Formatter(self.format))
        return made


@dataclass(frozen=True)
class _Plan:
    """What the jobs of one sweep have in common."""

    level: int
    handlers: tuple[_Handler, ...]
    output_subdir: str | None
    fixed: Mapping[str, str]  # text of the parts of the node `hydra` that are the same for all jobs


class JobRunner:
    """Runs the jobs of one launcher."""

    def __init__(self, context: HydraContext, task_function: TaskFunction, master: DictConfig) -> None:
        """Takes what a launcher gets at its setup."""
        self.context, self.task_function, self.master = context, task_function, master
        self.quick = str(master.hydra.sweeper.get("_target_")) in SWEEPERS and _plain_callbacks(master)
        self.plans: dict[Frame | str, _Plan | None] = {}
        self.runtimes = RuntimeTexts()

    def run(self, config: JobConfig, job: Job | None = None, result: JobResult | None = None) -> JobReturn:
        """Runs one job.

        Args:
            config: The configuration of the job.
            job: The validated job, for the task function.
            result: Its result, where it has been trained.

        Returns:
            What Hydra's `run_job` returns; of a job that Hydra did not run, without the configurations.
        """
        task_function = self.task_function
        if job is not None:
            STATE.jobs.put(job.folder, (job, result))
            if self.quick and result is not None and result.error is None and result.interrupt is None:
                with config.active() as shown:
                    try:
                        done = self._run(shown, cast(DictConfig, job.config), config)
                    except BaseException as error:  # Hydra tells of it
                        task_function, done = _raising(error), None
                    if done is not None:
                        self.context.callbacks.on_job_end(config=shown, job_return=done)
                        return done
        try:
            return run_job(
                hydra_context=self.context, task_function=task_function, config=config.whole,
                job_dir_key="hydra.sweep.dir", job_subdir_key="hydra.sweep.subdir",
            )  # fmt: skip
        finally:
            self.log_of_sweep()

    def log_of_sweep(self) -> None:
        """Logs as between two jobs."""
        configure_log(
            self.master.hydra.hydra_logging, self.master.hydra.verbose,
            execution_whitelist=self.context.execution_whitelist,
        )  # fmt: skip

    def _run(self, config: DictConfig, task: DictConfig, of_job: JobConfig) -> JobReturn | None:
        """Runs a job to the end of its task function, whose errors it raises; None where Hydra has to run it.

        Args:
            config: With the node `hydra` at least, which `${hydra:…}` reads.
            task: The application's part.
            of_job: Says whether other jobs have the same node.
        """
        folder = os.path.join(str(config.hydra.sweep.dir), str(config.hydra.sweep.subdir))
        with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
            config.hydra.runtime.output_dir = os.path.abspath(folder)
        plan = self._plan(config, of_job.frame)
        if plan is None:
            return None
        OmegaConf.set_readonly(config.hydra, True)
        done = JobReturn(
            overrides=raw_list(config.hydra.overrides.task), working_dir=os.getcwd(),
            task_name=JobRuntime.instance().get("name"), status=JobStatus.COMPLETED,
        )  # fmt: skip
        kind = None if of_job.frame is None else (of_job.frame, *of_job.chosen.items())
        self._write(config, task, folder, plan, self.runtimes.text(config.hydra.runtime, kind))
        with _logging(plan, os.path.abspath(folder)):
            done.return_value = self.task_function(task)
        return done

    def _plan(self, config: DictConfig, frame: Frame | None) -> _Plan | None:
        """The plan for jobs with the same node `hydra`, beside what is a job's own."""
        if frame is not None and frame in self.plans:
            return self.plans[frame]
        own = {key: _plain(config.hydra[key]) for key in OF_A_JOB}
        given = [text for text in own["overrides"]["task"] if "hydra" in text or "@" in text]
        chosen = own["overrides"]["hydra"], own["runtime"]["choices"], own["job"]["chdir"], own["job"]["env_set"]
        key = frame or repr((given, chosen))
        if key not in self.plans:
            self.plans[key] = _plan(config, own)
        return self.plans[key]

    def _write(self, config: DictConfig, task: DictConfig, folder: str, plan: _Plan, runtime: str) -> None:
        """Writes what Hydra writes into `.hydra`; `runtime` is the text of this part."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        if plan.output_subdir is None:
            return
        inner = Path(folder, plan.output_subdir)
        inner.mkdir(parents=True, exist_ok=True)
        known = {**plan.fixed, "runtime": runtime}
        parts = [known.get(key) or part(str(key), config.hydra[key]) for key in config.hydra]
        for name, text in (
            ("config.yaml", OmegaConf.to_yaml(task)),
            ("hydra.yaml", "hydra:\n" + "".join(parts)),
            ("overrides.yaml", OmegaConf.to_yaml(config.hydra.overrides.task)),
        ):
            (inner / name).write_text(text, encoding="utf-8")


def _plan(config: DictConfig, own: Mapping[str, Any]) -> _Plan | None:
    """The plan, None where only Hydra's own way is certain to leave the same."""
    job_logging, subdir = _plain(config.hydra.job_logging), config.hydra.output_subdir
    handlers = _handlers(job_logging)
    if own["job"]["chdir"] or own["job"]["env_set"] or config.hydra.verbose is not False or handlers is None:
        return None
    if not _plain_callbacks(config) or not isinstance(subdir, str | None):
        return None
    parts = {str(key): part(str(key), config.hydra[key]) for key in config.hydra}
    if "hydra:\n" + "".join(parts.values()) != OmegaConf.to_yaml(OmegaConf.masked_copy(config, "hydra")):
        return None  # values that YAML writes otherwise when they stand alone
    fixed = {key: text for key, text in parts.items() if key not in OF_A_JOB}
    return _Plan(logging.getLevelName(job_logging["root"]["level"]), handlers, subdir, fixed)


def _plain_callbacks(config: DictConfig) -> bool:
    return all(node == {"_target_": CALLBACK} for node in (config.hydra.callbacks or {}).values())


def _plain(node: Any) -> Any:
    """A node as plain values, without resolving interpolations."""
    return OmegaConf.to_container(node, resolve=False, enum_to_str=True) if OmegaConf.is_config(node) else node


def _handlers(config: Any) -> tuple[_Handler, ...] | None:
    """The handlers of a logging configuration, None for one that has more than streams and a file of the job."""
    try:
        root, formatters = config["root"], config["formatters"]
        known = {"version", "formatters", "handlers", "root", "disable_existing_loggers"}
        if set(config) - known or config["disable_existing_loggers"] is not False or set(root) != {"level", "handlers"}:
            return None
        if not isinstance(logging.getLevelName(root["level"]), int):
            return None
        found = [_handler(dict(config["handlers"][name]), formatters) for name in root["handlers"]]
        return None if None in found else tuple(cast(Sequence[_Handler], found))
    except (LookupError, TypeError, AttributeError):  # keys that are left out, or of other kinds
        return None


def _handler(given: dict[str, Any], formatters: Mapping[str, Mapping[str, Any]]) -> _Handler | None:
    form = formatters[given.pop("formatter")]
    kind, level = given.pop("class"), logging.getLevelName(given.pop("level", "NOTSET"))
    if set(form) != {"format"} or "${" in form["format"] or not isinstance(level, int):
        return None
    if kind == "logging.StreamHandler" and set(given) == {"stream"} and given["stream"] in STREAMS:
        return _Handler(level, form["format"], stream=STREAMS[given["stream"]])
    if kind != "logging.FileHandler" or set(given) != {"filename", "encoding", "delay"} or given["delay"] is not True:
        return None
    folder, _, name = given["filename"].partition("/")
    plain = folder == FOLDER and name and "${" not in name and given["encoding"] == "utf-8"
    return _Handler(level, form["format"], file=name, encoding="utf-8") if plain else None


@contextlib.contextmanager
def _logging(plan: _Plan, folder: str) -> Iterator[None]:
    """Logs to the job's handlers, and afterwards to those of before."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    own = [handler.make(folder) for handler in plan.handlers]
    root.handlers[:] = own
    root.setLevel(plan.level)
    try:
        yield
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        for handler in own:
            handler.close()


def _raising(error: BaseException) -> TaskFunction:
    """A task function that raises an error."""

    def raises(_: DictConfig) -> Any:
        raise error

    return raises
