"""Bags predict, pack, save, export and copy what calls give."""

import copy

import keras
import numpy as np
import pytest
from bags import (
    COMBINERS,
    LISTED,
    MASK,
    PADDED,
    SPLITS,
    WEIGHTS,
    close,
    expected,
    make,
    some,
    value,
)
from methods import DIM, WIDTH, every_class

import keras_pss
from keras_pss.layers.composite.embedding_bag import EmbeddingBag


def model_of(methods):
    """A model of three inputs with a bag of each method; and the bags."""
    inputs = {
        "ids": keras.Input((5,), dtype="int32", name="ids"),
        "weights": keras.Input((5,), name="weights"),
        "mask": keras.Input((5,), dtype="bool", name="mask"),
    }
    bags = {
        method.id: EmbeddingBag(method.make(), combiner, name=method.id)
        for method, combiner in zip(methods, 9 * COMBINERS, strict=False)
    }
    ids, *rest = inputs.values()
    outputs = {
        name: bag(ids, weights=rest[0], mask=rest[1])
        for name, bag in bags.items()
    }
    return keras.Model(inputs, outputs), bags


# One of each inner build: tables, a shared memory, a linear map, index tables,
# and a layer around another layer.
NESTED = some("full", "robe_shared", "mixed_dimension", "clustered", "hot_rows")
DATA = {"ids": PADDED, "weights": WEIGHTS, "mask": MASK}


def test_predict_and_saved_models_give_what_calls_give(tmp_path):
    """Compiled by jax.jit; a TensorFlow graph; plain calls on PyTorch."""
    model, bags = model_of(NESTED)
    before = model.predict(DATA, verbose=0)
    for name, bag in bags.items():
        found = value(bag(PADDED, weights=WEIGHTS, mask=MASK))
        np.testing.assert_allclose(before[name], found, **close)
    model.save(tmp_path / "model.keras")
    after = keras.saving.load_model(tmp_path / "model.keras")
    found = after.predict(DATA, verbose=0)
    for name in bags:
        np.testing.assert_array_equal(found[name], before[name], name)


@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have")
def test_int8_pools_the_packed_rows_and_survives_saving(tmp_path):
    model, bags = model_of(NESTED)
    exact = {k: bag.embedding.materialize() for k, bag in bags.items()}
    promised = {
        k: bag.memory_report().serving_bytes_int8 for k, bag in bags.items()
    }
    model.quantize("int8")
    before = {name: value(rows) for name, rows in model(DATA).items()}
    for name, bag in bags.items():
        table = bag.embedding.materialize()
        assert np.abs(table - exact[name]).max() > 0
        assert bag.memory_report().serving_bytes == promised[name]
        wanted = expected(bag.embedding, bag.combiner)
        np.testing.assert_allclose(before[name], wanted, **close)
    model.save(tmp_path / "model.keras")
    after = keras.saving.load_model(tmp_path / "model.keras")
    found = after(DATA)
    for name in bags:
        np.testing.assert_array_equal(value(found[name]), before[name], name)


@every_class
def test_config_round_trip(method):
    bag = EmbeddingBag(method.make(), "mean", name="bag")
    twin = EmbeddingBag.from_config(bag.get_config())
    assert twin.embedding is not bag.embedding
    bag.build()
    twin.build()
    for mine, other in zip(twin.weights, bag.weights, strict=True):
        mine.assign(other)
    np.testing.assert_array_equal(
        value(twin(PADDED, mask=MASK)), value(bag(PADDED, mask=MASK))
    )
    assert twin.get_config() == bag.get_config()


@pytest.mark.parametrize("order", ["single first", "bag first"])
def test_an_embedding_shared_with_other_layers_stays_shared(order, tmp_path):
    history = keras.Input((None,), dtype="int32")
    item = keras.Input((), dtype="int32")
    embedding = keras_pss.QREmbedding(DIM, WIDTH, num_buckets=7)
    bag = EmbeddingBag(embedding, "mean")
    calls = [lambda: embedding(item), lambda: bag(history)]
    if order == "bag first":
        calls.reverse()
    mean = EmbeddingBag(embedding, "sqrtn")(history)
    parts = [*(call() for call in calls), mean]
    model = keras.Model([history, item], keras.layers.concatenate(parts))
    data = [np.where(MASK, PADDED, 3), PADDED[:, 0] % DIM]
    before = model.predict(data, verbose=0)
    model.save(tmp_path / "model.keras")
    after = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(after.predict(data, verbose=0), before)
    assert len(after.weights) == len(model.weights) == 2


def test_int8_of_the_layer_itself():
    bag = make("mean")
    bag.build()
    with pytest.raises(NotImplementedError, match="quantization"):
        bag.quantize("float8")
    bag.quantize("int8")
    assert bag.embedding.quantization_mode == "int8"
    # A bag around a packed embedding is of its policy, and calls as ever.
    around = EmbeddingBag(bag.embedding, "mean")
    assert around.quantization_mode == "int8"
    twin = copy.deepcopy(around)
    assert twin.quantization_mode == "int8"
    for layer in around, twin:
        found = value(layer(LISTED, row_splits=SPLITS))
        np.testing.assert_array_equal(
            found, value(bag(LISTED, row_splits=SPLITS))
        )
    # It is packed once, whoever asks for it.
    other = EmbeddingBag(bag.embedding)
    other.build()
    other.quantize("int8")
    np.testing.assert_array_equal(found, value(bag(LISTED, row_splits=SPLITS)))


@pytest.mark.tf_only
def test_exported_models_serve_every_form(tmp_path):
    import tensorflow as tf

    model, bags = model_of(NESTED)
    model.export(tmp_path / "padded", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "padded"))
    found = loaded.serve({k: tf.constant(v) for k, v in DATA.items()})
    wanted = model(DATA)
    for name in bags:
        np.testing.assert_allclose(found[name], wanted[name], **close)
    bag = bags["mixed_dimension"]
    archive = keras.export.ExportArchive()
    archive.track(bag)
    archive.add_endpoint(
        "listed",
        lambda ids, splits: bag(ids, row_splits=splits),
        [tf.TensorSpec((None,), "int32")] * 2,
    )
    # Keras' own signatures have no ragged tensors.
    spec = tf.RaggedTensorSpec((None, None), "int32")
    served = tf.function(lambda ids: bag(ids), input_signature=[spec])
    archive.add_endpoint("ragged", served)
    archive.write_out(str(tmp_path / "lists"), verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "lists"))
    splits = SPLITS.astype("int64")
    ragged = tf.RaggedTensor.from_row_splits(LISTED, splits)
    wanted = bag(ragged)
    for found in loaded.listed(LISTED, SPLITS), loaded.ragged(ragged):
        np.testing.assert_allclose(found, wanted, **close)
