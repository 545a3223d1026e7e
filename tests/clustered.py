"""Clustered tables, and their formula in NumPy."""

import keras
import numpy as np
from keras import ops

from keras_pss.layers.embedding.clustered_embedding import ClusteredEmbedding
from keras_pss.ops.hash_families import pss1

ROWS, WIDTH, CLUSTERS, COLUMNS = 60, 12, 7, 4
IDS = np.random.RandomState(0).randint(0, ROWS, (40,)).astype("int32")


def make(**changes):
    arguments = {
        "input_dim": ROWS,
        "output_dim": WIDTH,
        "embeddings_initializer": keras.initializers.RandomUniform(seed=4),
        "num_clusters": CLUSTERS,
    }
    return ClusteredEmbedding(**(arguments | changes))


def numpy_of(layer):
    return {
        name: ops.convert_to_numpy(getattr(layer, f"{name}_table"))
        for name in layer.tables()
    }


def residual_buckets(layer, epoch):
    wide = np.arange(layer.input_dim) + (epoch << 32)
    chunks = range(layer.num_columns)
    return pss1.starts(wide, layer.num_clusters, layer.seed, 1, chunks)
