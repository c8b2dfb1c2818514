"""`hydra.launcher.executor=ray`: parts as tasks of a Ray cluster, one started for the sweep or one that exists.

The data set goes once into Ray's object store, and the tasks read it there: what the leading process has is trained.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from phalanx.core.errors import RequestError, TrainingInterrupted, WorkerLost
from phalanx.core.network import check_listening
from phalanx.core.specs import static
from phalanx.jobs.executors.base import LARGEST, ExecutorSpec, Shard
from phalanx.jobs.executors.worker import train_shard, unpacked

if TYPE_CHECKING:
    from phalanx.data import Dataset
    from phalanx.jobs.handover import JobResult

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
SILENT = {"log_to_driver": False, "logging_level": logging.ERROR}


@dataclass(frozen=True, kw_only=True)
class RaySpec(ExecutorSpec):
    """Which cluster, and what of it a part gets."""

    group: ClassVar[str] = "hydra.launcher.ray"
    name: ClassVar[str] = "ray"
    library: ClassVar[str] = "ray"
    extra: ClassVar[str] = "ray"
    address: str | None = static(None)  # auto, host:port or ray://host:port; null: a cluster of this machine's own
    num_cpus: int = static(1, ge=1)
    num_gpus: float = static(0.0, ge=0)

    def open(self, n_workers: int | None, shard: Shard) -> Ray:
        return Ray(self, n_workers, shard)


class Ray:
    """The engine: a driver of the cluster."""

    def __init__(self, options: RaySpec, n_workers: int | None, shard: Shard) -> None:
        import ray

        _connect(options, n_workers)
        try:
            _check_storage(shard)
            room = _room(options)
        except BaseException:
            ray.shutdown()
            raise
        self.n_at_once = n_workers or room
        self.largest = None if options.num_gpus else LARGEST
        self.task = ray.remote(num_cpus=options.num_cpus, num_gpus=options.num_gpus, max_retries=0)(_train)
        self.n_threads, self.data, self.futures = options.num_cpus, {}, []

    def submit(self, shards: Sequence[Shard]) -> list[Future[list[JobResult]]]:
        self.futures = [future for future in self.futures if not future.done()]
        begun = [self._begin(shard) for shard in shards]
        self.futures.extend(begun)
        return begun

    def _begin(self, shard: Shard) -> Future[list[JobResult]]:
        future: Future[list[JobResult]] = Future()
        try:
            task = self.task.remote(shard, self._data(shard), self.n_threads)
        except Exception as error:  # the data cannot be read
            future.set_exception(error)
            return future
        task.future().add_done_callback(lambda found: _pass_on(found, future))
        return future

    def _data(self, shard: Shard) -> Any:
        """Where in the object store the part's data set is."""
        import ray

        from phalanx.data.cache import dataset_of

        spec = shard.jobs[0].trial.data
        if spec not in self.data:
            self.data[spec] = ray.put(_arrays(dataset_of(spec)))
        return self.data[spec]

    def close(self) -> None:
        """Leaves the cluster, which ends its tasks and, if it was started here, itself."""
        import ray

        unfinished = [future for future in self.futures if not future.done()]
        for place, future in enumerate(unfinished):
            with contextlib.suppress(InvalidStateError):
                future.cancel() if place >= self.n_at_once else future.set_exception(TrainingInterrupted([]))
        self.data, self.futures = {}, []
        ray.shutdown()


def _pass_on(found: Future[bytes], future: Future[list[JobResult]]) -> None:
    """What became of a task, in the words of an engine. Runs in a thread of Ray's."""
    from ray import exceptions as lost

    with contextlib.suppress(InvalidStateError):  # closed in the meantime
        try:
            future.set_result(unpacked(found.result()))
        except lost.OutOfMemoryError:
            future.set_exception(WorkerLost("Ray ended the task that trained it, since its node was out of memory"))
        except (lost.WorkerCrashedError, lost.NodeDiedError, lost.LocalRayletDiedError, lost.ObjectLostError) as error:
            future.set_exception(
                WorkerLost(f"the Ray worker or node that trained it was lost ({type(error).__name__})")
            )
        except lost.RayTaskError as error:
            future.set_exception(error.cause if isinstance(error.cause, Exception) else error)
        except lost.RayError as error:  # a traceback of Ray's own, for what goes wrong before the task begins
            future.set_exception(RuntimeError(f"Ray: {str(error).strip().splitlines()[-1]}"))
        except Exception as error:
            future.set_exception(error)


def _train(shard: Shard, arrays: Any, n_threads: int) -> bytes:
    """The task: runs in a process that Ray keeps for the next one."""
    import torch

    from phalanx.data.cache import offer

    torch.set_num_threads(n_threads)
    offer(shard.jobs[0].trial.data, _tensors(arrays))
    return train_shard(shard, n_threads)


def _arrays(dataset: Dataset) -> Dataset:
    """A data set whose tensors are arrays, which tasks of one node read from the same memory."""
    return _changed(dataset, lambda tensor: tensor.numpy())


def _tensors(arrays: Dataset) -> Dataset:
    """The data set again. Nothing writes to its tensors, whose memory is read-only."""
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return _changed(arrays, torch.from_numpy)


def _changed(dataset: Dataset, change: Callable[[Any], Any]) -> Dataset:
    splits = {name: getattr(dataset, name) for name in ("train", "val", "test")}
    changed = {name: replace(split, x_ND=change(split.x_ND), y_N=change(split.y_N)) for name, split in splits.items()}
    return replace(dataset, **changed, copies={})


def _connect(options: RaySpec, n_workers: int | None) -> None:
    """Starts a cluster or joins one, without Ray's messages and handlers. Raises `RequestError`."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import ray

    handler = signal.getsignal(signal.SIGTERM)
    try:
        if options.address is None:
            import loky

            n_cpus = (n_workers or max(loky.cpu_count() // options.num_cpus, 1)) * options.num_cpus
            ray.init("local", num_cpus=n_cpus, include_dashboard=False, **SILENT)
        else:
            _check_address(options.address)
            ray.init(options.address, **SILENT)
    except (OSError, RuntimeError, ValueError) as error:
        why = str(error).splitlines()[0]
        raise RequestError(
            f"hydra.launcher.ray.address={options.address}: no Ray cluster can be used there ({why}); "
            "try hydra.launcher.ray.address=null, or start one by: ray start --head"
        ) from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray's own would end this process without a word


def _check_address(address: str) -> None:
    """Raises `OSError` where nobody listens; Ray itself tries for minutes, and then ends the process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        check_listening(host, int(port), 10.0)


def _room(options: RaySpec) -> int:
    """For how many parts the cluster has place."""
    import ray

    there = ray.cluster_resources()
    places = there.get("CPU", 0) // options.num_cpus
    if options.num_gpus:
        places = min(places, there.get("GPU", 0) // options.num_gpus)
    if places < 1:
        raise RequestError(
            f"hydra.launcher.ray.num_cpus={options.num_cpus} and num_gpus={options.num_gpus:g} are more than the "
            f"cluster has, {there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} GPUs; try less of them"
        )
    return int(places)


def _check_storage(shard: Shard) -> None:
    """Raises `RequestError` where tasks on other machines would look for a study in a file of this one."""
    import ray

    machines = {node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    storage = getattr(shard.jobs[0].find_trial, "storage", "")
    if len(machines) > 1 and storage.startswith("sqlite"):
        raise RequestError(
            f"the Ray cluster has {len(machines)} machines, which cannot prune by a study in a file of one of them; "
            "try hydra.sweeper.storage='${oc.env:STUDY_URL}' with a PostgreSQL database, or hydra/sweeper/pruner=none"
        )
