"""`checkpoint.safetensors`: the state of a training, written from time to time, from which another process resumes.

The file holds tensors and JSON and no code. Axes: E epochs, M columns of `metrics.csv`.
"""

import json
import logging
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor

from phalanx.core.callbacks import Checkpointer
from phalanx.core.errors import CheckpointError, RunFolderError, Superseded
from phalanx.core.files import delete_stale
from phalanx.core.reading import parse_json
from phalanx.core.result import EpochMetrics, Snapshot, State, TrialResult, unflat
from phalanx.data.base import Dataset
from phalanx.runs.fencing import FencingToken
from phalanx.runs.layout import RunPaths
from phalanx.runs.metrics_csv import COLUMNS, columns_of
from phalanx.runs.options import CheckpointSpec
from phalanx.runs.provenance import versions
from phalanx.runs.state_check import state_faults
from phalanx.runs.tensor_file import read_tensors, write_tensors
from phalanx.training.epochs import with_epochs
from phalanx.training.spec import TrialSpec, determining

log = logging.getLogger(__name__)

FORMAT = 1
CURVES = "history_EM"


class About(TypedDict, total=False):
    """What a checkpoint says of its training."""

    format: int
    trial: dict[str, Any]  # the fields that determine the numbers, by dotted key; `seed` is a list
    data_digest: str
    versions: Mapping[str, str | None]


class RunCheckpointer(Checkpointer):
    """Writes the checkpoint of one job, with the states of all its seeds, and resumes from one that is there.

    Args:
        paths: The job's folder.
        spec: How often to write.
        trials: The job's trial, once for each seed.
        fence: The token of this attempt at the trial.
        strict: Whether a checkpoint of another training is refused by `CheckpointError`; else it is renamed, with a
            warning, and the job starts from its beginning.
    """

    def __init__(
        self, paths: RunPaths, spec: CheckpointSpec, trials: Sequence[TrialSpec], fence: FencingToken | None = None,
        *, strict: bool = True,
    ) -> None:  # fmt: skip
        self.paths, self.spec, self.trials, self.fence, self.strict = paths, spec, trials, fence, strict
        self.keeps = not (spec.every_epochs is None and spec.every_minutes is None)
        self.about: About = {}
        self.states: list[State] = []
        if paths.checkpoint.is_file():
            self._resume()
        self.n_epochs = self.written = 0
        self.due, self.warned = time.monotonic() + self._seconds, False

    @property
    def seconds_before(self) -> float:
        """The training time in the checkpoint, in seconds, of all seeds together."""
        return sum(row.seconds for state in self.states if state for row in state.history)

    @property
    def _seconds(self) -> float:
        return 60 * (self.spec.every_minutes or 0.0)

    def begin(self, *datasets: Dataset) -> None:
        """Compares the data and the states with those of the checkpoint. Called once before the training.

        Args:
            *datasets: The data of each trial; one where all have the same.
        """
        if self.states and (why := self._unfit(datasets)):
            self._refuse(CheckpointError(_message(self.paths.checkpoint, why)))
        self.about = {
            "format": FORMAT,
            "trial": self._trial(),
            "data_digest": _digest(datasets),
            "versions": versions(),
        }
        delete_stale(self.paths.root)
        self.n_epochs = self.written = self.epochs_before
        if self.states:
            log.info("goes on after epoch %d, from %s", self.epochs_before, self.paths.checkpoint.name)

    def epoch_ended(self, states: Callable[[], Sequence[State]]) -> None:
        """Writes a checkpoint if one is due."""
        self.n_epochs += 1
        by_epochs = self.spec.every_epochs is not None and self.n_epochs % self.spec.every_epochs == 0
        if by_epochs or (self.spec.every_minutes is not None and time.monotonic() >= self.due):
            self.write(states)

    def write(self, states: Callable[[], Sequence[State]]) -> None:
        """Writes a checkpoint now. If that fails, the training continues with a warning, and the old file stays."""
        if not self.keeps or self.n_epochs == self.written:
            return
        found = states()
        if not any(isinstance(state, Snapshot) for state in found):
            return  # all have ended, and their results are written next
        try:
            if self.fence is not None:
                self.fence.check()
            write_checkpoint(self.paths.checkpoint, self.about, found)
            self.written = self.n_epochs
        except Superseded:
            self.keeps = False
        except OSError as error:
            log.log(logging.DEBUG if self.warned else logging.WARNING, "no checkpoint is written: %s", error)
            self.warned = True
        self.due = time.monotonic() + self._seconds

    def _resume(self) -> None:
        try:
            self.about, self.states = read_checkpoint(self.paths.checkpoint)
            if why := self._other_trial():
                raise CheckpointError(_message(self.paths.checkpoint, f"is of another configuration: {why}"))
        except CheckpointError as error:
            self._refuse(error)
            return
        then, now = self.about["versions"].get("torch"), versions()["torch"]
        if then != now:
            log.warning("goes on with torch %s from a checkpoint of torch %s: its rounding may differ", now, then)

    def _unfit(self, datasets: Sequence[Dataset]) -> str:
        """Why the states cannot be continued on these data; empty if they can."""
        if (then := self.about["data_digest"]) != (now := _digest(datasets)):
            return f"is of a training on other data, whose digest was {then} and is {now} now"
        if len(self.states) != len(self.trials):
            return f"has the states of {len(self.states)} seeds, and the trial has {len(self.trials)}"
        faults = [
            f"the state of seed {trial.seed} {fault}"
            for trial, state in zip(self.trials, self.states, strict=True)
            for fault in state_faults(with_epochs(trial, len(datasets[0].train)), state, *datasets[0].sizes)
        ]
        return f"does not fit its configuration: {'; '.join(faults)}" if faults else ""

    def _refuse(self, error: CheckpointError) -> None:
        if self.strict:
            raise error
        aside = self.paths.checkpoint.with_suffix(".unused.safetensors")
        self.paths.checkpoint.replace(aside)
        log.warning("%s; it is kept as %s, and the training begins anew", error, aside.name)
        self.states = []

    def _trial(self) -> dict[str, Any]:
        """The fields that determine the numbers, with all seeds, and all folds and splits where these are several."""
        found = {**determining(self.trials[0]), "seed": [trial.seed for trial in self.trials]}
        if len({trial.data for trial in self.trials}) > 1:
            found["data.fold"] = [trial.data.fold for trial in self.trials]
            found["data.split_seed"] = [trial.data.split_seed for trial in self.trials]
        return found

    def _other_trial(self) -> str:
        """How the checkpoint's trial differs. More epochs are allowed if they leave the first ones as they are."""
        then, now = self.about["trial"], parse_json(json.dumps(self._trial()), "the trial")
        differing = [key for key in sorted(then.keys() | now.keys()) if then.get(key) != now.get(key)]
        first, done = self.trials[0], self.epochs_before
        if set(differing) <= {"trainer.epochs", "trainer.min_updates"} and differing and len(self.trials) == 1:
            if first.schedule.needs_total_steps:
                over = " and ".join(f"{key}={then[key]}" for key in differing if key in then) or "fewer updates"
                return f"schedule={first.schedule.name} was laid out over {over}"
            if first.trainer.min_updates is None and first.trainer.epochs <= done:  # with it by `state_faults`
                return f"trainer.epochs={first.trainer.epochs}, and {done} are trained already"
            return ""
        return "; ".join(f"{key} was {then.get(key)!r}, now {now.get(key)!r}" for key in differing)


def _digest(datasets: Sequence[Dataset]) -> str:
    """The digests of the different data, in their order."""
    return " ".join(dict.fromkeys(dataset.digest for dataset in datasets))


def write_checkpoint(file: Path, about: About, states: Sequence[State]) -> None:
    """Writes the states of all seeds atomically.

    Args:
        file: The file.
        about: What describes the training.
        states: The state of each seed.
    """
    tensors: dict[str, Tensor] = {}
    lanes: list[dict[str, Any] | None] = []
    for place, state in enumerate(states):
        if state is None:
            lanes.append(None)
            continue
        columns = columns_of(state.history)
        values = [[row[name] for name in columns] for row in state.history]
        own = {CURVES: torch.tensor(values, dtype=torch.float64)}
        lane: dict[str, Any] = {} if columns == COLUMNS else {"columns": columns}
        if isinstance(state, Snapshot):
            lane["best_epoch"] = state.best_epoch
            own |= state.tensors
        else:
            lane["result"] = state.to_json()
            own |= state.weights or {}
        lanes.append(lane)
        tensors |= {f"{place}/{name}": tensor for name, tensor in own.items()}
    write_tensors(file, tensors, {**about, "lanes": lanes})


def read_checkpoint(file: Path) -> tuple[About, list[State]]:
    """Reads what `write_checkpoint` wrote. Raises `CheckpointError` if it is damaged or of another version."""
    try:
        about, tensors = read_tensors(file, "a checkpoint")
    except RunFolderError as error:
        raise CheckpointError(f"{error}; delete it to begin anew") from error
    if (found := about.get("format")) != FORMAT:
        raise CheckpointError(_message(file, f"has format {found!r}, this version of Phalanx reads {FORMAT}"))
    try:
        if "sum" in about and about["sum"] != _sum(tensors):  # of an earlier version; now it is that of the file
            raise ValueError("its numbers are not those that were written")
        known: About = {
            "trial": dict(about["trial"]), "data_digest": about["data_digest"], "versions": dict(about["versions"]),
        }  # fmt: skip
        states = [_state(place, lane, tensors) for place, lane in enumerate(about["lanes"])]
        if not any(isinstance(state, Snapshot) for state in states):
            raise ValueError("nothing in it goes on")
        return known, states
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CheckpointError(_message(file, f"is damaged: {error}")) from error


def _state(place: int, lane: dict[str, Any] | None, tensors: Mapping[str, Tensor]) -> State:
    if lane is None:
        return None
    prefix = f"{place}/"
    own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    columns = lane.get("columns", COLUMNS)
    rows = (dict(zip(columns, values, strict=True)) for values in own.pop(CURVES).tolist())
    history = tuple(EpochMetrics(**unflat(EpochMetrics, {**row, "epoch": int(row["epoch"])})) for row in rows)
    if "result" in lane:
        return TrialResult.from_json(lane["result"], history, own or None)
    return Snapshot(history, lane["best_epoch"], own)


def _sum(tensors: Mapping[str, Tensor]) -> int:
    """The check sum that earlier versions wrote: of all tensors and their names."""
    total = 0
    for name in sorted(tensors):
        total = zlib.crc32(tensors[name].contiguous().numpy().data, zlib.crc32(name.encode(), total))
    return total


def _message(file: Path, what: str) -> str:
    return f"{file} {what}; give another folder, or delete the file to begin anew"
