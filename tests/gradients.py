"""Gradients of a layer's weights on the backend at hand."""

from typing import Any

import keras
import numpy as np
from keras import ops


def weight_gradients(
    layer: Any, ids: np.ndarray, upstream: np.ndarray
) -> list[np.ndarray]:
    """d/dw of sum(layer(ids) * upstream), for `layer.trainable_weights`."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = ops.sum(layer(ids) * upstream)
        variables = [w.value for w in layer.trainable_weights]
        found = tape.gradient(loss, variables)
        assert not any(isinstance(g, tf.IndexedSlices) for g in found)
    elif backend == "jax":
        import jax

        def loss_of(values):
            kept = [w.value for w in layer.non_trainable_variables]
            rows, _ = layer.stateless_call(values, kept, ids)
            return ops.sum(rows * upstream)

        found = jax.grad(loss_of)([w.value for w in layer.trainable_weights])
    else:
        import torch

        loss = ops.sum(layer(ids) * ops.convert_to_tensor(upstream))
        values = [w.value for w in layer.trainable_weights]
        found = torch.autograd.grad(loss, values)
    return [ops.convert_to_numpy(g) for g in found]
