"""A model as a function of batches, compiled once on each backend."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

Forward = Callable[[Mapping[str, tf.Tensor]], np.ndarray]


def forward(
    model: keras.Model, spec: Mapping[str, tf.TensorSpec], rows: int
) -> Forward:
    """The function from a batch's features to the model's outputs.

    Each call uses the current weights.

    Args:
        model: The model.
        spec: The features of batches of any number of rows.
        rows: Number of rows of a batch; it may have fewer.

    Returns:
        A function from features, tensors of TensorFlow, to an array.
    """
    if keras.backend.backend() == "tensorflow":
        return _graph(model, spec)
    return _on_batches(model, rows)


def _graph(model: keras.Model, spec: Mapping[str, tf.TensorSpec]) -> Forward:
    @tf.function(input_signature=[spec])
    def call(features: Any) -> Any:
        return model(features, training=False)

    return lambda features: call(features).numpy()


def _on_batches(model: keras.Model, rows: int) -> Forward:
    def call(features: Mapping[str, tf.Tensor]) -> np.ndarray:
        arrays = {name: value.numpy() for name, value in features.items()}
        given = len(next(iter(arrays.values())))
        # A batch with fewer rows would be compiled anew.
        added = max(0, rows - given)
        batch = {name: _padded(x, added) for name, x in arrays.items()}
        return model.predict_on_batch(batch)[:given]

    return call


def _padded(array: np.ndarray, rows: int) -> np.ndarray:
    """The array with copies of its last row, whose ids are valid."""
    if not rows:
        return array
    return np.concatenate([array, np.repeat(array[-1:], rows, axis=0)])
