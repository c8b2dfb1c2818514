"""Registers a model in MLflow: weights as safetensors, code as source, no pickle; with signature and input example."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phalanx.core.reading import read_json
from phalanx.runs.layout import RunPaths
from phalanx.runs.tensor_file import read_arrays
from phalanx.tracking.limits import legal_name
from phalanx.tracking.records import RunRecord
from phalanx.tracking.store import MlflowStore

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from mlflow.models import ModelSignature

NAME = "model"  # of the model inside its run
WEIGHTS = "weights"
MAX_EXAMPLE = 2**26  # bytes of an input example: three rows of large images
PACKAGES = ("mlflow", "torch", "numpy", "pandas", "safetensors")
VERSION_TAGS = {"phalanx.study", "phalanx.trial", "phalanx.seed", "phalanx.config_digest", "phalanx.data_digest"}
CODE = Path(__file__).with_name("served_model.py")
ModelInfo = dict[str, Any]  # the JSON in a model file, which `phalanx.runs.model_file` writes


def register(store: MlflowStore, record: RunRecord) -> str | None:
    """Registers the run's model, once; returns its URI, or None if there is no model or it is registered already."""
    paths, run_id = RunPaths(record.folder), store.logged[record.key].run_id
    if not paths.model.is_file() or store.client.search_model_versions(f"run_id='{run_id}'"):
        return None
    import mlflow
    from mlflow.models import Model

    info = read_info(paths.model)
    name = legal_name(f"{store.spec.experiment}-{info['data']}").replace("/", "_")
    mlflow.set_tracking_uri(store.uri)
    mlflow.set_experiment(experiment_id=store.experiment)
    logged = Model.log(
        artifact_path=None,
        name=NAME,
        flavor=mlflow.pyfunc,
        run_id=run_id,
        registered_model_name=name,
        await_registration_for=0,
        python_model=str(CODE),
        artifacts={WEIGHTS: str(paths.model.absolute())},
        code_paths=[str(Path(__file__).parents[1])],
        # What serving needs, in the versions that are installed; a local build of torch by its public number.
        pip_requirements=[f"{package}=={metadata.version(package).partition('+')[0]}" for package in PACKAGES],
        signature=signature(info),
        input_example=input_example(paths.example, info),
        model_type="classifier",
    )
    version = str(logged.registered_model_version)
    uri = f"models:/{name}/{version}"
    for key in VERSION_TAGS & record.tags.keys():
        store.client.set_model_version_tag(name, version, key, record.tags[key])
    store.client.set_tag(store.logged[""].run_id, "phalanx.model", uri)
    return uri


def read_info(file: Path) -> ModelInfo:
    """Returns the JSON in a model file, without importing torch. Raises `UnreadableFile` if the file is damaged."""
    return read_arrays(file)[0]


def signature(info: ModelInfo) -> ModelSignature:
    """Returns rows as the data source has them as inputs; the predicted class and class probabilities as outputs."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    features, inputs = info["features"], list[ColSpec | TensorSpec]()
    if features["kind"] == "table":
        needed = features["missing"] != "impute"
        kinds = {c["name"]: "double" if c["kind"] == "numeric" else "string" for c in features["columns"]}
        inputs += [ColSpec(kind, name, required=needed) for name, kind in kinds.items()]
    else:
        inputs.append(TensorSpec(np.dtype("float64"), (-1, info["n_features"])))
    outputs = [ColSpec("string", "predicted"), *(ColSpec("double", f"p_{name}") for name in info["classes"])]
    return ModelSignature(Schema(inputs), Schema(list(outputs)))


def input_example(file: Path, info: ModelInfo) -> np.ndarray | pd.DataFrame | None:
    """Returns the rows in `input_example.json` as the signature describes them; None if there is no such file."""
    if not file.is_file():
        return None
    stored = read_json(file, limit=MAX_EXAMPLE)
    if info["features"]["kind"] != "table":
        import numpy as np

        return np.asarray(stored["data"], dtype=np.float64)
    import pandas as pd

    frame = pd.DataFrame(stored["data"], columns=stored["columns"])
    kinds = {c["name"]: "float64" if c["kind"] == "numeric" else "object" for c in info["features"]["columns"]}
    return frame[list(kinds)].astype(kinds)
