"""Tables that are added into ROBE's memories, by the hashes of the layers."""

import numpy as np
from keras import ops

from keras_pss.ops import hashing
from keras_pss.ops.methods import robe


def places(shape, memory_size, block_size, draws):
    """Positions and signs of `draws` independent hashes, `(n, draws, d)`."""
    count, width = shape
    tables = robe.Tables(
        memory_size=memory_size,
        output_dim=width,
        block_size=block_size,
        table=tuple(range(draws)),
        sign=True,
    )
    ids = np.repeat(np.arange(count, dtype="int32")[:, None], draws, axis=1)
    ids = ops.convert_to_tensor(ids)
    signs = hashing.signs(ids, width, **tables.hash)
    positions = robe.positions(tables, ids)
    return ops.convert_to_numpy(positions), ops.convert_to_numpy(signs)


def memories(table, positions, signs, memory_size):
    """One memory for each hash, `(draws, memory_size)`."""
    draws = positions.shape[1]
    at = positions + memory_size * np.arange(draws)[:, None]
    values = signs * table[:, None, :]
    flat = np.bincount(at.ravel(), values.ravel(), draws * memory_size)
    return flat.reshape(draws, memory_size)


def read(memory, positions, signs):
    """Rows of each memory, `(n, draws, d)`."""
    draws = np.arange(len(memory))[:, None]
    return signs * memory[draws, positions]
