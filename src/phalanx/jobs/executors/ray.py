"""`hydra.launcher.executor=ray`: shards as tasks of a Ray cluster, either started for the sweep or an existing one.

The data set goes once into Ray's object store, from where the tasks read it.
"""

from __future__ import annotations

import contextlib
import functools
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
from phalanx.jobs.executors.base import LARGEST, Executor, ExecutorSpec, Shard
from phalanx.jobs.executors.worker import train_shard, unpacked

if TYPE_CHECKING:
    from phalanx.data import Dataset
    from phalanx.data.base import DataSpec
    from phalanx.jobs.job import JobResult

VARIABLES = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


@dataclass(frozen=True, kw_only=True)
class RaySpec(ExecutorSpec):
    """Which cluster, and the resources of a shard."""

    config_group: ClassVar[str] = "hydra.launcher.ray"
    name: ClassVar[str] = "ray"
    library: ClassVar[str] = "ray"
    extra: ClassVar[str] = "ray"
    address: str | None = static(None)  # auto, host:port or ray://host:port; null: a cluster of this machine's own
    num_cpus: int = static(1, ge=1)
    num_gpus: float = static(0.0, ge=0)

    def open(self, n_workers: int | None, shard: Shard) -> Executor:
        return Ray(self, n_workers, shard)


class Ray:
    """The executor: a driver of the cluster."""

    n_at_once: int | None
    largest: int | None

    def __init__(self, options: RaySpec, n_workers: int | None, shard: Shard) -> None:
        import ray

        _connect(options, n_workers)
        try:
            _check_storage(shard)
            room = _n_shards_at_once(options)
        except BaseException:
            ray.shutdown()
            raise
        self.n_at_once = n_workers or room
        self.largest = None if options.num_gpus else LARGEST
        self.task = ray.remote(num_cpus=options.num_cpus, num_gpus=options.num_gpus, max_retries=0)(_train)
        self.n_threads = options.num_cpus
        self.data: dict[DataSpec, Any] = {}  # references to the object store
        self.futures: list[Future[list[JobResult]]] = []

    def submit(self, shards: Sequence[Shard]) -> list[Future[list[JobResult]]]:
        self.futures = [future for future in self.futures if not future.done()]
        begun = [self._begin(shard) for shard in shards]
        self.futures.extend(begun)
        return begun

    def _begin(self, shard: Shard) -> Future[list[JobResult]]:
        future: Future[list[JobResult]] = Future()
        try:
            specs = list(dict.fromkeys(spec.data for job in shard.jobs for spec in job.specs))
            task = self.task.remote(shard, self.n_threads, specs, *map(self._data, specs))
        except Exception as error:  # the data cannot be read
            future.set_exception(error)
            return future
        task.future().add_done_callback(lambda found: _pass_on(found, future))
        return future

    def _data(self, spec: DataSpec) -> Any:
        """The reference to a data set in the object store."""
        import ray

        from phalanx.data.cache import dataset_of

        if spec not in self.data:
            self.data[spec] = ray.put(_arrays(dataset_of(spec)))
        return self.data[spec]

    def close(self) -> None:
        """Leaves the cluster, which ends the tasks, and the cluster itself if it was started here."""
        import ray

        unfinished = [future for future in self.futures if not future.done()]
        for place, future in enumerate(unfinished):
            with contextlib.suppress(InvalidStateError):
                started = self.n_at_once is None or place < self.n_at_once
                future.set_exception(TrainingInterrupted([])) if started else future.cancel()
        self.data, self.futures = {}, []
        ray.shutdown()


def _pass_on(found: Future[bytes], future: Future[list[JobResult]]) -> None:
    """Passes the outcome of a task on to an executor's future. Runs in a thread of Ray's."""
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


def _train(shard: Shard, n_threads: int, specs: Sequence[DataSpec], *arrays: Any) -> bytes:
    """The task, in a process that Ray keeps for the next one."""
    import torch

    from phalanx.data.cache import dataset_of

    torch.set_num_threads(n_threads)
    for spec, its_arrays in zip(specs, arrays, strict=True):  # for the cache, which training reads
        dataset_of(spec, functools.partial(_tensors, its_arrays))
    return train_shard(shard, n_threads)


def _arrays(dataset: Dataset) -> Dataset:
    """The data set with arrays for tensors, which the tasks of a node read from the same memory."""
    return _changed(dataset, lambda tensor: tensor.numpy())


def _tensors(arrays: Dataset) -> Dataset:
    """The data set with tensors again. Their memory is read-only, and nothing writes to it."""
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return _changed(arrays, torch.from_numpy)


def _changed(dataset: Dataset, change: Callable[[Any], Any]) -> Dataset:
    from phalanx.data import Split

    splits = {name: getattr(dataset, name) for name in ("train", "val", "test")}
    changed: dict[str, Any] = {name: Split(change(split.x_ND), change(split.y_N)) for name, split in splits.items()}
    return replace(dataset, **changed, copies={})


def _connect(options: RaySpec, n_workers: int | None) -> None:
    """Starts a cluster or joins one, without Ray's messages and handlers. Raises `RequestError`."""
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)
    import ray

    handler = signal.getsignal(signal.SIGTERM)
    try:
        if options.address is None:
            import loky

            n_cpus = (n_workers or max(loky.cpu_count() // options.num_cpus, 1)) * options.num_cpus
            ray.init(
                "local", num_cpus=n_cpus, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
            )
        else:
            _check_address(options.address)
            ray.init(options.address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        why = str(error).splitlines()[0]
        raise RequestError(
            f"hydra.launcher.ray.address={options.address}: no Ray cluster can be used there ({why}); "
            "try hydra.launcher.ray.address=null, or start one by: ray start --head"
        ) from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray's own ends this process without a message


def _check_address(address: str) -> None:
    """Raises `OSError` if no server listens; Ray itself tries for minutes and then ends the process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        check_listening(host, int(port), 10.0)


def _n_shards_at_once(options: RaySpec) -> int:
    """The number of shards for which the cluster has resources. Raises `RequestError` if it is 0."""
    import ray

    there = ray.cluster_resources()  # type: ignore[no-untyped-call]
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
    """Raises `RequestError` if tasks on other machines would need a study in a file of this one."""
    import ray

    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    machines = {node["NodeManagerAddress"] for node in nodes if node["Alive"]}
    storage = getattr(shard.jobs[0].find_trial, "storage", "")
    if len(machines) > 1 and storage.startswith("sqlite"):
        raise RequestError(
            f"the Ray cluster has {len(machines)} machines, which cannot prune by a study in a file of one of them; "
            "try hydra.sweeper.storage='${oc.env:STUDY_URL}' with a PostgreSQL database, or hydra/sweeper/pruner=none"
        )
