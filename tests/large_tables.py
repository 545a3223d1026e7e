"""Large tables of any method, and a sample of their rows."""

import math

import keras
import numpy as np
from keras import initializers
from methods import WIDTH

LARGE = 100_000


@keras.saving.register_keras_serializable("keras_pss_test")
class RowUniform(initializers.Initializer):
    """DLRM's own: uniform in ±1/sqrt(rows)."""

    def __call__(self, shape, dtype=None):
        bound = 1 / math.sqrt(shape[0])
        return keras.random.uniform(shape, -bound, bound, dtype=dtype, seed=3)


def make_large(method, initializer, **changes):
    arguments = {**method.arguments_large, **changes}
    block = method.arguments.get("block_size")
    if block is not None and block >= WIDTH:
        arguments["block_size"] = block // WIDTH * 16
    return method.make(
        input_dim=LARGE,
        output_dim=16,
        embeddings_initializer=initializer,
        **arguments,
    )


def sample(layer):
    ids = np.random.RandomState(4).randint(0, LARGE, 20_000)
    return layer.materialize(ids.astype("int32"))
