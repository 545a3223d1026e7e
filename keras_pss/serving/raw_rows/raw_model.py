"""Scores raw rows in Python."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from keras_pss.data.storage.log_encoding import LogEncoding
from keras_pss.messages import shown
from keras_pss.serving.raw_rows.column_values import column_values
from keras_pss.serving.raw_rows.raw_inputs import raw_inputs
from keras_pss.serving.raw_rows.raw_scorer import RawScorer

_BATCH = 1 << 13  # rows scored at a time


class RawModel:
    """A ranking model that takes the raw columns of a log.

    Args:
        model: A model that was trained on a prepared log.
        encoding: That log, or the encoder of the run.

    Call arguments:
        rows: Dictionary from the names of the log's columns to lists, arrays
            or tensors, or a Polars or pandas frame. Other columns than the
            model's are ignored. A value may be what the log's files would
            hold: numbers for integer categories, None, NaN, or `""` where it
            is missing, lists for lists, and Python's or NumPy's times.

    Returns:
        Probabilities, float32 (rows,).

    Raises:
        ValueError: If a column is missing or has another length, or a value
            has a type that its feature does not take.
        InvalidArgumentError: If a value is of the right type, but a log's row
            with it would be rejected.

    Example:

    ```python
    from keras_pss.training import raw_model

    score = raw_model("run")
    score({"item": ["a", None], "price": [1.5, 2.0], "tags": ["x|y", ""]})
    ```
    """

    def __init__(self, model: keras.Model, encoding: LogEncoding):
        import tensorflow as tf

        self._schema = encoding.schema
        self._inputs = raw_inputs(encoding.schema)
        scorer = RawScorer(model, encoding)

        @tf.function(reduce_retracing=True, autograph=False)
        def score(columns: dict[str, tf.Tensor]) -> tf.Tensor:
            return tf.cast(scorer(columns), tf.float32)[:, 0]

        self._score = score

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the log's columns that the model reads."""
        return tuple(raw.column for raw in self._inputs)

    def __call__(self, rows: Any) -> npt.NDArray[np.float32]:
        import tensorflow as tf

        known = rows if isinstance(rows, Mapping) else rows.columns
        missing = [name for name in self.columns if name not in known]
        if missing:
            raise ValueError(
                "`rows` must hold the columns that the model reads: "
                f"{', '.join(self.columns)}. "
                f"Received: no {', '.join(map(shown, missing))}"
            )
        columns = {
            raw.name: column_values(raw, rows[raw.column], self._schema)
            for raw in self._inputs
        }
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(
                "`rows` must hold columns of one length. "
                f"Received: lengths={lengths}"
            )
        count = max(lengths.values())
        parts = [np.zeros(0, np.float32)]
        for start in range(0, count, _BATCH):
            batch = {
                name: tf.constant(values[start : start + _BATCH])
                for name, values in columns.items()
            }
            parts.append(self._score(batch).numpy())
        return np.concatenate(parts)
