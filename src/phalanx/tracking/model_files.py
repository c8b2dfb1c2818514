"""The files of a registered model: weights as safetensors, code as source in one archive, no pickle.

An archive, because a server that is reached over HTTP takes a request for each file.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Set
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phalanx.core.baselines import NAMES, PACKAGES
from phalanx.core.extensions import CODE, SIBLINGS, SOURCE, Source, write_source
from phalanx.core.reading import read_json
from phalanx.runs.layout import RunPaths
from phalanx.runs.tensor_file import read_arrays
from phalanx.tracking.served_model import ARCHIVE, OWN_CODE

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from mlflow.models import Model, ModelSignature

MAX_EXAMPLE = 2**26  # bytes of an input example: three rows of large images
REQUIREMENTS = ("mlflow", "torch", "numpy", "pandas", "safetensors")
OF_BASELINES = ("scikit-learn", "skops")  # what a baseline needs beside these
LOADER = Path(__file__).with_name("served_model.py")
# What `phalanx.runs.model_file` imports: `runs` and what it may import by the table in docs/architecture.md.
SERVED = ("__init__.py", "core", "data", "nn", "training", "runs")
ModelInfo = dict[str, Any]  # the JSON in a model file, which `phalanx.runs.model_file` writes


def prepare_process() -> None:
    """Imports what registering a model needs, in a process that does nothing else.

    MLflow checks that the five requirements of a model are installed. Before that it lists the modules of every file
    of every installed package, which takes a second and is used for packages that are not installed only.
    """
    import importlib_metadata
    import mlflow.pyfunc  # noqa: F401

    importlib_metadata.packages_distributions = dict


def save_model_files(model: Model, paths: RunPaths, folder: Path) -> ModelInfo:
    """Writes an MLflow model.

    Args:
        model: MLflow's description of the model, which gets its signature and flavour here.
        paths: The run whose weights and example rows it takes.
        folder: Where the files go; it must not exist yet.

    Returns:
        The JSON in the model file. Raises `UnreadableFile` if that is damaged.
    """
    from mlflow import pyfunc

    info = read_info(paths.model)
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch, ARCHIVE)
        write_archive(archive)
        own = write_own_code(info, Path(scratch))
        names = (*REQUIREMENTS, *requirements_of_baselines(_models(info)))
        pyfunc.save_model(
            folder,
            mlflow_model=model,
            loader_module=LOADER.stem,
            data_path=str(paths.model.absolute()),
            code_paths=[str(LOADER), str(archive), *map(str, own)],
            # What serving needs, in the versions that are installed; a local build of torch by its public number.
            pip_requirements=[f"{name}=={metadata.version(name).partition('+')[0]}" for name in names],
            signature=signature(info),
            input_example=input_example(paths.example, info),
        )
    return info


def _models(info: ModelInfo) -> set[str]:
    """The options of the group model in a model file: of its network, or of all its members."""
    return {str(entry["model"]["name"]) for entry in (info, *info.get("members", ())) if "model" in entry}


def requirements_of_baselines(models: Set[str]) -> list[str]:
    """The packages that models need beside `REQUIREMENTS`, of those that are installed.

    Args:
        models: Options of the group model.
    """
    named = [PACKAGES[name] for name in sorted(models & {*PACKAGES})]
    own = [next(filter(_installed, names), names[0]) for names in named]
    return [*(OF_BASELINES if models & {*NAMES} else ()), *own]


def _installed(name: str) -> bool:
    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False


def write_archive(file: Path) -> None:
    """Writes the modules that a served model imports, which Python can import from the archive as it is."""
    package = Path(__file__).parents[1]
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in SERVED:
            found = sorted((package / name).rglob("*.py")) if (package / name).is_dir() else [package / name]
            for path in found:
                archive.write(path, Path(package.name, path.relative_to(package)))


def write_own_code(info: ModelInfo, folder: Path) -> list[Path]:
    """Writes the code of a network that the user wrote, which the loader imports, into a folder of its own.

    Args:
        info: The JSON in the model file.
        folder: Where that folder is made.

    Returns:
        The folder; nothing for a network of Phalanx.

    Raises:
        ExtensionError: A file that it imports would lie outside the folder.
    """
    files: dict[str, ModelInfo] = {}
    for entry in info.get("members", [info]):  # of an ensemble each network may have code of its own
        if CODE in entry:
            files.setdefault(str(entry[CODE]), entry)
    if not files:
        return []
    own, names = folder / OWN_CODE, set[str]()
    own.mkdir()
    for text, entry in files.items():
        name = Path(str(entry[SOURCE]).partition(",")[0]).name
        name = name if name.endswith(".py") else "network.py"  # of a notebook's cell
        name = f"{len(names)}_{name}" if name in names else name
        names.add(name)
        siblings = {str(sibling): str(code) for sibling, code in dict(entry.get(SIBLINGS) or {}).items()}
        write_source(Source(Path(name), "", text, siblings), own)
    return [own]


def read_info(file: Path) -> ModelInfo:
    """Returns the JSON in a model file, without importing torch. Raises `UnreadableFile` if the file is damaged."""
    return read_arrays(file)[0]


def signature(info: ModelInfo) -> ModelSignature:
    """Returns the predicted class and class probabilities as outputs.

    The inputs are left open: MLflow would refuse whole numbers in a column of numbers, arrays of any type but one,
    images, lists and tensors, and a CSV file for a model of arrays. The model itself checks its rows.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    outputs = [ColSpec("string", "predicted"), *(ColSpec("double", f"p_{name}") for name in info["classes"])]
    return ModelSignature(outputs=Schema(list(outputs)))


def input_example(file: Path, info: ModelInfo) -> np.ndarray | pd.DataFrame | None:
    """Returns the rows in `input_example.json` in the form that the model takes; None if there is no such file."""
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


def inputs_in_words(info: ModelInfo) -> str:
    """Returns what the rows of a model have to hold, in Markdown."""
    features = info["features"]
    if features["kind"] != "table":
        shape = " ({} × {} pixels)".format(*info["image_shape"]) if info["image_shape"] else ""
        return f"Input: rows of {info['n_features']} numbers{shape}, in the units of the training data."
    optional = " A column may be absent, and a value missing." if features["missing"] == "impute" else ""
    kinds = {"numeric": "numbers", "text": "text"}
    columns = [f"`{column['name']}` ({kinds[column['kind']]})" for column in features["columns"]]
    return f"Input: a table with the columns {', '.join(columns)}.{optional}"
