"""Registers the best model of a sweep in MLflow, with a description, and gives it the alias `best`."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phalanx.core.redaction import redact
from phalanx.runs.config_file import data_label
from phalanx.runs.layout import RunPaths
from phalanx.tracking.connection import default_store
from phalanx.tracking.limits import TAG, cut, finite, legal, legal_name
from phalanx.tracking.model_files import ModelInfo, inputs_in_words, save_model_files
from phalanx.tracking.notes import metric_table
from phalanx.tracking.records import OBJECTIVE, VALUE, RunRecord
from phalanx.tracking.store import MlflowStore

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

NAME = "model"  # of the model inside its run
ALIAS = "best"
TAG_OF_SWEEP = "phalanx.model"  # has the URI of the registered model, when all of it is done
VERSION_TAGS = {
    "phalanx.study", "phalanx.trial", "phalanx.seed", "phalanx.config_digest", "phalanx.data_digest", OBJECTIVE, VALUE,
}  # fmt: skip


def register(store: MlflowStore, record: RunRecord) -> str | None:
    """Registers the run's model, once, or completes a registration that was cut off, say because an answer was lost.

    Returns:
        The URI of the model; None if there is no model or it is registered already.
    """
    client, run_id, top = store.client, store.logged[record.key].run_id, store.logged[""].run_id
    if not RunPaths(record.folder).model.is_file():
        return None
    version = max(client.search_model_versions(f"run_id='{run_id}'"), key=lambda v: int(v.version), default=None)
    if version is None:
        model, info = _log_model(store, record, run_id)
        name = model_name(store.experiment_name, info["data"], record.params)
        version = _create_version(store, record, name, model, info)
    elif client.get_run(top).data.tags.get(TAG_OF_SWEEP) == _uri(version):
        return None
    if version.model_id:
        named = json.dumps([{"name": version.name, "version": version.version}])
        client.set_logged_model_tags(
            version.model_id, {"mlflow.modelVersions": named}
        )  # for MLflow's page of the model
    if _is_better(_best(store, version.name), version):
        client.set_registered_model_alias(version.name, ALIAS, version.version)
    client.set_tag(top, TAG_OF_SWEEP, _uri(version))
    return _uri(version)


def _uri(version: ModelVersion) -> str:
    return f"models:/{version.name}/{version.version}"


def model_name(experiment: str, data: str, params: Mapping[str, Any]) -> str:
    """Returns `<experiment>-<data>`; a table is named by `data.title` or its file, and by the column of the class.

    Args:
        experiment: The experiment's name.
        data: The name of the data source.
        params: The run's, flat.
    """
    target = params.get("data.target")
    parts = [experiment, data_label({**params, "data.name": data}), *([str(target)] if target else [])]
    return legal_name("-".join(parts)).replace("/", "_").replace(":", "_")


def _log_model(store: MlflowStore, record: RunRecord, run_id: str) -> tuple[LoggedModel, ModelInfo]:
    """Logs the model as an output of its run. `Model.log` would do it with a request for each metric of the run."""
    from mlflow.entities import LoggedModelOutput, Metric
    from mlflow.models import Model

    client, params = store.client, legal(record.params, TAG)
    logged = client.create_logged_model(store.experiment, NAME, run_id, params=params, model_type="classifier")
    try:
        with tempfile.TemporaryDirectory() as scratch:
            about = Model(
                artifact_path=logged.artifact_location, model_uuid=logged.model_id, run_id=run_id,
                model_id=logged.model_id,
            )  # fmt: skip
            info = save_model_files(about, RunPaths(record.folder), Path(scratch, NAME))
            client.log_model_artifacts(logged.model_id, str(Path(scratch, NAME)))
        client.finalize_logged_model(logged.model_id, "READY")
    except Exception:
        with contextlib.suppress(Exception):  # the store may not be reached; what is raised says why
            client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    metrics = [Metric(key, value, record.end_ms or 0, 0, model_id=logged.model_id, run_id=run_id)
               for key, value in finite(record.metrics).items()]  # fmt: skip
    client.log_batch(run_id, metrics=metrics)
    return logged, info


def _create_version(
    store: MlflowStore, record: RunRecord, name: str, model: LoggedModel, info: ModelInfo
) -> ModelVersion:
    from mlflow.exceptions import MlflowException

    about = f"Classifier of {', '.join(map(str, info['classes'][:20]))}.\n\n{inputs_in_words(info)}"
    with contextlib.suppress(MlflowException):  # it exists; anything else is raised by the next call
        store.client.create_registered_model(name, description=cut(redact(about), TAG))
    tags = legal({key: record.tags[key] for key in VERSION_TAGS & record.tags.keys()}, TAG)
    with default_store(store.uri):  # in which MLflow looks for the model that a version is made of
        return store.client.create_model_version(
            name, f"models:/{model.model_id}", store.logged[record.key].run_id, tags,
            description=cut(description(record, info), TAG), await_creation_for=0, model_id=model.model_id,
        )  # fmt: skip


def description(record: RunRecord, info: ModelInfo) -> str:
    """Returns what a version of a model is, in Markdown: where it comes from, its metrics, its input."""
    sweep = record.tags.get("phalanx.study")
    origin = f"Trial {record.tags['phalanx.trial']} of the sweep {sweep}" if sweep else f"The run {record.name}"
    lines = [
        f"{origin}, trained on {data_label({**record.params, 'data.name': info['data']})}.",
        "",
        *metric_table("metric", finite(record.metrics)),
    ]
    return redact("\n".join([*lines, inputs_in_words(info)]))


def _best(store: MlflowStore, name: str) -> ModelVersion | None:
    from mlflow.exceptions import MlflowException

    try:
        return store.client.get_model_version_by_alias(name, ALIAS)
    except MlflowException:  # there is none
        return None


def _is_better(best: ModelVersion | None, version: ModelVersion) -> bool:
    """Whether a new version takes the alias: its value is better, or cannot be compared with the present one's."""
    if best is None or any(best.tags.get(key) != version.tags.get(key) for key in (OBJECTIVE, "phalanx.data_digest")):
        return True
    try:
        before, now = float(best.tags[VALUE]), float(version.tags[VALUE])
    except (KeyError, ValueError):
        return True
    return now <= before if version.tags[OBJECTIVE].startswith("minimize") else now >= before
