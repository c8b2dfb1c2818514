"""The best model in MLflow's registry: weights as safetensors, code as code, no pickle; signature and input example."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from phalanx.runs.layout import RunPaths
from phalanx.tracking.content import RunRecord, legal_name
from phalanx.tracking.store import MlflowStore

NAME = "model"  # of the model inside its run
WEIGHTS = "weights"
PACKAGES = ("mlflow", "torch", "numpy", "pandas", "safetensors")
VERSION_TAGS = {"phalanx.study", "phalanx.trial", "phalanx.seed", "phalanx.config_digest", "phalanx.data_digest"}
CODE = Path(__file__).with_name("served_model.py")


def register(store: MlflowStore, record: RunRecord) -> str | None:
    """Registers the run's model, once; returns its URI, or None where there is no model or it is there already."""
    paths, run_id = RunPaths(record.folder), store.logged[record.key].run_id
    if not paths.model.is_file() or store.client.search_model_versions(f"run_id='{run_id}'"):
        return None
    import mlflow
    from mlflow.models import Model

    about = describe(paths.model)
    name = model_name(store.spec.experiment, about["data"])
    mlflow.set_tracking_uri(store.uri)
    mlflow.set_experiment(experiment_id=store.experiment)
    info = Model.log(
        artifact_path=None,
        name=NAME,
        flavor=mlflow.pyfunc,
        run_id=run_id,
        registered_model_name=name,
        await_registration_for=0,
        python_model=str(CODE),
        artifacts={WEIGHTS: str(paths.model.absolute())},
        code_paths=[str(Path(__file__).parents[1])],
        pip_requirements=requirements(),
        signature=signature(about),
        input_example=example(paths.example, about),
        model_type="classifier",
    )
    version = str(info.registered_model_version)
    uri = f"models:/{name}/{version}"
    for key in VERSION_TAGS & record.tags.keys():
        store.client.set_model_version_tag(name, version, key, record.tags[key])
    store.client.set_tag(store.logged[""].run_id, "phalanx.model", uri)
    return uri


def model_name(experiment: str, data: str) -> str:
    """Models of one experiment and one kind of data are versions of each other."""
    return legal_name(f"{experiment}-{data}").replace("/", "_")


def describe(file: Path) -> dict[str, Any]:
    """The metadata of a model file; see `runs.model_file`, which needs torch. `ValueError` if it is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as stored:
            return dict(json.loads(stored.metadata()["phalanx"]))
    except (SafetensorError, TypeError, KeyError) as error:
        raise ValueError(f"{file.name} is no model of Phalanx, or is damaged: {error}") from error


def signature(about: Mapping[str, Any]) -> Any:
    """Rows as the data source has them in; the predicted class and a probability for each class out."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    features = about["features"]
    if features["kind"] == "table":
        needed = features["missing"] != "impute"
        columns = [(c["name"], "double" if c["kind"] == "numeric" else "string") for c in features["columns"]]
        inputs = Schema([ColSpec(kind, name, required=needed) for name, kind in columns])
    else:
        inputs = Schema([TensorSpec(np.dtype("float64"), (-1, about["n_features"]))])
    outputs = [ColSpec("string", "predicted"), *(ColSpec("double", f"p_{name}") for name in about["classes"])]
    return ModelSignature(inputs, Schema(outputs))


def example(file: Path, about: Mapping[str, Any]) -> Any:
    """The rows in `input_example.json` as the signature wants them; None if there is no such file."""
    if not file.is_file():
        return None
    stored = json.loads(file.read_text(encoding="utf-8"))
    if about["features"]["kind"] != "table":
        import numpy as np

        return np.asarray(stored["data"], dtype=np.float64)
    import pandas as pd

    frame = pd.DataFrame(stored["data"], columns=stored["columns"])
    kinds = {c["name"]: "float64" if c["kind"] == "numeric" else "object" for c in about["features"]["columns"]}
    return frame[list(kinds)].astype(kinds)


def requirements() -> list[str]:
    """What serving needs, in the versions that are here; a local build of torch by its public number."""
    return [f"{name}=={metadata.version(name).partition('+')[0]}" for name in PACKAGES]
