"""The dot interaction against NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_pss


@pytest.mark.parametrize("features", [1, 2, 4, 27])
def test_lower_triangle_row_by_row(features):
    random = np.random.RandomState(0)
    x = random.normal(size=(3, features, 5)).astype("float32")
    found = ops.convert_to_numpy(keras_pss.DotInteraction()(x))
    expected = [
        [x[b, i] @ x[b, j] for i in range(features) for j in range(i)]
        for b in range(3)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.tf_only
@pytest.mark.parametrize("jit_compile", [False, True])
def test_gradient_in_graphs(jit_compile):
    """Σ w z has the gradient (L + Lᵀ) x, with w as the lower triangle L."""
    import tensorflow as tf

    random = np.random.RandomState(0)
    x = random.normal(size=(3, 5, 4)).astype("float32")
    w = random.normal(size=(3, 10)).astype("float32")

    @tf.function(jit_compile=jit_compile)
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(keras_pss.DotInteraction()(x) * w)
        return tape.gradient(loss, x)

    lower = np.zeros((3, 5, 5), "float32")
    lower[:, *np.tril_indices(5, -1)] = w
    np.testing.assert_allclose(
        gradient(tf.constant(x)),
        (lower + lower.transpose(0, 2, 1)) @ x,
        rtol=1e-5,
        atol=1e-6,
    )


def test_symbolic_shape_and_config():
    layer = keras_pss.DotInteraction()
    assert layer(keras.Input((27, 16))).shape == (None, 351)
    twin = keras_pss.DotInteraction.from_config(layer.get_config())
    assert twin.compute_output_shape((None, 27, 16)) == (None, 351)
