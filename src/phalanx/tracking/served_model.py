"""The code that a registered model carries with it. MLflow runs this file where the model is loaded."""

from __future__ import annotations


def publish() -> None:
    """Tells MLflow which object predicts."""
    import pandas as pd
    from mlflow.models import set_model
    from mlflow.pyfunc import PythonModel

    class Classifier(PythonModel):
        """Rows as `phalanx predict` takes them; a table with the class and a probability for each class."""

        def load_context(self, context):
            from phalanx.runs.model_file import load_model

            self.model = load_model(context.artifacts["weights"])

        def predict(self, context, model_input, params=None):  # type hints would stand in for the signature
            model = self.model
            is_table = hasattr(model_input, "columns")
            rows = model_input.to_numpy() if is_table and model.features.kind != "table" else model_input
            p_NC = model.predict(rows)
            predicted = [model.classes[place] for place in p_NC.argmax(axis=1)]
            probabilities = {f"p_{name}": p_NC[:, place] for place, name in enumerate(model.classes)}
            return pd.DataFrame({"predicted": predicted, **probabilities})

    set_model(Classifier())


publish()
