"""The dot interaction against NumPy."""

import keras
import numpy as np
from keras import ops

import keras_pss


def test_lower_triangle_row_by_row():
    x = np.random.RandomState(0).normal(size=(3, 4, 5)).astype("float32")
    found = ops.convert_to_numpy(keras_pss.DotInteraction()(x))
    expected = [
        [x[b, i] @ x[b, j] for i in range(4) for j in range(i)]
        for b in range(3)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_symbolic_shape_and_config():
    layer = keras_pss.DotInteraction()
    assert layer(keras.Input((27, 16))).shape == (None, 351)
    twin = keras_pss.DotInteraction.from_config(layer.get_config())
    assert twin.compute_output_shape((None, 27, 16)) == (None, 351)
