"""What MLflow runs to open a packaged model; a copy of this file lies in the package (models/pyfunc.py). No part of a run imports it."""

from typing import Any

import mlflow
import numpy as np


class Network(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]
    """Windows float32 (n, channels, window, window), NaN = no data → probabilities uint8 (n, centre, centre), 0-250, of their centres."""

    def load_context(self, context: Any) -> None:
        from models.predictor import load_predictor

        self._predictor = load_predictor(context.artifacts["bundle"], context.model_config["sha256"])

    # MLflow reads type hints as a schema, and knows none for arrays of four axes: the package's signature says it.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        return self._predictor.predict(np.asarray(model_input, np.float32))


mlflow.models.set_model(Network())
