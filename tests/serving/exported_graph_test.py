"""What an exported graph holds and computes, and merged cores."""

import re

import keras
import numpy as np
import pytest

import keras_pss
from keras_pss.layers.base.tensor_cores import CoreEmbedding
from keras_pss.layers.base.walk import every
from keras_pss.ops.methods import merged_cores
from keras_pss.serving import export_saved_model

pytestmark = pytest.mark.tf_only
IDS = np.arange(60, dtype="int32").reshape(20, 3)


def model_of(layer):
    ids = keras.Input((3,), dtype="int32", name="ids")
    return keras.Model(ids, layer(ids))


def variables(folder):
    import tensorflow as tf

    found = tf.train.list_variables(str(folder / "variables" / "variables"))
    return sorted(tuple(shape) for name, shape in found if shape)


def served(folder, ids=IDS, jit=False):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))  # its variables live as long
    serve = loaded.signatures["serve"]
    call = tf.function(lambda ids: serve(ids=ids), jit_compile=jit)
    (rows,) = call(tf.constant(ids)).values()
    return rows.numpy()


def test_each_weight_is_stored_once(tmp_path):
    """Keras' `ExportArchive.track` stores each twice (Keras 3.15)."""
    layer = keras_pss.HotRows(
        keras_pss.MEMComEmbedding(60, 4, num_buckets=9), capacity=5
    )
    folder = export_saved_model(model_of(layer), tmp_path / "m")
    # Shared rows, scales, hot rows, their ids and slots; no counters.
    assert variables(folder) == [(5, 1), (5, 1), (5, 4), (9, 4), (60, 1)]
    np.testing.assert_array_equal(served(folder), layer(IDS))


def test_an_exported_graph_that_cannot_raise_returns_nan(tmp_path):
    layer = keras_pss.ROBEEmbedding(60, 4, memory_size=30)
    folder = export_saved_model(model_of(layer), tmp_path / "m")
    ids = IDS.copy()
    ids[3, 1], ids[5, 2] = -1, 60
    rows = served(folder, ids, jit=True)
    assert np.isnan(rows[3, 1]).all()
    assert np.isnan(rows[5, 2]).all()
    assert np.isnan(rows).sum() == 8
    np.testing.assert_array_equal(served(folder, jit=True), layer(IDS))


CORES = [
    keras_pss.TTEmbedding(60, 8, rank=3, row_shape=(4, 3, 5)),
    keras_pss.TTEmbedding(60, 8, rank=2, num_cores=4),
    keras_pss.TensorRingEmbedding(60, 8, rank=3),
]


@pytest.mark.parametrize("layer", CORES, ids=lambda layer: layer.name)
def test_merged_cores_give_the_same_rows(layer, tmp_path):
    model = model_of(layer)
    before = model.predict(IDS, verbose=0)
    folder = export_saved_model(model, tmp_path / "m", merge_cores=True)
    assert len(variables(folder)) < layer.num_cores
    np.testing.assert_allclose(
        served(folder), before, rtol=0, atol=1e-6 * np.abs(before).max()
    )
    # The model is as it was.
    assert len(model.weights) == layer.num_cores
    np.testing.assert_array_equal(model.predict(IDS, verbose=0), before)
    folder = export_saved_model(model, tmp_path / "own")
    assert len(variables(folder)) == layer.num_cores


def test_cores_within_other_layers_are_merged(tmp_path):
    inner = keras_pss.TTEmbedding(60, 8, rank=3)
    model = model_of(keras_pss.HotRows(inner, capacity=5))
    assert every(model, CoreEmbedding) == [inner]
    folder = export_saved_model(model, tmp_path / "m", merge_cores="1MB")
    np.testing.assert_allclose(served(folder), model(IDS), atol=1e-6)


@pytest.mark.parametrize("size", [10, "40B", "1e3x", "much", 0, -5, None, 2.5])
def test_a_size_that_does_not_do(size, tmp_path):
    model = model_of(keras_pss.TTEmbedding(60, 8, rank=3))
    with pytest.raises(ValueError, match="merge_cores") as raised:
        export_saved_model(model, tmp_path / "m", merge_cores=size)
    assert re.search(rf"Received: merge_cores={size!r}", str(raised.value))
    assert not list(tmp_path.iterdir())


def test_models_without_cores_and_packed_cores_are_refused(tmp_path):
    model = model_of(keras_pss.FullEmbedding(60, 8))
    with pytest.raises(ValueError, match=r"No layer .* 0 layers"):
        export_saved_model(model, tmp_path / "m", merge_cores=True)
    layer = keras_pss.TTEmbedding(60, 8, rank=3)
    model = model_of(layer)
    layer.quantize("int8")
    with pytest.raises(ValueError, match=r"packed.*not both"):
        export_saved_model(model, tmp_path / "m", merge_cores=True)


def test_the_split_is_the_cheapest_within_the_size():
    shapes = [(200, 1, 2, 35), (200, 35, 2, 34), (250, 34, 4, 1)]
    first, last = 40_000 * 4 * 34, 50_000 * 35 * 8
    assert merged_cores.best_split(shapes, last).ends == (0, 2, 3)
    assert merged_cores.best_split(shapes, first).size == first
    assert merged_cores.best_split(shapes, first - 1).ends == (0, 1, 2, 3)
    # The table itself is no choice, whatever the size.
    assert merged_cores.best_split(shapes[:2], 10**12).ends == (0, 1, 2)
    many = [(2, 1, 1, 2), *[(2, 2, 1, 2)] * 29, (2, 2, 2, 1)]
    found = merged_cores.best_split(many, 10_000)
    assert found.size <= 10_000
    assert len(found.ends) < 10
