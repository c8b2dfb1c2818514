"""The MLflow experiment that runs go to: by its name or id, created where there is none, and found again if renamed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from phalanx.core.advice import command, override
from phalanx.core.reading import read_json
from phalanx.runs.layout import TrackedPaths
from phalanx.tracking.artifacts import local_folder
from phalanx.tracking.connection import Unusable, sqlite_file
from phalanx.tracking.links import experiment_path

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

DEFAULT = "phalanx"
NAME_VARIABLE, ID_VARIABLE = "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"  # MLflow's own
NOTE = "mlflow.note.content"
NOTE_TEXT = (
    "Runs and sweeps of Phalanx. **[Open the list of runs]({path})**, or choose *Model training* at the top left. A "
    "sweep is a parent run with its trials as children. `val_accuracy` and the like are taken at the saved weights; "
    "their curves are under `epoch/`."
)
OLD_NOTE = "Runs and sweeps of Phalanx: "  # begins the note of earlier versions, which had no link


@dataclass(frozen=True)
class Delivered:
    """The experiment that a folder was delivered to: its id, by which name it was asked for, and in which store."""

    experiment_id: str
    asked: str
    store: str


def read_delivered(root: Path) -> Delivered | None:
    """Returns what the file of a folder's id says, if anything. Raises `UnreadableFile` if it is damaged."""
    file = TrackedPaths(root).identity
    content = read_json(file) if file.is_file() else None
    found = content.get("delivered") if isinstance(content, dict) else None
    if not isinstance(found, dict) or set(found) != set(Delivered.__dataclass_fields__):
        return None
    return Delivered(**{key: str(value) for key, value in found.items()})


def asked_name(name: str | None) -> str:
    """Returns the name that an experiment is asked for by, or `id …`.

    Args:
        name: `tracking.experiment`; None takes MLflow's variables, the name before the id, and else `phalanx`.
    """
    if name is not None:
        return name
    number = os.environ.get(ID_VARIABLE)
    return os.environ.get(NAME_VARIABLE) or (f"id {number}" if number else DEFAULT)


def open_experiment(client: MlflowClient, name: str | None, uri: str, delivered: Delivered | None = None) -> Experiment:
    """Returns the experiment, created if need be.

    Args:
        client: Of the store.
        name: As of `asked_name`.
        uri: Of the store.
        delivered: Where the folder was delivered to before, if it was to this store: an experiment of this id that was
            renamed since is the one that is meant.

    Raises:
        Unusable: It was deleted, there is none of this id, or its artifacts are not where its store is.
    """
    found = _renamed(client, name, delivered) or _named(client, name)
    check_active(found)
    check_artifacts(found, uri)
    if found.tags.get(NOTE, "").startswith(OLD_NOTE):
        client.set_experiment_tag(
            found.experiment_id, NOTE, NOTE_TEXT.format(path=experiment_path(found.experiment_id))
        )
    return found


def _renamed(client: MlflowClient, name: str | None, delivered: Delivered | None) -> Experiment | None:
    from mlflow.exceptions import MlflowException

    if delivered is None or delivered.asked != asked_name(name):
        return None
    try:
        found = client.get_experiment(delivered.experiment_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    return found if found.lifecycle_stage == "active" else None


def _named(client: MlflowClient, name: str | None) -> Experiment:
    from mlflow.exceptions import MlflowException

    asked, number = asked_name(name), os.environ.get(ID_VARIABLE, "")
    if name is None and asked == f"id {number}":
        try:
            return client.get_experiment(number)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise Unusable(
                f"{ID_VARIABLE}={number} is no experiment of this store; unset it, or type tracking.experiment=NAME"
            ) from error
    found = client.get_experiment_by_name(asked)
    if found is not None:
        return found
    try:
        created = client.create_experiment(asked)
    except MlflowException as error:  # another process has just created it
        found = client.get_experiment_by_name(asked)
        if error.error_code != "RESOURCE_ALREADY_EXISTS" or found is None:
            raise
        return found
    client.set_experiment_tag(created, NOTE, NOTE_TEXT.format(path=experiment_path(created)))
    return client.get_experiment(created)


def check_active(experiment: Experiment) -> None:
    """Raises `Unusable` if the experiment was deleted, with what to do about it."""
    if experiment.lifecycle_stage != "active":
        raise Unusable(
            f"the experiment {experiment.name!r} was deleted; bring it back with `mlflow experiments restore "
            f"--experiment-id {experiment.experiment_id}`, or name another one: tracking.experiment=another_name"
        )


def check_artifacts(experiment: Experiment, uri: str) -> None:
    """Raises `Unusable` if the database was moved away from the artifacts of the experiment.

    MLflow keeps their absolute path. After the folder of a project was moved or copied, old artifacts would not be
    found, and new ones would be written where the folder was before.
    """
    file, location = sqlite_file(uri), local_folder(experiment.artifact_location)
    if file is None or location is None:
        return
    here = file.resolve().parent.joinpath(*location.parts[-2:])  # mlruns/<id>
    if not here.is_dir() or here == location.resolve():
        return
    advice = f"name another one: {override('tracking.experiment', f'{experiment.name}2')}"
    if not location.exists():
        made, old = command("mkdir", "-p", location.parents[2]), location.parents[1]
        advice = f"type `{made} && {command('ln', '-s', here.parents[1], old)}`, or {advice}"
    raise Unusable(
        f"the experiment {experiment.name!r} keeps its artifacts in {location}, but they are in {here}; {advice}"
    )
