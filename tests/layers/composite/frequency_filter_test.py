"""The frequency filter: what is shared, checked, saved and refused."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_pss
from keras_pss.layers.composite.frequency_filter import FrequencyFilter

DIMS = (900, 7, 500)
LIMITS = (40, 7, 1)
IDS = np.stack(
    [np.random.RandomState(0).randint(0, n, 30) for n in DIMS], axis=1
).astype("int32")
IDS[:2] = (39, 6, 0), (40, 0, 499)
KEPT = np.where(IDS < LIMITS, IDS, 0)


def make(method="full", budget="1x", **arguments):
    tables = keras_pss.EmbeddingCollection(LIMITS, 8, method, budget)
    return FrequencyFilter(tables, DIMS, **arguments)


def model_of(layer):
    ids = keras.Input((len(DIMS),), dtype="int32", name="ids")
    return keras.Model(ids, layer(ids))


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint16", "float32"])
def test_rare_ids_share_id_zero(dtype):
    layer = make()
    expected = ops.convert_to_numpy(layer.embeddings(KEPT))
    if dtype == "int64":  # a NumPy array, so that JAX narrows it quietly
        ids = IDS.astype(dtype)
    else:
        ids = ops.convert_to_tensor(IDS.astype(dtype))
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(ids)), expected)
    again = layer(IDS.reshape(5, 6, 3))
    assert again.shape == (5, 6, 3, 8)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(again).reshape(expected.shape), expected
    )


def test_wrong_ids_are_not_rare_ones():
    layer = make()
    for column, wrong in ((0, 900), (1, -1), (2, 500)):
        ids = IDS.copy()
        ids[3, column] = wrong
        with pytest.raises(ValueError, match=f"first {wrong} .table {column},"):
            layer(ids)
    for ids in (IDS[:, :2], keras.Input((2,), dtype="int32")):
        with pytest.raises(ValueError, match="3 tables, so the last axis"):
            layer(ids)
    with pytest.raises(ValueError, match="looks up integer ids"):
        layer(keras.Input((3,), dtype="bool"))


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="torch.compile takes a minute"
)
def test_wrong_ids_are_nan_where_nothing_can_be_raised():
    layer = make()
    layer.build()
    wrong = IDS.copy()
    wrong[3, 0] = 900
    if keras.backend.backend() == "jax":
        import jax

        found = jax.jit(layer)(wrong)
    else:
        import tensorflow as tf

        found = tf.function(layer, jit_compile=True)(tf.constant(wrong))
    nan = np.isnan(ops.convert_to_numpy(found)).all(axis=-1)
    np.testing.assert_array_equal(np.argwhere(nan), [[3, 0]])


def test_id_zero_learns_from_rare_ids():
    layer = make()
    model = model_of(layer)
    before = ops.convert_to_numpy(layer(KEPT))
    model.compile(keras.optimizers.SGD(1.0), loss=lambda y, x: ops.sum(x))
    ids = np.array([[899, 0, 3], [40, 0, 2], [39, 0, 1]], "int32")
    model.fit(ids, np.zeros(3), batch_size=3, verbose=0)
    moved = before - ops.convert_to_numpy(layer(KEPT))
    times = [{0: 2, 39: 1}, {0: 3}, {0: 3}]
    for column, of_column in enumerate(times):
        for rows, id in zip(moved[:, column], KEPT[:, column], strict=True):
            np.testing.assert_allclose(rows, of_column.get(id, 0), atol=1e-6)


@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have")
def test_saving_and_int8(tmp_path):
    model = model_of(make("robe", "2x"))
    exact = ops.convert_to_numpy(model(IDS))
    config = model.layers[-1].get_config()
    assert config["input_dims"] == DIMS
    for quantised in (False, True):
        if quantised:
            model.quantize("int8")
        before = ops.convert_to_numpy(model(IDS))
        changed = np.abs(before - exact).max()
        assert (0 < changed < 0.05 * np.abs(exact).max()) == quantised
        model.save(tmp_path / "model.keras")
        after = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(ops.convert_to_numpy(after(IDS)), before)


def test_quantize_and_the_memory_report():
    layer = make()
    model = model_of(layer)
    report = layer.memory_report()
    assert report.parameters == layer.budget_size() == sum(LIMITS) * 8
    assert report.parameters == model.count_params()
    assert report.full_parameters == sum(DIMS) * 8
    assert report.lookup_bytes == layer.embeddings.memory_report().lookup_bytes
    total = keras_pss.memory_report(model).total
    assert total.as_dict() == report.as_dict()
    layer.quantize("int8")
    packed = layer.memory_report()
    assert packed.serving_bytes == report.serving_bytes_int8
    assert np.isfinite(ops.convert_to_numpy(layer(IDS))).all()


def test_is_the_embeddings_of_a_model():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = make("hash", "2x")
    finally:
        keras.config.set_dtype_policy("float32")
    assert layer.compute_dtype == "bfloat16"
    model = keras_pss.models.DLRM(
        layer, num_dense=2, bottom_units=(4,), top_units=(4,)
    )
    dense = np.ones((30, 2), "float32")
    found, expected = (
        model.predict({"dense": dense, "categorical": ids}, verbose=0)
        for ids in (IDS, KEPT)
    )
    assert found.shape == (30, 1)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.tf_only
def test_saved_model(tmp_path):
    import tensorflow as tf

    model = model_of(make())
    model.export(tmp_path / "model", format="tf_saved_model", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "model"))
    np.testing.assert_array_equal(
        served.serve(tf.constant(IDS)), model.predict(IDS, verbose=0)
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="must be integ"):
        served.serve(tf.constant([[900, 0, 0]]))
    ragged = tf.RaggedTensor.from_row_lengths(IDS, [10, 0, 20])
    rows = model.layers[-1](ragged)
    assert rows.shape.as_list() == [3, None, 3, 8]


def test_limits():
    counts = [
        np.array([3, 90, 10, 10, 9, 0], "uint32"),
        [0],
        (5, 100),
        np.array([999, 9, 8]),
    ]
    assert FrequencyFilter.limits(counts, 10) == (4, 1, 2, 1)
    assert FrequencyFilter.limits(counts, 1) == (5, 1, 2, 3)
    assert all(type(n) is int for n in FrequencyFilter.limits(counts, 1))
    with pytest.raises(ValueError, match=r"\[1\]\[3\]=7 after 6"):
        FrequencyFilter.limits([[0], np.array([0, 9, 6, 7], "uint8")], 5)
    with pytest.raises(ValueError, match=r"counts\[0\] of shape \(0,\)"):
        FrequencyFilter.limits([[]], 5)
    with pytest.raises(ValueError, match="`min_count` must be a positive"):
        FrequencyFilter.limits([[1]], 0)


@pytest.mark.parametrize("dims", [(900, 7), (900, 6, 500)])
def test_sizes_must_fit(dims):
    tables = keras_pss.EmbeddingCollection(LIMITS, 8, "full")
    with pytest.raises(ValueError, match="at least the number of rows of that"):
        FrequencyFilter(tables, dims)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="`embeddings` must be a collection"):
        FrequencyFilter(keras.layers.Embedding(10, 4), [10])
    tables = keras_pss.EmbeddingCollection([None], 8, "robe", 1000)
    with pytest.raises(ValueError, match="no table may have an open"):
        FrequencyFilter(tables, [10])
    with pytest.raises(ValueError, match="`input_dims` must be a positive"):
        FrequencyFilter(tables, [None])
