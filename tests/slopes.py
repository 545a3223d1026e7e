"""Gradients of functions of arrays on any backend, and their comparison."""

import keras
import numpy as np
from keras import ops

BACKEND = keras.backend.backend()


def slopes(function, values):
    """Gradients of a scalar function of a list of arrays or tensors."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        x = [tf.convert_to_tensor(value) for value in values]
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x)
    import jax

    return jax.grad(function)([jax.numpy.asarray(value) for value in values])


def assert_close(found, wanted, step):
    """Equal up to `step` times the largest number."""
    found, wanted = (ops.convert_to_numpy(x) for x in (found, wanted))
    scale = max(np.abs(wanted).max(), 1e-30)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=step * scale)
