"""Ids of open vocabularies and of more than 32 bits."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_pss


def test_open_vocabularies_take_any_id():
    wide = np.array([0, 2**31 - 1], "int32")
    if keras.backend.backend() != "jax":
        wide = np.array([0, 2**31 + 5, 2**62 + 1])
    for cls, arguments in (
        (keras_pss.ROBEEmbedding, {"memory_size": 100}),
        (keras_pss.ROBEEmbedding, {"memory_size": 96, "mapping": "fold"}),
        (keras_pss.HashedEmbedding, {"num_buckets": 10}),
        (
            keras_pss.HashedEmbedding,
            {"num_buckets": 10, "num_hashes": 2, "weighted": True},
        ),
        (keras_pss.SketchEmbedding, {"num_buckets": 10}),
        (keras_pss.DeepHashEmbedding, {"hidden_units": (8,)}),
    ):
        layer = cls(None, 8, **arguments)
        rows = ops.convert_to_numpy(layer(ops.convert_to_tensor(wide)))
        assert np.isfinite(rows).all()
        assert layer.memory_report().compression is None
        with pytest.raises(ValueError, match="non-negative integers"):
            layer(np.array([-1], "int32"))
        with pytest.raises(ValueError, match=r"all rows. Give `ids`"):
            layer.materialize()
        with pytest.raises(ValueError, match=r"an open vocabulary.*rounded"):
            layer(np.array([1.0], "float32"))


def test_materialize_checks_ids_as_a_call_does():
    with pytest.raises(ValueError, match="rounded to another"):
        keras_pss.HashedEmbedding(2**25, 2, num_buckets=3).materialize(
            np.array([1.0], "float32")
        )
    if keras.backend.backend() == "jax":
        for wide in (2**32 + 5, -(2**32) + 5):
            layer = keras_pss.FullEmbedding(10, 2)
            for look_up in (layer, layer.materialize):
                with pytest.raises(ValueError, match="truncated to 32 bits"):
                    look_up(np.array([wide]))


def test_wide_ids_are_used_whole_or_refused():
    """An id above 32 bits must not read the row of its low word."""
    layer = keras_pss.ROBEEmbedding(None, 8, memory_size=1000)
    wide = np.array([2**33 + 1])
    if keras.backend.backend() == "jax":
        with pytest.raises(ValueError, match=r"to 32 bits.*8589934593"):
            layer(wide)
        return
    low, whole = layer(np.array([1])), layer(wide)
    assert np.any(ops.convert_to_numpy(low) != ops.convert_to_numpy(whole))
