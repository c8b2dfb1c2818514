"""One trained run as its folder holds it. Only this module reads and writes `result.json`."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from phalanx.core.errors import Failure, RunFolderError
from phalanx.core.files import write_json, write_text
from phalanx.core.reading import read_entry, read_json
from phalanx.core.result import ClassCounts, Objective, Status, Timing
from phalanx.runs.config_file import read_overrides
from phalanx.runs.conform import check_fields, check_items
from phalanx.runs.layout import RunPaths
from phalanx.runs.metrics_csv import Place
from phalanx.runs.provenance import GitState

log = logging.getLogger(__name__)

REQUIRED = (
    "status", "objective", "metrics", "best_epoch", "epochs", "train_seconds", "seed", "config_digest", "data_digest",
)  # fmt: skip
PLAIN = ("samples_per_second", "device", "n_parameters", "error", "aggregate", "versions", "machine", "same_as", "way",
         "mlflow_run_id", *REQUIRED[3:])  # fmt: skip
BESIDE = (
    "folder",
    "number",
    "overrides",
    "job_overrides",
    "mlflow_run_id",
    "written_ns",
    "front",
)  # no keys of it
SHARED = ("versions", "git", "data", "machine", "device", "data_digest")
# Keys that are in the file only if they have a value:
OPTIONAL = ("aggregate", "repeats", "same_as", "machine", "way", "notes", "intervals", "classes")


@dataclass(frozen=True)
class DataSummary:
    """The data that a run was trained on: name, source and sizes."""

    name: str
    source: str
    n_train: int
    n_val: int
    n_test: int
    n_features: int
    n_classes: int
    official_test: bool | None = None  # whether the source has a test split of its own; None: not known
    inputs: str = ""  # what the columns of a table hold, and what was left out; empty for other data
    notes: tuple[str, ...] = ()  # what looks odd, and what of the validation and test rows training never had
    title: str = ""  # what people call the data, if that is not the name of their source
    classes: tuple[str, ...] = ()  # their names; empty for many

    @property
    def label(self) -> str:
        """What the data are called: `title`, else the name of their source."""
        return self.title or self.name


@dataclass(frozen=True)
class SeedResult:
    """What one seed of a trial with several seeds reached."""

    seed: int
    status: Status
    value: float | None  # of the objective
    metrics: Mapping[str, float | None]
    best_epoch: int | None
    epochs: int
    error: str | None = None
    split_seed: int | None = None  # of the seed's own split, where not all have the same
    data_digest: str | None = None  # of the data on that split
    classes: ClassCounts | None = None
    fold: int | None = None  # where a point is trained on several folds

    @property
    def place(self) -> Place:
        """Seed, split seed and fold, the last two None where all repeats have the same."""
        return self.seed, self.split_seed, self.fold

    def to_json(self) -> dict[str, Any]:
        """A row of `repeats` in `result.json`."""
        own = ("split_seed", "fold", "data_digest", "classes")
        return {key: value for key, value in asdict(self).items() if key not in own or value is not None}


@dataclass(frozen=True, kw_only=True, slots=True)  # a sweep holds thousands
class StoredRun:
    """One finished run: the content of `result.json` and what stands beside it. None: not computed, or not known."""

    status: Status
    objective: Objective  # name and direction are empty for a run that failed before its configuration was read
    metrics: Mapping[str, float | None]  # `<split>_<metric>` at the saved weights
    best_epoch: int | None = None
    epochs: int = 0  # trained epochs
    train_seconds: float = 0.0
    samples_per_second: float = 0.0
    device: str | None = None
    seed: int | None = None
    config_digest: str | None = None
    data_digest: str | None = None
    n_parameters: int | None = None
    error: str | None = None
    timing: Timing | None = None
    failure: Failure | None = None
    objectives: tuple[Objective, ...] = ()  # all of them, the first as in `objective`
    aggregate: str | None = None  # how the objectives of several seeds became one value
    repeats: tuple[SeedResult, ...] = ()  # the seeds, where there are several
    data: DataSummary | None = None
    versions: Mapping[str, str | None] | None = None  # of Python and of the packages that the numbers depend on
    machine: str | None = None  # processor and operating system
    git: GitState | None = None
    way: str | None = None  # how a network of the user's own trained, and why; None for built-in ones
    notes: tuple[str, ...] = ()  # why metrics have no value
    intervals: Mapping[str, tuple[float, float]] | None = None  # 95 % over the test samples, by test metric
    classes: ClassCounts | None = None  # of the test split, or of validation where that was not read
    same_as: int | None = None  # number of the equal trial whose result this is
    folder: Path = Path()
    number: int = -1  # of the trial in its sweep; -1 for a run of its own
    job_overrides: tuple[str, ...] | None = None  # as Hydra had them, `~key` too; None in a file without them
    overrides: Mapping[str, str] = field(default_factory=dict)  # by key, without prefixes and `~key`
    mlflow_run_id: str | None = None
    written_ns: int = 0  # when `result.json` was written
    front: bool = False  # on the Pareto front of its sweep: set by `front_first`

    @property
    def value(self) -> float | None:
        """The value of the (first) objective."""
        return self.objective.value

    @property
    def n_rows(self) -> int:
        """How many epochs `metrics.csv` has at least. In a final on several splits it is that of one of them."""
        on_splits = [seed.epochs for seed in self.repeats if seed.split_seed is not None]
        return min(on_splits, default=self.epochs)

    @property
    def ending(self) -> str:
        """The status; `interrupted` for a run that failed only because it was stopped."""
        return "interrupted" if self.failure is Failure.INTERRUPTED else str(self.status)

    @property
    def return_value(self) -> float | tuple[float, ...]:
        """What the run's job returns to its sweeper: the value of the objective, or of all of them; NaN for none."""
        values = tuple(math.nan if o.value is None else o.value for o in self.objectives)
        return values[0] if len(values) == 1 else values

    def sharing(self, other: StoredRun) -> StoredRun:
        """The same record, which shares what is equal with another one: most of it, between trials of a sweep."""
        shared: dict[str, Any] = {
            key: getattr(other, key) for key in SHARED if getattr(self, key) == getattr(other, key)
        }
        metrics, overrides = _with_keys_of(other.metrics, self.metrics), _with_keys_of(other.overrides, self.overrides)
        return replace(self, **shared, metrics=metrics, overrides=overrides)

    def to_json(self) -> dict[str, Any]:
        """The content of `result.json`."""
        content = {key: value for key, value in asdict(self).items() if key not in BESIDE}
        if self.data is not None:
            content["data"] = {key: value for key, value in content["data"].items() if value not in ("", ())}
        content["repeats"] = tuple(seed.to_json() for seed in self.repeats)
        if self.job_overrides is not None:
            content["overrides"] = self.job_overrides
        if not self.objective.name:
            content |= {"objective": {"name": None, "value": None, "direction": None}, "objectives": []}
        return {key: value for key, value in content.items() if key not in OPTIONAL or value not in (None, ())}

    @classmethod
    def from_json(cls, content: Mapping[str, Any], **beside: Any) -> StoredRun:
        """Builds the record from the content of `result.json` and the fields that are not in the file.

        Raises `KeyError`, `TypeError`, `AttributeError` or `ValueError` for content of another form.
        """
        objective = _objective(content["objective"])
        given: dict[str, Any] = {key: content[key] for key in PLAIN if key in content}
        given |= {
            "status": Status(content["status"]),
            "objective": objective,
            "objectives": tuple(map(_objective, content.get("objectives") or ())) or (objective,),
            "metrics": dict(content["metrics"]),
            "failure": Failure(failure) if (failure := content.get("failure")) else None,
            "timing": _timing(content.get("timing") or {}),
            "notes": tuple(content.get("notes") or ()),
            "intervals": {key: _pair(ends) for key, ends in (content.get("intervals") or {}).items()} or None,
            "classes": ClassCounts.from_json(content.get("classes")),
            "repeats": tuple(map(_seed, content.get("repeats") or ())),
            "data": _data(data) if (data := content.get("data")) else None,
            "git": GitState(**git) if (git := content.get("git")) else None,
        }
        if (overrides := content.get("overrides")) is not None:
            given["job_overrides"] = tuple(overrides) if isinstance(overrides, list) else overrides
            check_items({"overrides": given["job_overrides"]}, {"overrides": tuple[str, ...]})
            given["overrides"] = by_key(overrides)
        found = cls(**given | beside)
        check_fields(found)
        return found


def _with_keys_of(known: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values under the same keys, which are the very texts of `known` where they are equal."""
    names = {key: key for key in known}
    return {names.get(key, key): value for key, value in values.items()}


def read_stored_run(folder: Path) -> StoredRun:
    """The finished run in `folder`. Raises `RunFolderError` if its result is damaged or of another form."""
    paths = RunPaths(folder)
    written = paths.result.stat().st_mtime_ns
    content = read_json(paths.result)
    lacking = [key for key in REQUIRED if not isinstance(content, dict) or key not in content]
    if lacking:
        raise RunFolderError(f"{paths.result} is not a result of this version of Phalanx: it lacks {lacking}")
    beside: dict[str, Any] = {"folder": folder, "written_ns": written}
    if content.get("overrides") is None and paths.overrides.exists():  # written by an earlier version
        beside["overrides"] = by_key(read_overrides(paths.overrides, inside=paths.root))
    if folder.name.isdecimal():
        beside["number"] = int(folder.name)
    if paths.mlflow_run.exists():
        beside["mlflow_run_id"] = read_mlflow_run_id(paths)
    try:
        return StoredRun.from_json(content, **beside)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise RunFolderError(f"{paths.result} is not a result of this version of Phalanx: {reason}") from error


def find_stored_run(folder: Path) -> StoredRun | None:
    """The finished run in `folder`; None where there is no result. Raises as `read_stored_run`."""
    try:
        return read_stored_run(folder)
    except FileNotFoundError:
        return None


def find_usable_run(folder: Path) -> StoredRun | None:
    """The finished run in `folder`; None where there is no result, and, with a warning, where it cannot be read."""
    try:
        return find_stored_run(folder)
    except (RunFolderError, OSError) as error:
        log.warning("not used: %s", error)
        return None


def read_mlflow_run_id(paths: RunPaths) -> str | None:
    """The id of the run in MLflow. Folders of earlier versions have it in `result.json`."""
    if paths.mlflow_run.exists():
        return read_entry(paths.mlflow_run, "run_id", str)
    return read_stored_run(paths.root).mlflow_run_id


def write_stored_run(paths: RunPaths, stored: StoredRun) -> StoredRun:
    """Writes `result.json`, and removes the id in MLflow of an earlier result. Returns the record."""
    paths.mlflow_run.unlink(missing_ok=True)
    write_json(paths.result, stored.to_json())
    return stored


def write_mlflow_run_id(paths: RunPaths, run_id: str) -> None:
    """Writes the id of the run in MLflow beside its result, which stays as it is."""
    write_text(paths.mlflow_run, json.dumps({"run_id": run_id}) + "\n", durable=False)


def by_key(overrides: Iterable[str]) -> dict[str, str]:
    """Overrides by key, as they were typed, without those that delete a key."""
    return dict(text.lstrip("+").split("=", 1) for text in overrides if "=" in text and not text.startswith("~"))


def _objective(stored: Mapping[str, Any]) -> Objective:
    return Objective(stored["name"] or "", stored["value"], stored["direction"] or "")


def _pair(ends: Any) -> tuple[Any, Any]:
    low, high = ends
    return low, high


def _timing(stored: Mapping[str, Any]) -> Timing | None:
    if not all(isinstance(stored.get(key), (int, float)) for key in ("started", "ended")):
        return None
    return Timing(stored["started"], stored["ended"], stored.get("cohort") or "")


def _data(stored: Mapping[str, Any]) -> DataSummary:
    return DataSummary(**{**stored, **{key: tuple(stored.get(key, ())) for key in ("notes", "classes")}})


def _seed(row: Mapping[str, Any]) -> SeedResult:
    return SeedResult(
        **{**row, "status": Status(row["status"]), "metrics": dict(row["metrics"]),
           "classes": ClassCounts.from_json(row.get("classes"))}
    )  # fmt: skip
