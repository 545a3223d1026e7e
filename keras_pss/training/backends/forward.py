"""A model as a function of batches, compiled once on each backend."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

Forward = Callable[[Mapping[str, tf.Tensor]], np.ndarray]


def forward(model: keras.Model, spec: Mapping[str, tf.TensorSpec]) -> Forward:
    """The function from a batch's features to the model's outputs.

    Each call uses the current weights.

    Args:
        model: The model.
        spec: The features of batches of any number of rows.

    Returns:
        A function from features, tensors of TensorFlow, to an array.
    """
    if keras.backend.backend() == "tensorflow":
        return _graph(model, spec)
    return _on_batches(model)


def _graph(model: keras.Model, spec: Mapping[str, tf.TensorSpec]) -> Forward:
    @tf.function(input_signature=[spec])
    def call(features: Any) -> Any:
        return model(features, training=False)

    return lambda features: call(features).numpy()


def _on_batches(model: keras.Model) -> Forward:
    most = 0

    def call(features: Mapping[str, tf.Tensor]) -> np.ndarray:
        nonlocal most
        arrays = {name: value.numpy() for name, value in features.items()}
        rows = len(next(iter(arrays.values())))
        most = max(most, rows)
        # A batch with fewer rows would be compiled anew.
        batch = {name: _padded(x, most - rows) for name, x in arrays.items()}
        return model.predict_on_batch(batch)[:rows]

    return call


def _padded(array: np.ndarray, rows: int) -> np.ndarray:
    """The array with copies of its last row, whose ids are valid."""
    if not rows:
        return array
    return np.concatenate([array, np.repeat(array[-1:], rows, axis=0)])
