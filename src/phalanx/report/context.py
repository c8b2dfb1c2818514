"""Where the numbers of a report come from: command, data, times, machine, versions, commit, MLflow, study."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from phalanx.core.advice import command
from phalanx.core.errors import RequestError
from phalanx.core.reading import check_file
from phalanx.core.redaction import redact_source
from phalanx.runs.config_file import read_values
from phalanx.runs.layout import SweepPaths, relative
from phalanx.runs.stored_run import DataSummary, StoredRun
from phalanx.tracking.links import DEFAULT_STORE

MODES = ("hydra.mode=",)  # overrides that Hydra adds itself


@dataclass(frozen=True)
class Fact:
    """One line: a name, and texts of which each has its own line. A text with an address is a link."""

    name: str
    texts: tuple[str, ...]
    code: bool = False
    address: str = ""


def command_of(file: Path, *, multirun: bool) -> str:
    """The command that started a run or a sweep, without secrets; empty if Hydra's record of it is missing.

    Args:
        file: `multirun.yaml` of a sweep or `.hydra/hydra.yaml` of a run.
        multirun: Whether it was started by `-m`.

    Raises:
        UnreadableFile: The file is damaged.
    """
    if not file.is_file():
        return ""
    check_file(file, inside=file.parent)
    overrides = _mapping(_mapping(read_values(file).get("hydra")).get("overrides"))
    typed = [text for kind in ("hydra", "task") for text in overrides.get(kind) or () if isinstance(text, str)]
    words = [command(text) for text in typed if not text.startswith(MODES)]
    return redact_source(" ".join(["python train.py", *(["-m"] if multirun else []), *words]))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def study_fact(root: Path) -> Fact | None:
    """The command that shows a search's study in Optuna's dashboard; None where no storage is known.

    Raises `UnreadableFile` if Hydra's record of the request is damaged.
    """
    paths = SweepPaths(root)
    request = paths.root / "multirun.yaml"
    sweeper = _mapping(_mapping(read_values(request).get("hydra")).get("sweeper")) if request.is_file() else {}
    storage = str(sweeper.get("storage") or "")
    if not storage and not paths.storage.is_file():
        return None
    storage = storage or f"sqlite:///{relative(paths.storage)}"
    variable = re.fullmatch(r"\$\{oc\.env:(\w+)\}", storage)
    shown = f'"${variable[1]}"' if variable else command(redact_source(storage))
    return Fact("study", (f"optuna-dashboard {shown}",), code=True)


def facts(
    trials: Sequence[StoredRun], command: str = "", others: Sequence[Fact | None] = ()
) -> list[Fact]:  # fmt: skip
    """What the trials have in common, and where they differ every variant.

    Args:
        trials: One run, or the trials of a sweep.
        command: As `command_of` returns it.
        others: What else there is, as `mlflow_fact` and `study_fact` return it.
    """
    found = [Fact("command", (command,), code=True)] if command else []
    found += [Fact("data", _different(_data(t.data, t.data_digest) for t in trials if t.data is not None))]
    found += [Fact("time", tuple(_times(trials)))]
    found += [Fact("machine", _different(" · ".join(filter(None, [t.machine, t.device])) for t in trials))]
    found += [Fact("versions", _different(_versions(t.versions) for t in trials if t.versions))]
    found += [Fact("commit", _different(_commit(t) for t in trials))]
    return [fact for fact in (*found, *others) if fact is not None and fact.texts]


def _different(texts: Iterable[str]) -> tuple[str, ...]:
    found = [text for text in dict.fromkeys(texts) if text]
    return (*found[:5], f"and {len(found) - 5:,} more") if len(found) > 5 else tuple(found)


def _data(data: DataSummary, digest: str | None) -> str:
    sizes = f"{data.n_train:,} train, {data.n_val:,} val, {data.n_test:,} test"
    source = f" ({data.source})" if data.source != data.name else ""
    return f"{data.label}{source}: {sizes}; {data.n_features:,} features, {data.n_classes:,} classes; digest {digest}"


def _times(trials: Sequence[StoredRun]) -> list[str]:
    """When the training began and ended, and how long it took by the clock and of training."""
    timed = sorted((t.timing.started, t.timing.ended) for t in trials if t.timing is not None)
    if not timed:
        return []
    began, ended = timed[0][0], max(end for _, end in timed)
    try:
        first, last = (datetime.fromtimestamp(moment, UTC) for moment in (began, ended))
    except (OverflowError, ValueError, OSError):  # no time of a clock
        return []
    busy, reached = 0.0, began
    for start, end in timed:
        busy += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    until = f"{last:%H:%M:%S}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M:%S}"
    training = sum(trial.train_seconds for trial in trials)
    clock = f"{duration(ended - began)} from the first start to the last end"
    clock += f", {duration(busy)} of it with a trial in training" if busy < 0.9 * (ended - began) else ""
    when = f"{first:%Y-%m-%d %H:%M:%S} to {until} UTC"
    if len(trials) == 1:
        return [when, f"{duration(ended - began)} by the clock, {duration(training)} of training"]
    return [when, f"{clock}; {duration(training)} of training, summed over trials"]


def duration(seconds: float) -> str:
    """A time in the unit that suits it."""
    for length, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.1f} s"


def _versions(versions: Mapping[str, str | None] | None) -> str:
    return ", ".join(f"{name} {version}" for name, version in (versions or {}).items() if version)


def _commit(trial: StoredRun) -> str:
    if trial.git is None or trial.git.commit is None:
        return ""
    return trial.git.commit + (" with uncommitted changes" if trial.git.dirty else "")


def mlflow_fact(run_id: str | None, config: Mapping[str, Any]) -> Fact | None:
    """Where MLflow shows the run or sweep; None if it was not logged.

    Args:
        run_id: Its id in MLflow.
        config: The resolved configuration of one of its runs.
    """
    if run_id is None:
        return None
    uri = str(_mapping(config.get("tracking")).get("uri") or DEFAULT_STORE)
    if uri.startswith(("http://", "https://")) and redact_source(uri) == uri and "$" not in uri:
        address = f"{uri.rstrip('/')}/#/runs/{run_id}"
        return Fact("MLflow", (address,), address=address)
    store = () if uri == DEFAULT_STORE else ("--backend-store-uri", redact_source(uri))
    shows = command("mlflow", "ui", *store)
    return Fact("MLflow", (f"{shows}, then open http://127.0.0.1:5000/#/runs/{run_id}",), code=True)


def read_config(file: Path) -> dict[str, Any]:
    """The values of a resolved configuration; empty if there is no such file or it is damaged, which others say."""
    try:
        return read_values(file) if file.is_file() else {}
    except RequestError:
        return {}
