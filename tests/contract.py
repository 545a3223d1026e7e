"""The ids that the contract looks up, and how rows are compared."""

import numpy as np
from keras import ops
from methods import DIM, WIDTH

from keras_pss.layers.base.tensor_cores import CoreEmbedding

# Ids of a batch: duplicates, both ends, every row of a small table.
IDS = np.concatenate(
    [[0, DIM - 1, 3, 3, 3], np.random.RandomState(0).randint(0, DIM, 40)]
).astype("int32")


def rows_of(layer, ids):
    return ops.convert_to_numpy(layer(ids))


def assert_rows(layer, found, expected):
    """Equal bits, but where a matrix product's sums depend on the batch."""
    parts = [layer, *layer.parts()]
    if any(
        isinstance(part, CoreEmbedding) or table.whole
        for part in parts
        for table in part.float_tables().values()
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=2e-8)
    else:
        np.testing.assert_array_equal(found, expected)


def large_arguments(method, width):
    """The method's arguments for a table with thousands of parameters."""
    large = dict(method.arguments_large)
    block = method.arguments.get("block_size")
    if block is not None and block >= WIDTH:
        large["block_size"] = block // WIDTH * width
    return large
