"""Quotient and remainder: DLRM's sizes, the floor, several partitions."""

import math

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

import keras_pss
from keras_pss.layers.embedding.qr_embedding import _limit, _most_buckets, _rows

# Ids of Criteo Kaggle's 26 columns.
KAGGLE = [
    1460,
    583,
    10131227,
    2202608,
    305,
    24,
    12517,
    633,
    3,
    93145,
    5683,
    8351593,
    3194,
    27,
    14992,
    5461306,
    10,
    5652,
    2173,
    4,
    7046547,
    18,
    15,
    286181,
    105,
    142572,
]


@pytest.mark.parametrize(
    ("collisions", "rows"),
    [(4, 8440878), (10, 3376633), (60, 564002), (250, 139764)],
)
def test_qr_rows_on_criteo_kaggle_are_dlrms(collisions, rows):
    """DLRM's `--qr-collisions`, tables of 200 ids and fewer left full."""
    found = sum(_rows(n, collisions) if n > 200 else n for n in KAGGLE)
    assert found == rows


def test_qr_has_a_floor():
    """Two tables of ceil(sqrt(n)) rows: 28,813 for Criteo Kaggle."""
    smallest = [keras_pss.QREmbedding.smallest_size(n, 1) for n in KAGGLE]
    floor = sum(min(n, s) for n, s in zip(KAGGLE, smallest, strict=True))
    roots = [math.isqrt(n - 1) + 1 for n in KAGGLE]
    assert (
        sum(min(n, 2 * r) for n, r in zip(KAGGLE, roots, strict=True)) == 28813
    )
    assert 28800 <= floor <= 28813
    with pytest.raises(ValueError, match=r"at least 128 parameters \(15.6x\)"):
        keras_pss.QREmbedding.from_budget(1000, 2, 127)
    assert keras_pss.QREmbedding.from_budget(1000, 2, 128).num_buckets == 36


@pytest.mark.parametrize("partitions", [2, 3, 4])
@given(rows=st.integers(1, 3000), extra=st.integers(0, 500))
def test_qr_takes_the_largest_remainder_tables_that_fit(
    partitions, rows, extra
):
    smallest = keras_pss.QREmbedding.smallest_size(
        rows, 1, num_partitions=partitions
    )
    budget = smallest + extra
    sizes = {
        c: _rows(rows, c, partitions)
        for c in range(1, _limit(rows, partitions) + 1)
    }
    assert smallest == min(sizes.values())
    fitting = [c for c, size in sizes.items() if size <= budget]
    assert _most_buckets(rows, budget, partitions) == max(fitting)


def test_qr_partitions_must_fit_each_other():
    make = keras_pss.QREmbedding
    with pytest.raises(ValueError, match=r"one for each partition"):
        make(60, 12, num_buckets=(3, 4), num_partitions=2)
    with pytest.raises(ValueError, match=r"`num_partitions` must be at least"):
        make(60, 12, num_buckets=4, num_partitions=1)
    with pytest.raises(ValueError, match=r"`num_partitions` must be at least"):
        make.from_budget(1000, 16, "4x", num_partitions=1)
    with pytest.raises(ValueError, match=r"such as 20 for 5.*output_dim=12"):
        make(60, 12, num_buckets=2, num_partitions=5, operation="concat")


def test_tables_of_one_initializer_start_differently():
    layer = keras_pss.QREmbedding(
        49, 8, keras.initializers.RandomUniform(seed=3), num_buckets=7
    )
    layer.build()
    quotient, remainder = (ops.convert_to_numpy(w) for w in layer.weights)
    assert quotient.shape == remainder.shape
    assert not np.any(quotient == remainder)
