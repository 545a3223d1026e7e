"""The frequency filter over named tables: what is shared, saved, refused."""

import copy
import json

import keras
import numpy as np
import pytest
from gradients import weight_gradients
from keras import ops
from named_tables import LENGTHS, ROWS, SIZE, batch, by_name, features

import keras_pss

LIMITS = {"user": 40, "item": 1500, "genre": 7}


def table_of(name):
    feature = features()[name]
    return feature if isinstance(feature, str) else feature.table


def make(method="full", budget="1x", widths=(8, 8, 8), **kwargs):
    tables = {
        name: keras_pss.TableConfig(rows, width)
        for (name, rows), width in zip(LIMITS.items(), widths, strict=True)
    }
    collection = keras_pss.EmbeddingCollection(
        tables, 8, method, budget, features=features(), dense={"price": 3}
    )
    return keras_pss.FrequencyFilter(collection, ROWS, **kwargs)


def kept(packed):
    """The same inputs with id 0 for each rare id; padding remains."""
    found = {}
    for name, ids in by_name(packed).items():
        rare = (
            ids >= LIMITS[table_of(name)]
            if name in features()
            else np.zeros(ids.shape, bool)
        )
        found[name] = np.where(rare, 0, ids).astype(ids.dtype)
    return found


def assert_same(one, other):
    keras.tree.map_structure(
        lambda a, b: np.testing.assert_array_equal(
            ops.convert_to_numpy(a), ops.convert_to_numpy(b)
        ),
        one,
        other,
    )


def model_of(layer):
    inputs = {
        name: keras.Input((length,), dtype=dtype, name=name)
        for name, (length, dtype) in layer.inputs().items()
    }
    return keras_pss.models.Model(inputs, layer(inputs))


def called(model):
    """Without a graph, which each copy would compile for itself."""
    return keras.tree.map_structure(ops.convert_to_numpy, model(batch()))


@pytest.mark.parametrize("widths", [(8, 8, 8), (None, 4, 6)])
@pytest.mark.parametrize(
    ("method", "budget"), [("full", "1x"), ("robe", "20x"), ("tt", "20x")]
)
def test_rare_ids_share_id_zero(method, budget, widths):
    layer = make(method, budget, widths)
    assert isinstance(layer, keras_pss.FrequencyFilter)
    assert any(
        (by_name(batch())[n] >= LIMITS[table_of(n)]).any() for n in LENGTHS
    )
    wanted = layer.embeddings(kept(batch()))
    assert_same(layer(batch()), wanted)
    assert_same(layer(by_name(batch())), wanted)


def test_padding_is_no_rare_id():
    layer = make()
    packed = batch() | {
        name: np.full((SIZE, length), -1) for name, length in LENGTHS.items()
    }
    found = ops.convert_to_numpy(layer(packed))
    for place, name in enumerate(layer.features):
        assert found[:, place].any() == (name not in LENGTHS)


def test_wrong_ids_are_not_rare_ones():
    layer = make(name="kept")
    for name, wrong in (("viewed", 5000), ("viewed", -2), ("tags", 900)):
        ids = batch()[name]
        ids[3, 1] = wrong
        with pytest.raises(ValueError, match=f"'kept/{name}'.*first {wrong}"):
            layer({**batch(), name: ids})
    ids = batch()["categorical"]
    ids[3, 0] = 900
    with pytest.raises(ValueError, match=r"first 900 \(feature 'user'"):
        layer({**batch(), "categorical": ids})
    with pytest.raises(ValueError, match=r"missing=\['viewed'\]"):
        layer({k: x for k, x in batch().items() if k != "viewed"})


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="torch.compile takes a minute"
)
def test_wrong_ids_are_nan_where_nothing_can_be_raised():
    layer = make()
    layer.build()
    packed = batch()
    packed["viewed"][3, 1] = 5000
    if keras.backend.backend() == "jax":
        import jax

        found = jax.jit(layer)(packed)
    else:
        import tensorflow as tf

        tensors = {name: tf.constant(x) for name, x in packed.items()}
        found = tf.function(layer, jit_compile=True)(tensors)
    nan = np.isnan(ops.convert_to_numpy(found)).all(axis=-1)
    np.testing.assert_array_equal(np.argwhere(nan), [[3, 0]])


def test_id_zero_learns_from_rare_ids():
    layer = make()
    layer.build()
    upstream = np.random.RandomState(1).normal(size=(SIZE, 7, 8))
    upstream = upstream.astype("float32")
    found = weight_gradients(layer, batch(), upstream)
    wanted = weight_gradients(layer.embeddings, kept(batch()), upstream)
    assert_same(found, wanted)
    assert np.abs(ops.convert_to_numpy(found[0])[0]).max() > 0


@pytest.mark.parametrize("widths", [(8, 8, 8), (None, 4, 6)])
@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have")
def test_saving_and_int8(widths, tmp_path):
    model = model_of(make("robe", "4x", widths))
    exact = called(model)
    for quantized in (False, True):
        if quantized:
            model.quantize("int8")
        before = called(model)
        for one, two in zip(
            keras.tree.flatten(before), keras.tree.flatten(exact), strict=True
        ):
            changed = np.abs(one - two).max()
            assert (0 < changed < 0.05 * np.abs(two).max()) == quantized
        model.save(tmp_path / "model.keras")
        after = keras.saving.load_model(tmp_path / "model.keras")
        assert_same(called(after), before)
        layer, again = model.layers[-1], after.layers[-1]
        assert again.get_config() == layer.get_config()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_copies_give_equal_bits(tmp_path):
    layer = make("robe", "4x")
    model = model_of(layer)
    before = called(model)
    assert_same(copy.deepcopy(layer)(batch()), layer(batch()))
    model.save(tmp_path / "model.h5")
    after = keras.saving.load_model(tmp_path / "model.h5")
    assert_same(called(after), before)
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    assert_same(called(other), before)


def test_its_config_is_plain_and_makes_the_same_layer():
    layer = make("robe", "4x", name="kept")
    config = json.loads(json.dumps(layer.get_config()))
    assert config["input_dims"] == ROWS
    for cls in (type(layer), keras_pss.FrequencyFilter):
        twin = cls.from_config(config)
        assert type(twin) is type(layer)
        assert twin.get_config() == layer.get_config()


def test_the_memory_report_and_the_budget():
    layer = make(widths=(None, 4, 6))
    layer.build()
    report = layer.memory_report()
    widths = {"user": 8, "item": 4, "genre": 6}
    size = sum(rows * widths[name] for name, rows in LIMITS.items())
    assert report.parameters == layer.budget_size() == size
    assert report.parameters == layer.count_params()
    full = sum(rows * widths[name] for name, rows in ROWS.items())
    assert report.full_parameters == full
    assert report.lookup_bytes == layer.embeddings.memory_report().lookup_bytes
    total = keras_pss.memory_report(model_of(layer)).total
    assert total.as_dict() == report.as_dict()
    layer.quantize("int8")
    packed = layer.memory_report()
    assert packed.serving_bytes == report.serving_bytes_int8


@pytest.mark.parametrize("widths", [(8, 8, 8), (None, 4, 6)])
@pytest.mark.parametrize("name", ["DLRM", "DeepFM", "NeuralCF"])
def test_is_the_embeddings_of_a_model(name, widths):
    """With the second layers that models create themselves."""
    layer = make("robe", "4x", widths)
    model = getattr(keras_pss.models, name)(layer)
    dense = np.ones((SIZE, 3), "float32")
    inputs = {"dense": dense, **batch()}
    assert {x.name for x in model.inputs} == set(inputs)
    found, expected, named = (
        model.predict(x, verbose=0)
        for x in (
            inputs,
            {"dense": dense, **kept(batch())},
            {"price": dense, **by_name(batch())},
        )
    )
    assert found.shape == (SIZE, 1)
    assert_same(found, expected)
    assert_same(found, named)


def test_a_twin_reads_the_same_inputs():
    layer = make("robe", "4x")
    twin = layer.twin(1, "wide")
    assert (type(twin), twin.name) == (type(layer), "wide")
    assert twin.reads() == layer.reads()
    assert twin.embeddings.name == "wide_tables"
    assert twin(batch()).shape == (SIZE, 7, 1)


def test_a_filter_of_a_filter():
    inner = make()
    outer = keras_pss.FrequencyFilter(
        inner, {"user": 950, "item": 6000, "genre": 7}
    )
    ids = kept(batch())
    assert_same(outer(batch()), inner(batch()))
    ids["user"] = np.full(SIZE, 949)
    zero = {**ids, "user": np.zeros(SIZE, int)}
    assert_same(outer(ids), inner(zero))
    assert outer.full_parameters() == 8 * (950 + 6000 + 7)


def test_ids_are_counted_after_the_filter():
    tables = keras_pss.EmbeddingCollection(
        {"item": 300},
        8,
        "hot_rows",
        "4x",
        options={"method": "hash", "capacity": 3},
        features={"x": keras_pss.FeatureConfig("item", 4)},
    )
    layer = keras_pss.FrequencyFilter(tables, {"item": 900})
    ids = np.array([[7, 899, 300, -1], [7, -1, -1, -1]], "int32")
    layer({"x": ids}, training=True)
    (hot,) = tables.lookups
    twin = copy.deepcopy(tables)
    layer({"x": np.full((2, 4), -1, "int32")}, training=True)
    for own, before in zip(hot.weights, twin.lookups[0].weights, strict=True):
        assert_same(own, before)  # padding is not counted
    twin({"x": np.array([[7, 0, 0, -1], [7, -1, -1, -1]])}, training=True)
    layer({"x": ids}, training=True)
    for own, other in zip(hot.weights, twin.lookups[0].weights, strict=True):
        assert_same(own, other)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "float16"])
def test_half_precision(dtype):
    policy = keras.dtype_policies.DTypePolicy(dtype)
    layer = make(dtype=policy)
    found = layer(batch())
    assert keras.backend.standardize_dtype(found.dtype) == policy.compute_dtype
    wanted = ops.cast(layer.embeddings(kept(batch())), policy.compute_dtype)
    assert_same(ops.cast(found, "float32"), ops.cast(wanted, "float32"))


@pytest.mark.tf_only
def test_an_export_refuses_wrong_ids(tmp_path):
    import tensorflow as tf

    model = model_of(make())
    keras_pss.serving.export_saved_model(model, tmp_path / "1")
    serve = tf.saved_model.load(tmp_path / "1").signatures["serving_default"]
    given = {name: tf.constant(x) for name, x in batch().items()}
    (found,) = serve(**given).values()
    np.testing.assert_allclose(
        found, model.predict(batch(), verbose=0), atol=1e-6
    )
    ids = batch()["viewed"]
    ids[2, 1] = 5000
    with pytest.raises(tf.errors.InvalidArgumentError, match="viewed"):
        serve(**{**given, "viewed": tf.constant(ids)})


def test_limits_by_name():
    counts = {"item": [3, 90, 10, 9], "user": np.array([0])}
    found = keras_pss.FrequencyFilter.limits(counts, 10)
    assert found == {"item": 3, "user": 1}
    with pytest.raises(ValueError, match=r"counts\['item'\]\[2\]=7 after 6"):
        keras_pss.FrequencyFilter.limits({"item": [0, 6, 7]}, 5)


WRONG = {
    r"dict.*by its name: 'a', 'b'.*input_dims=\[7, 8\]": [7, 8],
    r"dict.*input_dims={'a': 7}": {"a": 7},
    r"dict.*'c'": {"a": 7, "b": 8, "c": 9},
    r"positive integer.*input_dims='7'": {"a": "7", "b": 8},
    r"at least the number of rows of that table.*\(5, 6\)": {"a": 4, "b": 8},
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_sizes(message):
    tables = keras_pss.EmbeddingCollection({"a": 5, "b": 6}, 4, "full")
    with pytest.raises(ValueError, match=f"(?s){message}"):
        keras_pss.FrequencyFilter(tables, WRONG[message])


def test_wrong_forms():
    opened = keras_pss.EmbeddingCollection({"a": None}, 4, "robe", 100)
    with pytest.raises(ValueError, match="no table may have an open"):
        keras_pss.FrequencyFilter(opened, {"a": 8})
    tables = keras_pss.EmbeddingCollection([5], 4, "full")
    with pytest.raises(ValueError, match="must be a list of positive"):
        keras_pss.FrequencyFilter(tables, {"a": 8})
