"""The entry point of `train.py`: its job function, signals, messages without tracebacks and exit statuses.

0: done; 1: the run or the sweep failed; 2: the request was wrong.
"""

from __future__ import annotations

import errno
import functools
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig

from hydra_plugins.phalanx._arguments import check_arguments, overrides_in
from hydra_plugins.phalanx._overrides import raw_list
from hydra_plugins.phalanx._project import Project
from hydra_plugins.phalanx._secrets import refuse_in_arguments
from hydra_plugins.phalanx._state import STATE, where_typed
from hydra_plugins.phalanx._words import in_words, is_wrong_request
from phalanx.core.errors import Failure, PhalanxError, RequestError, failure_of
from phalanx.core.extensions import load_extensions
from phalanx.core.garbage import uncollected
from phalanx.core.interrupts import interruptible, raises_interrupt
from phalanx.core.output import lasting_output
from phalanx.report import drawing

if TYPE_CHECKING:
    from hydra.conf import HydraConf

    from phalanx.runs.manifest import Sweep
    from phalanx.study import Trial

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
WRONG_PLACE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG)


def run_job(cfg: DictConfig) -> float | tuple[float, ...]:
    """The body of `train.py`: one job of a run or of a sweep."""
    hydra = HydraConfig.get()
    with where_typed(hydra):
        return _run_job(cfg, hydra)


def _run_job(cfg: DictConfig, hydra: HydraConf) -> float | tuple[float, ...]:
    from phalanx.jobs.job import Job
    from phalanx.jobs.run import run
    from phalanx.runs.manifest import Sweep

    overrides = tuple(raw_list(cast(ListConfig, hydra.overrides.task)))
    folder = Path(hydra.runtime.output_dir)
    job, trained = STATE.jobs.take(folder) or (None, None)
    if hydra.mode == RunMode.MULTIRUN:
        if job is None:
            sweep = Sweep.of(folder, int(hydra.job.num))
            job = Job(cfg, folder, sweep, functools.partial(find_trial, hydra, sweep, folder), overrides)
        return run(job, trained)
    try:
        return run(job or Job(cfg, folder, overrides=overrides), logging_process=STATE.logging.take())
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


def main(app: Callable[[], Any], project: Project | None = None) -> NoReturn:
    """Runs a `@hydra.main` function and exits with the right status and one clear message.

    Output that nobody reads ends nothing; if it was lost for another reason, the status is 1.

    Args:
        app: The function.
        project: The folder that it works for; None for that of its file.
    """
    STATE.project = project or Project.of(app)
    try:
        with interruptible(), lasting_output() as lost, uncollected():
            _main(app, STATE.project)
    except SystemExit as end:
        if not lost or end.code:
            raise
    finally:
        if raises_interrupt(signal.getsignal(signal.SIGINT)):
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # what Python does at its end would print a traceback
    print(
        f"the output could not be printed ({lost[0].strerror}), and what was printed is not all of it; the files are "
        "written and whole",
        file=sys.stderr,
    )
    sys.exit(1)


def _main(app: Callable[[], Any], project: Project) -> NoReturn:
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing and exiting with 1
    try:
        refuse_in_arguments(sys.argv[1:])
        check_arguments(sys.argv[1:])
        load_extensions(*project.extensions(sys.argv[1:]))
        if any(argument.startswith("resume=") for argument in sys.argv[1:]):
            from hydra_plugins.phalanx._resume import resumed

            sys.argv[1:], _lock = resumed(sys.argv[1:], project.conf)  # held until this function returns
        if any(argument.startswith("from_run=") for argument in sys.argv[1:]):
            from hydra_plugins.phalanx._from_run import expanded

            sys.argv[1:] = expanded(sys.argv[1:], project.conf)
        app()
    except KeyboardInterrupt:
        print("interrupted: everything finished so far is kept", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        if wants_traceback:
            traceback.print_exc()
        leave(error)
    finally:
        STATE.logging.stop()  # of a run that did not begin
        drawing.stop()
        STATE.project = None
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
    if isinstance(error, RequestError):
        return 2, _with_source(str(error))
    if is_wrong_request(error):
        return 2, _with_source(_refusal(error))
    if isinstance(error, PhalanxError):
        return 1, str(error)
    if failure_of(error) is Failure.OUT_OF_MEMORY:
        return 1, (
            f"memory ran out: {str(error).partition(chr(10))[0]}; try a smaller trainer.batch_size or smaller "
            "layers, such as 'model.hidden=[64,64]'"
        )
    return 1, "".join(traceback.format_exception(error))


def _refusal(error: Exception) -> str:
    overrides = overrides_in(sys.argv[1:])
    if STATE.project is None:  # an application of somebody else's, whose configuration we do not know
        return in_words(error, overrides)
    from hydra_plugins.phalanx._refusals import refusal

    return refusal(error, overrides, STATE.project.conf)


def _with_source(text: str) -> str:
    """The message, with the file that values come from which were not typed, if there is one."""
    if not STATE.source or STATE.source in text:
        return text
    return f"{text}\nvalues that were not typed are those of {STATE.source}"


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
