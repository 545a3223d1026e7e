"""The packed model of a run whose tables have a storage of their own."""

import keras
import numpy as np
import pytest

import keras_pss
from keras_pss.comparison.served import full_bytes, served, served_bytes
from keras_pss.planning import memory_report
from keras_pss.serving.own_storage import pack

pytestmark = pytest.mark.tf_only


def model(layer):
    ids = keras.Input((2,), dtype="int32")
    return keras.Model(ids, layer(ids))


@pytest.mark.parametrize("storage", ["float16", "int8", "int4"])
def test_tables_are_packed_to_their_own_storage(storage):
    layer = keras_pss.QuantizedEmbedding(50, 8, storage=storage)
    found = model(layer)
    ids = np.arange(50).reshape(25, 2)
    before = found(ids)
    floats = memory_report(found).total.serving_bytes
    assert floats == full_bytes(400)
    assert pack(found)
    packed = memory_report(found).total.serving_bytes
    row = {"float16": 16, "int8": 12, "int4": 8}[storage]
    assert packed == 50 * row
    np.testing.assert_array_equal(found(ids), before)
    assert pack(found)  # again, it changes nothing
    assert memory_report(found).total.serving_bytes == packed


@pytest.mark.parametrize("cls", ["quantized", "popularity"])
def test_tables_that_compute_in_float16_stay_floats(cls, caplog):
    """Otherwise a run would fail after its training."""
    options = {"num_rows": 20, "inner_dim": 2} if cls == "popularity" else {}
    layer = {
        "quantized": keras_pss.QuantizedEmbedding,
        "popularity": keras_pss.PopularityEmbedding,
    }[cls](50, 4, storage="int4", dtype="mixed_float16", **options)
    found = model(layer)
    ids = np.arange(50).reshape(25, 2)
    before = found(ids)
    assert not pack(found)
    assert "are served as floats instead of int4" in caplog.text
    assert "--precision mixed_bfloat16" in caplog.text
    np.testing.assert_array_equal(found(ids), before)


def test_tables_in_float32_are_served_as_they_are():
    layer = keras_pss.ClusteredEmbedding(50, 8, num_clusters=3)
    found = served(model(layer), data=None)
    pointers = layer.memory_report().index_bytes
    assert pointers > 0
    assert found == {
        "served_bytes": full_bytes(2 * 3 * 8) + pointers,
        "packed_auc": None,
        "packed_logloss": None,
    }


def test_bytes_of_results_of_earlier_versions():
    assert served_bytes({"embedding_bytes": 12}) == 12
    assert served_bytes({"embedding_bytes": 12, "served_bytes": 3}) == 3
