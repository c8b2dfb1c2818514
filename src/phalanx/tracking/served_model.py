"""The loader that a registered model carries with it: MLflow imports this file where the model is loaded.

`mlflow.pyfunc.PythonModel` would serve too, but warns at each load that its `predict` has no type hints; hints that
allow every kind of rows do not exist.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from phalanx.runs.ensemble_file import SavedEnsemble
    from phalanx.runs.model_file import SavedModel

ARCHIVE = "phalanx.zip"  # beside this file: the modules that predict
OWN_CODE = "own_code"  # beside this file: the folder with the file of a network that the user wrote


class Classifier:
    """Takes rows as `SavedModel.predict` does; returns a table with the class and a probability for each class."""

    def __init__(self, model: SavedModel | SavedEnsemble) -> None:
        self.model = model

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Predicts the rows. Raises `MlflowException`, which a server answers with status 400, if they do not fit."""
        import pandas as pd
        from mlflow.exceptions import MlflowException

        from phalanx.core.errors import DataError

        model = self.model
        try:
            p_NC, notes = model.predict_with_notes(model_input)
            for note in notes:
                logging.getLogger("phalanx").warning(note)
        except DataError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        predicted = [model.classes[index] for index in p_NC.argmax(axis=1)]
        probabilities = {f"p_{name}": p_NC[:, index] for index, name in enumerate(model.classes)}
        return pd.DataFrame({"predicted": predicted, **probabilities})


def _load_pyfunc(path: str) -> Classifier:
    """Called by MLflow with the path of the model's data: its `model.safetensors`."""
    if "phalanx" not in sys.modules:
        sys.path.insert(0, str(Path(__file__).with_name(ARCHIVE)))
    from phalanx.core.extensions import import_file, loaded
    from phalanx.runs.model_file import load_model

    for file in Path(__file__).with_name(OWN_CODE).glob("*.py"):
        if file.read_text(encoding="utf-8") not in [option.source.text for option in loaded()]:
            import_file(file)
    return Classifier(load_model(path))
