"""The entry point of `train.py`: its job function, signals, messages without tracebacks and exit statuses.

0: done; 1: the run or the sweep failed; 2: the request was wrong.
"""

from __future__ import annotations

import errno
import functools
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from hydra_plugins.phalanx._secrets import refuse_in_arguments
from hydra_plugins.phalanx._state import STATE
from phalanx.core.errors import PhalanxError, RequestError

if TYPE_CHECKING:
    from hydra.conf import HydraConf

    from phalanx.runs.manifest import Sweep
    from phalanx.study import Trial

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
WRONG_PLACE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG)

# Imports leave a million permanent objects, and Hydra's copies much garbage: with Python's default thresholds
# (700, 10, 10) garbage collection takes a sixth of a sweep of tiny networks.
GC_THRESHOLDS = (5_000, 50, 100)


def run_job(cfg: DictConfig) -> float | tuple[float, ...]:
    """The body of `train.py`: one job of a run or of a sweep."""
    STATE.job_started = True
    from phalanx.jobs.job import Job
    from phalanx.jobs.run import run
    from phalanx.runs.manifest import Sweep

    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    job, trained = STATE.jobs.take(folder) or (None, None)
    if hydra.mode == RunMode.MULTIRUN:
        if job is None:
            sweep = Sweep.of(folder, int(hydra.job.num))
            job = Job(cfg, folder, sweep, functools.partial(find_trial, hydra, sweep, folder))
        return run(job, trained)
    try:
        return run(job or Job(cfg, folder))
    except (PhalanxError, OSError) as error:
        # By SystemExit, which Hydra passes on; it would report an Exception once more.
        leave(error)


def find_trial(hydra: HydraConf, sweep: Sweep, folder: Path) -> Trial | None:
    """Returns the trial of the study that this job evaluates, to report to; None where nothing prunes.

    Args:
        hydra: The job's own node `hydra`.
        sweep: The sweep that the job belongs to.
        folder: The job's folder, for which a search in this process has left its trial.
    """
    from hydra.utils import instantiate

    from phalanx.study import TrialReference

    options, url, study = hydra.sweeper.get("pruner"), storage_of(hydra), sweep.manifest.study
    if (trial := STATE.trials.take(folder)) is not None or options is None or url is None:
        return trial
    return TrialReference(study, sweep.number, url, instantiate(options, _execution_whitelist_=("optuna.pruners.*",)))()


def storage_of(hydra: HydraConf) -> str | None:
    """Returns the URL where the study of a sweep is kept; None where there is no study."""
    from phalanx.runs.layout import SweepPaths

    file = SweepPaths(Path(hydra.sweep.dir)).storage
    return hydra.sweeper.get("storage") or (f"sqlite:///{file.resolve()}" if file.is_file() else None)


def main(app: Callable[[], Any]) -> NoReturn:
    """Runs a `@hydra.main` function and exits with the right status and one clear message."""
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing and exiting with 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        refuse_in_arguments(sys.argv[1:])
        if any(argument.startswith("resume=") for argument in sys.argv[1:]):
            from hydra_plugins.phalanx._resume import resumed

            sys.argv[1:], _lock = resumed(sys.argv[1:], app)  # held until this function returns
        if any(argument.startswith("from_run=") for argument in sys.argv[1:]):
            from hydra_plugins.phalanx._from_run import expanded

            sys.argv[1:] = expanded(sys.argv[1:], app)
        app()
    except KeyboardInterrupt:
        print("interrupted: everything finished so far is kept", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        if wants_traceback:
            traceback.print_exc()
        leave(error)
    sys.exit(0)


def leave(error: Exception) -> NoReturn:
    """Prints the message of an error and exits with its status."""
    status, text = status_and_message(error)
    print(text, file=sys.stderr)
    sys.exit(status)


def status_and_message(error: Exception) -> tuple[int, str]:
    """The exit status and the message of an error; only an unexpected error shows its traceback."""
    if isinstance(error, OSError) and not isinstance(error, (RequestError, HydraException)):
        return _of_system(error)
    if isinstance(error, (RequestError, HydraException, OmegaConfBaseException)):
        cause = f"\n{error.__cause__}" if isinstance(error.__cause__, OmegaConfBaseException) else ""
        return 2, f"{error}{cause}"
    if isinstance(error, PhalanxError):
        return 1, str(error)
    if isinstance(error, ValueError) and not STATE.job_started:  # Hydra cannot parse an override
        return 2, str(error)
    return 1, "".join(traceback.format_exception(error))


def _of_system(error: OSError) -> tuple[int, str]:
    where = f" {error.filename}" if error.filename else ""
    if error.errno in FULL:
        full = f"the disk is full:{where}" if where else "the disk is full"
        return 1, f"{full}; free some space and run the same command again, what is written is whole"
    if error.errno in WRONG_PLACE:
        return 2, (
            f"cannot write{where}: {error.strerror}; the outputs folder must be writable, "
            "try hydra.run.dir=<another folder> or, for a sweep, hydra.sweep.dir=<another folder>"
        )
    return 1, f"{error.strerror or type(error).__name__}:{where or f' {error}'}"
