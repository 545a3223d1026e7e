"""A ranking model behind the preprocessing of raw rows."""

from typing import Any

import keras

from keras_pss.data.storage.log_encoding import LogEncoding
from keras_pss.serving.raw_rows.preprocessing import preprocessing


class RawScorer:
    """The two models as a function of raw columns.

    Args:
        model: A model with a dictionary of inputs.
        raw: A log, the encoder of a run, or the result of `preprocessing`.

    Attributes:
        preprocessing: The model from raw columns to features.
        inputs: Its inputs, by their names.

    Raises:
        ValueError: If `raw` does not give the inputs of the model.
    """

    def __init__(self, model: keras.Model, raw: keras.Model | LogEncoding):
        if isinstance(raw, LogEncoding):
            raw = preprocessing(raw)
        self._model = model
        self.preprocessing = raw
        self.inputs: dict[str, Any] = raw.input
        structure: Any = getattr(model, "input", None)
        given: dict[str, Any] = raw.output
        if not isinstance(structure, dict):
            self._refuse(given, f"{type(structure).__name__} as inputs")
        wide = {name: x.shape[1:] for name, x in structure.items()}
        found = {name: x.shape[1:] for name, x in given.items()}
        for name, shape in wide.items():
            if name not in found:
                self._refuse(given, f"an input {name!r}")
            # A model may take lists of any length.
            if None not in shape and shape != found[name]:
                self._refuse(given, f"an input {name!r} of shape {shape}")
        self._names = tuple(structure)

    def __call__(self, columns: dict[str, Any]) -> Any:
        """Outputs of the model for tensors, by the names of `inputs`."""
        features = self.preprocessing(columns)
        return self._model(
            {name: features[name] for name in self._names}, training=False
        )

    def _refuse(self, given: dict[str, Any], found: str) -> None:
        shapes = {name: x.shape[1:] for name, x in given.items()}
        raise ValueError(
            "`model` must take the features of the log by the names "
            f"{', '.join(f'{n!r} {s}' for n, s in shapes.items())}. Build it "
            "with `EmbeddingCollection.for_log`, or export it without `raw`. "
            f"Received: a model with {found}"
        )
