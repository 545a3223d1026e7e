"""Numbers to look up, with the kernels and without."""

import keras
import numpy as np
from keras import ops

from keras_pss import native
from keras_pss.ops.methods import robe

BACKEND = keras.backend.backend()


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def both_ways(compute):
    """What it gives with kernels and without."""
    with_kernels = compute()
    with native.disabled():
        assert not native.available()
        without = compute()
    return with_kernels, without


def looked_up(tables, memory, ids):
    flat = ops.reshape(memory, (-1, 1))
    return robe.rows(
        tables,
        ids,
        flat,
        lambda at: ops.take(ops.reshape(flat, (-1,)), at, axis=0),
    )
