"""Hot rows once saved, copied and packed."""

import inspect

import keras
import numpy as np
import pytest
from hot_layers import (
    CAPACITY,
    IDS,
    counts_of,
    learned,
    shared,
    tensor_train,
    trained_on,
)
from keras import ops

import keras_pss
from keras_pss.layers.composite.embedding_bag import EmbeddingBag
from keras_pss.layers.composite.hot_rows import HotRows


def rows_of(model):
    """Without a graph, which each copy would compile for itself."""
    return ops.convert_to_numpy(model(IDS[None]))


@pytest.mark.parametrize("inner", [tensor_train, shared])
def test_saved_whole_gives_equal_bits(inner, tmp_path):
    layer = learned(HotRows(inner(), CAPACITY, "sketch", sketch_width=8))
    trained_on(layer, IDS)
    model = keras.Sequential([keras.Input((None,), dtype="int32"), layer])
    before = rows_of(model)
    model.save(tmp_path / "model.keras")
    after = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(rows_of(after), before)
    twin = after.layers[-1]
    assert twin.count_hits() == layer.count_hits()
    np.testing.assert_array_equal(counts_of(twin), counts_of(layer))
    assert twin.refresh()._asdict().keys() == layer.refresh()._asdict().keys()
    np.testing.assert_array_equal(twin.ids(), layer.ids())
    model.save_weights(tmp_path / "model.weights.h5")
    for weight in after.weights:
        weight.assign(ops.zeros(weight.shape))
    after.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(
        rows_of(after),
        rows_of(model),
    )


@pytest.mark.tf_only
def test_saved_models_give_equal_bits(tmp_path):
    import tensorflow as tf

    layer = learned(HotRows(tensor_train(), CAPACITY))
    inputs = keras.Input((5,), dtype="int32")
    model = keras.Model(inputs, layer(inputs))
    model.export(tmp_path / "saved", verbose=False)
    ids = IDS.reshape(9, 5)
    loaded = tf.saved_model.load(tmp_path / "saved")
    found = loaded.serve(tf.constant(ids)).numpy()
    # As the export traces it: for any number of rows, without kernels.
    signature = tf.TensorSpec((None, 5), "int32")
    with keras_pss.native.disabled():
        expected = tf.function(model, input_signature=[signature])(ids)
    np.testing.assert_array_equal(found, expected.numpy())


def test_an_embedding_that_serves_other_layers_still_does_once_loaded(
    tmp_path,
):
    inner = tensor_train()
    ids = keras.Input((3,), dtype="int32")
    rows = keras.layers.Flatten()(HotRows(inner, CAPACITY)(ids))
    bag = EmbeddingBag(inner)(ids)
    model = keras.Model(ids, keras.layers.Concatenate()([rows, bag]))
    model.save(tmp_path / "model.keras")
    after = keras.saving.load_model(tmp_path / "model.keras")
    own = [x.embedding for x in after.layers if hasattr(x, "embedding")]
    assert len(own) == 2
    assert own[0] is own[1]
    assert after.count_params() == model.count_params()


def test_config_round_trip():
    layer = HotRows(
        tensor_train(embeddings_regularizer="l2", mask_zero=True),
        CAPACITY,
        "sketch",
        64,
        embeddings_regularizer="l1",
        embeddings_constraint="unit_norm",
        name="frequent",
    )
    config = layer.get_config()
    arguments = {*inspect.signature(HotRows.__init__).parameters}
    assert arguments - {"self", "kwargs"} <= set(config)
    twin = HotRows.from_config(config)
    assert twin.get_config() == config
    assert (twin.name, twin.mask_zero) == ("frequent", True)
    assert isinstance(twin.embedding, keras_pss.TTEmbedding)
    twin.build()
    assert twin.hot.hot_table.constraint is not None
    assert twin.hot.hot_table.regularizer.l1 == np.float32(0.01)


@pytest.mark.parametrize("inner", [tensor_train, shared])
@pytest.mark.parametrize("whole_model", [False, True])
@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have")
def test_int8_packs_both_and_survives_saving(inner, whole_model, tmp_path):
    layer = learned(HotRows(inner(), CAPACITY))
    model = keras.Sequential([keras.Input((None,), dtype="int32"), layer])
    exact = layer.materialize()
    promised = layer.memory_report().serving_bytes_int8
    (model if whole_model else layer).quantize("int8")
    packed = layer.materialize()
    assert 0 < np.abs(packed - exact).max() < 0.03 * np.abs(exact).max()
    assert not model.trainable_weights
    assert layer.hot.hot_table.dtype == "int8"
    assert layer.memory_report().serving_bytes == promised
    held = sum(
        int(np.prod(w.shape)) * (1 if w.dtype == "int8" else 4)
        for w in layer.weights
    )
    counters = sum(t.bytes for t in layer.counter.tables().values())
    assert held - counters == promised
    model.save(tmp_path / "model.keras")
    after = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(rows_of(after), rows_of(model))
    for own in layer, after.layers[-1]:
        with pytest.raises(ValueError, match=r"Refresh them before `quantize`"):
            own.refresh()


def test_quantize_refuses_what_it_cannot_do():
    layer = learned(HotRows(tensor_train(), CAPACITY))
    with pytest.raises(NotImplementedError, match="quantization"):
        layer.quantize("float8")
    layer.embedding.quantize("int8")  # by itself, before
    layer.quantize("int8")
    with pytest.raises(ValueError, match="already quantized"):
        layer.quantize("int8")
