"""Hashed tables and networks: how they start, and their seeds."""

import keras
import numpy as np
import pytest

import keras_pss


def test_hash_embeddings_start_as_the_plain_sum():
    shape = {"num_buckets": 9, "num_hashes": 2}
    initial = keras.initializers.RandomUniform(-1, 1, seed=1)
    plain = keras_pss.HashedEmbedding(60, 4, initial, **shape)
    weighted = keras_pss.HashedEmbedding(60, 4, initial, weighted=True, **shape)
    assert weighted.importance_rows == 60
    np.testing.assert_allclose(
        weighted.materialize(), plain.materialize(), rtol=1e-6, atol=1e-7
    )
    with pytest.raises(ValueError, match="requires weighted=True"):
        keras_pss.HashedEmbedding(60, 4, importance_rows=5, **shape)


@pytest.mark.parametrize("seed", [None, -1, 1.5, True])
def test_hash_seeds_are_checked_at_once(seed):
    for cls, size in (
        (keras_pss.ROBEEmbedding, {"memory_size": 64}),
        (keras_pss.HashedEmbedding, {"num_buckets": 4}),
    ):
        with pytest.raises(ValueError, match="`seed` must be 0 or a pos"):
            cls(100, 8, seed=seed, **size)


@pytest.mark.parametrize("rows", [1, 60])
def test_a_network_with_dead_units_starts_finite(rows):
    for seed in range(12):
        layer = keras_pss.DeepHashEmbedding(
            rows,
            8,
            keras.initializers.RandomUniform(-0.1, 0.1, seed=seed),
            hidden_units=(1, 1),
            num_hashes=2,
            activation="relu",
        )
        assert np.isfinite(layer.materialize()).all()
