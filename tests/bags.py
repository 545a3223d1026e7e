"""Bags of ids in every form, and their pooled rows by NumPy."""

from itertools import pairwise

import keras
import numpy as np
import pytest
from keras import ops
from methods import DIM, METHODS, WIDTH

import keras_pss
from keras_pss.layers.composite.embedding_bag import EmbeddingBag

COMBINERS = ("sum", "mean", "sqrtn")
BACKEND = keras.backend.backend()
every_combiner = pytest.mark.parametrize("combiner", COMBINERS)
close = {"rtol": 1e-6, "atol": 1e-6}

RANDOM = np.random.RandomState(0)
# Padded bags; in the second-last all is padding, in the last weights are 0.
PADDED = RANDOM.randint(0, DIM, (6, 5)).astype("int32")
MASK = RANDOM.rand(6, 5) < 0.7
MASK[-2] = False
PADDED[~MASK] = RANDOM.choice([-1, DIM, 2**31 - 1], (~MASK).sum())
WEIGHTS = RANDOM.uniform(0.5, 2, (6, 5)).astype("float32")
WEIGHTS[-1] = 0
# The same bags as a list.
LISTED = PADDED[MASK]
LISTED_WEIGHTS = WEIGHTS[MASK]
SPLITS = np.concatenate([[0], np.cumsum(MASK.sum(axis=1))]).astype("int32")


def some(*ids):
    return [method for method in METHODS if method.id in ids]


def pooled(rows, weights, splits, combiner):
    """The definition, in float64, a bag at a time."""
    out = np.zeros((len(splits) - 1, rows.shape[1]))
    weights = np.asarray(weights, "float64")
    for bag, (begin, end) in enumerate(pairwise(splits)):
        w = weights[begin:end]
        norm = {"sum": 1.0, "mean": w.sum(), "sqrtn": np.sqrt((w**2).sum())}
        if norm[combiner] != 0:
            total = (w[:, None] * rows[begin:end]).sum(axis=0)
            out[bag] = total / norm[combiner]
    return out


def expected(layer, combiner, weighted=True):
    weights = LISTED_WEIGHTS if weighted else np.ones(len(LISTED))
    return pooled(layer.materialize(LISTED), weights, SPLITS, combiner)


def value(x):
    return ops.convert_to_numpy(x)


def make(combiner="sum", **kwargs):
    return EmbeddingBag(keras_pss.FullEmbedding(DIM, WIDTH, **kwargs), combiner)
