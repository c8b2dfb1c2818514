"""The code that a registered model carries with it: MLflow runs this file where the model is loaded."""


def publish() -> None:
    """Passes the object that predicts to MLflow."""
    import pandas as pd
    from mlflow.models import set_model
    from mlflow.pyfunc import PythonModel, PythonModelContext  # type: ignore[attr-defined]

    class Classifier(PythonModel):
        """Takes rows as `phalanx predict` does; returns a table with the class and a probability for each class."""

        def load_context(self, context: PythonModelContext) -> None:
            from phalanx.runs.model_file import load_model

            self.model = load_model(context.artifacts["weights"])

        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # MLflow would check hints
            model = self.model
            is_table = hasattr(model_input, "columns")
            rows = model_input.to_numpy() if is_table and model.features.kind != "table" else model_input
            p_NC = model.predict(rows)
            predicted = [model.classes[index] for index in p_NC.argmax(axis=1)]
            probabilities = {f"p_{name}": p_NC[:, index] for index, name in enumerate(model.classes)}
            return pd.DataFrame({"predicted": predicted, **probabilities})

    set_model(Classifier())


publish()
