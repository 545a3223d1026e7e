"""Layers of hot rows over several embeddings, and what they hold."""

import numpy as np
from keras import ops

import keras_pss
from keras_pss.ops import counting

DIM, WIDTH, CAPACITY = 60, 12, 7
HOT = [3, 17, 42, 59]
IDS = np.concatenate(
    [[0, DIM - 1, 3, 3, 3], np.random.RandomState(0).randint(0, DIM, 40)]
).astype("int32")


def tensor_train(**arguments):
    return keras_pss.TTEmbedding(DIM, WIDTH, rank=3, **arguments)


def shared(**arguments):
    memory = keras_pss.SharedMemory(101)
    return keras_pss.ROBEEmbedding(DIM, WIDTH, memory=memory, **arguments)


def hashed(**arguments):
    return keras_pss.HashedEmbedding(DIM, WIDTH, num_buckets=9, **arguments)


def learned(layer, ids=HOT):
    """Makes ids hot and gives them rows as if they had trained."""
    layer.refresh(ids)
    weight = layer.hot.hot_table
    rows = np.random.RandomState(5).normal(size=weight.shape)
    free = np.isin(np.arange(layer.capacity), slots_of(layer)[len(ids) :])
    rows[free] = 0
    weight.assign(rows.astype("float32"))
    return layer


def slots_of(layer):
    return counting.read(layer.hot.slots_table).astype(int)


def numpy_of(x):
    return np.array(ops.convert_to_numpy(x))


def trained_on(layer, ids):
    layer(np.asarray(ids, "int32"), training=True)
    return layer


def counts_of(layer):
    every = np.arange(layer.input_dim, dtype=np.int32)
    return layer.counter.estimates(every)
