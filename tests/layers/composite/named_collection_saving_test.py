"""Copies, files, packing and exports of collections with named tables."""

import copy
import json

import keras
import numpy as np
import pytest
from keras import ops
from named_tables import SIZE, batch, make

import keras_pss

KINDS = [
    ("robe", "20x", {"sign": True}),
    ("tt", "20x", {"gauge": "last_core"}),
    ("clustered", "3x", {"num_columns": 2}),
    ("hot_rows", "20x", {"method": "hash", "capacity": 5, "num_hashes": 2}),
    ("hot_rows", "20x", {"inner": "hash", "counts": "slots", "row_dim": 4}),
]
every_kind = pytest.mark.parametrize(
    ("method", "budget", "options"), KINDS, ids=lambda v: str(v)
)


def model_of(collection):
    inputs = {
        name: keras.Input((length,), dtype=dtype, name=name)
        for name, (length, dtype) in collection.inputs().items()
    }
    return keras_pss.models.Model(inputs, collection(inputs))


def vectors_of(model):
    """By name, or all in one array; without a graph, which takes long."""
    return keras.tree.map_structure(ops.convert_to_numpy, model(batch()))


@every_kind
@pytest.mark.parametrize("widths", [(8, 8, 8), (None, 4, 6)])
@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have")
def test_saving_and_int8(method, budget, options, widths, tmp_path):
    model = model_of(make(method, budget, widths, options=options))
    exact = vectors_of(model)
    model.save(tmp_path / "model.keras")
    after = keras.saving.load_model(tmp_path / "model.keras")
    keras.tree.map_structure(
        np.testing.assert_array_equal, vectors_of(after), exact
    )
    assert after.layers[-1].get_config() == model.layers[-1].get_config()
    model.quantize("int8")
    packed = vectors_of(model)
    for one, two in zip(
        keras.tree.flatten(packed), keras.tree.flatten(exact), strict=True
    ):
        assert 0 < np.abs(one - two).max() < 0.05 * np.abs(two).max()
    model.save(tmp_path / "packed.keras")
    after = keras.saving.load_model(tmp_path / "packed.keras")
    keras.tree.map_structure(
        np.testing.assert_array_equal, vectors_of(after), packed
    )


@every_kind
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_copies_give_equal_bits(method, budget, options, tmp_path):
    collection = make(method, budget, options=options)
    model = model_of(collection)
    before = vectors_of(model)
    twin = copy.deepcopy(collection)(batch())
    np.testing.assert_array_equal(
        ops.convert_to_numpy(twin), ops.convert_to_numpy(collection(batch()))
    )
    model.save(tmp_path / "model.h5")
    after = keras.saving.load_model(tmp_path / "model.h5")
    np.testing.assert_array_equal(vectors_of(after), before)
    model.save_weights(tmp_path / "model.weights.h5")
    other = keras.models.clone_model(model)
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(vectors_of(other), before)


def test_its_config_is_plain_and_makes_the_same_layer():
    collection = make("robe", "20x", (None, 4, 8), options={"seed": 2})
    config = collection.get_config()
    assert json.loads(json.dumps(config)) == config
    assert list(config["features"]) == list(collection.features)
    twin = keras_pss.EmbeddingCollection(**config)
    assert twin.get_config() == config
    again = type(collection).from_config(config)
    assert again.get_config() == config


def test_the_weights_have_names_of_their_tables_places():
    paths = {
        "robe": ["full_1/embeddings_table", "shared_0/memory_table"],
        "hash": [
            "full_1/embeddings_table",
            "table_0/buckets_table",
            "table_2/buckets_table",
        ],
    }
    for method, expected in paths.items():
        collection = keras_pss.EmbeddingCollection(
            {"a/b": 900, "c": 7, "d": 5000},
            8,
            method,
            "20x",
            features={"x": "a/b", "y": "c", "z": "d"},
            name="tables",
        )
        collection.build()
        found = [weight.path for weight in collection.weights]
        assert [path.removeprefix("tables/") for path in found] == expected


@pytest.mark.tf_only
@pytest.mark.parametrize("widths", [(8, 8, 8), (None, 4, 6)])
def test_an_export_takes_every_input_and_refuses_wrong_ids(widths, tmp_path):
    import tensorflow as tf

    model = model_of(make("robe", "20x", widths))
    keras_pss.serving.export_saved_model(model, tmp_path / "1")
    serve = tf.saved_model.load(tmp_path / "1").signatures["serving_default"]
    given = {name: tf.constant(x) for name, x in batch().items()}
    found = serve(**given)
    wanted = model.predict(batch(), verbose=0)
    if not isinstance(wanted, dict):
        wanted = dict.fromkeys(found, wanted)
    assert set(found) == set(wanted)
    for name, vectors in found.items():
        np.testing.assert_allclose(vectors, wanted[name], atol=1e-6)
    for name, wrong in ("viewed", 5000), ("viewed", -2), ("categorical", -1):
        ids = batch()[name]
        ids[2, 1] = wrong
        with pytest.raises(tf.errors.InvalidArgumentError, match=name):
            serve(**{**given, name: tf.constant(ids)})


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "float16", "bfloat16"])
def test_half_precision_pools_in_float32(dtype):
    policy = keras.dtype_policies.DTypePolicy(dtype)
    collection = make("robe", "20x", dtype=policy)
    exact = make("robe", "20x")
    exact.build()
    collection.build()
    for own, given in zip(collection.weights, exact.weights, strict=True):
        own.assign(given)
    found = collection(batch())
    assert keras.backend.standardize_dtype(found.dtype) == policy.compute_dtype
    found = ops.convert_to_numpy(ops.cast(found, "float32"))
    wanted = ops.convert_to_numpy(exact(batch()))
    np.testing.assert_allclose(found, wanted, atol=2e-2 * np.abs(wanted).max())


@pytest.mark.tf_only
@pytest.mark.parametrize("jit", [False, True])
def test_a_graph_gives_what_eager_execution_gives(jit):
    import tensorflow as tf

    collection = make("robe", "20x")
    wanted = collection(batch())
    call = tf.function(lambda x: collection(x), jit_compile=jit)
    np.testing.assert_allclose(call(batch()), wanted, atol=1e-6)
    if jit:
        ids = batch()
        ids["viewed"][3, 2] = 5000
        ids["categorical"][4, 1] = -1
        found = call(ids).numpy()
        assert np.isnan(found[3, 0]).all()
        assert np.isnan(found[4, 3]).all()
        assert np.isnan(found).sum() == 2 * 8


def test_hot_rows_count_ids_but_no_padding():
    options = {"method": "hash", "capacity": 5, "num_hashes": 2}
    collection = make("hot_rows", "20x", options=options, min_rows=100)
    packed = batch()
    collection(packed, training=True)
    layer = next(x for x in collection.lookups if x.name == "table_1")
    (counters,) = [w for w in layer.weights if w.path.endswith("counts_table")]
    counted = ops.convert_to_numpy(counters).sum()
    bags = np.concatenate([packed["viewed"], packed["liked"]], axis=1)
    assert counted == (bags != -1).sum() + SIZE
