"""Fits of methods whose ids share parameters, against dense least squares."""

import numpy as np
import pytest
from fitting import least_squares, relative, trained_table

import keras_pss

N, D = 60, 6
TABLE, COUNTS = trained_table(N, D)

# The algorithms are in NumPy; the contract fits every method on each backend.
pytestmark = pytest.mark.tf_only


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (keras_pss.HashedEmbedding(N, D, num_buckets=17), "buckets"),
        (keras_pss.ROBEEmbedding(N, D, memory_size=61), "memory"),
        (
            keras_pss.ROBEEmbedding(
                N, D, memory_size=61, sign=True, output_scale=0.5
            ),
            "memory",
        ),
        (
            keras_pss.ROBEEmbedding(N, D, memory_size=96, mapping="fold"),
            "memory",
        ),
    ],
)
@pytest.mark.parametrize("counts", [None, COUNTS + 1], ids=["plain", "counts"])
def test_the_best_rows_are_those_of_least_squares(layer, name, counts):
    layer.fit_table(TABLE, counts)
    rows = layer.materialize()
    best = least_squares(layer, name, TABLE, counts)
    np.testing.assert_allclose(rows, best, atol=2e-5)
    assert relative(TABLE, rows, counts) < 1
