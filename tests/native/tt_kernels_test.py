"""Kernels of tensor trains against the `keras.ops` path, the definition."""

import keras
import numpy as np
import pytest
from graphs import ids_of, operations
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from kernels import BACKEND, both_ways, numbers
from slopes import assert_close, slopes

import keras_pss
from keras_pss import native
from keras_pss.ops import gather
from keras_pss.ops.methods import tensor_train

SHAPES = [(5, 1, 2, 3), (4, 3, 2, 5), (6, 5, 3, 1)]


@st.composite
def trains(draw):
    """Shapes of a train or a ring, and ids with duplicates."""
    count = draw(st.integers(2, 4))
    first = draw(st.sampled_from([1, 1, 3]))
    ranks = [draw(st.integers(1, 9)) for _ in range(count - 1)]
    ranks = [first, *ranks, first]
    rows = [draw(st.integers(1, 9)) for _ in range(count)]
    widths = [draw(st.integers(1, 4)) for _ in range(count)]
    shapes = tensor_train.core_shapes(rows, widths, ranks)
    number = draw(st.integers(1, 60))
    ids = np.random.default_rng(draw(st.integers(0, 9))).integers(
        0, np.prod(rows), number
    )
    return shapes, ids.astype("int32")


def cores_of(shapes):
    return [
        numbers(p, left * q * right, seed=k)
        for k, (p, left, q, right) in enumerate(shapes)
    ]


def rows_of(shapes, ids, cores):
    cores = [ops.convert_to_tensor(core) for core in cores]
    ids = ops.convert_to_tensor(ids)
    return tensor_train.rows(
        shapes, ids, cores, lambda k, d: gather.rows(cores[k], d)
    )


@settings(max_examples=25 if BACKEND == "tensorflow" else 2, deadline=None)
@given(trains())
def test_rows_and_gradients_are_those_of_the_definition(given_):
    shapes, ids = given_
    cores = cores_of(shapes)
    assert_close(*both_ways(lambda: rows_of(shapes, ids, cores)), 1e-6)
    upstream = numbers(len(ids), np.prod([q for _, _, q, _ in shapes]))

    def loss(cores):
        return ops.sum(rows_of(shapes, ids, cores) * upstream)

    for found, wanted in zip(
        *both_ways(lambda: slopes(loss, cores)), strict=True
    ):
        assert_close(found, wanted, 2e-6)


@pytest.mark.slow_on_jax
def test_second_derivatives(calls):
    ids = np.arange(40, dtype="int32")

    def slope(cores):
        """Sum of a gradient's squares, which depends on all cores."""

        found = slopes(
            lambda cores: ops.sum(rows_of(SHAPES, ids, cores) ** 3), cores
        )
        return sum(ops.sum(g**2) for g in found)

    found, wanted = both_ways(lambda: slopes(slope, cores_of(SHAPES)))
    for x, y in zip(found, wanted, strict=True):
        assert_close(x, y, 1e-5)
    assert calls["tensor_train_lookup"] > 0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_cores_of_16_bits_are_multiplied_in_float32(dtype, calls):
    ids = np.arange(120, dtype="int32")
    cores = [ops.cast(core, dtype) for core in cores_of(SHAPES)]
    found = rows_of(SHAPES, ids, cores)
    assert keras.backend.standardize_dtype(found.dtype) == dtype
    exact = rows_of(SHAPES, ids, [ops.cast(core, "float32") for core in cores])
    np.testing.assert_array_equal(
        ops.convert_to_numpy(ops.cast(found, "float32")),
        ops.convert_to_numpy(ops.cast(ops.cast(exact, dtype), "float32")),
    )
    assert calls["tensor_train_lookup"] == 2


@pytest.mark.parametrize(
    "layer",
    [
        lambda **k: keras_pss.TTEmbedding(1000, 8, rank=4, **k),
        lambda **k: keras_pss.TensorRingEmbedding(1000, 8, rank=3, **k),
    ],
)
def test_layers_use_the_kernels_where_gradients_are_dense(layer, calls):
    ids = np.array([[3, 7, 3], [999, 0, 500]])
    own = layer()
    assert_close(*both_ways(lambda: own(ids)), 1e-6)
    assert calls["tensor_train_lookup"] == 1
    layer(gradient="sparse")(ids)
    own.quantize("int8")
    own(ids)
    if BACKEND == "tensorflow":
        layer(dtype="float64")(ids)
    assert calls["tensor_train_lookup"] == 1


def test_tables_with_too_many_rows_for_int32_take_the_other_way(calls):
    layer = keras_pss.TTEmbedding(
        2**31 - 1, 4, rank=1, row_shape=(2048, 1024, 1024)
    )
    layer(np.array([0, 2**31 - 2]))
    assert not calls.get("tensor_train_lookup")


@pytest.mark.slow_on_jax
def test_training_is_the_same():
    """Under XLA: graphs have the gradients that the tests above compare."""

    def trained():
        keras.utils.set_random_seed(1)
        model = keras.Sequential(
            [
                keras.Input((3,), dtype="int32"),
                keras_pss.TTEmbedding(5000, 8, rank=4),
                keras.layers.Flatten(),
                keras.layers.Dense(1),
            ]
        )
        model.compile("adam", "mse", jit_compile=True)
        x = np.random.default_rng(0).integers(0, 5000, (256, 3))
        model.fit(x, np.sin(x.sum(1)), batch_size=64, epochs=2, verbose=0)
        return model.get_weights()

    for x, y in zip(*both_ways(trained), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5)


@pytest.mark.tf_only
def test_graphs_use_the_kernels_unless_they_are_exported(tmp_path):
    import tensorflow as tf

    layer = keras_pss.TTEmbedding(1000, 8, rank=4)
    layer.build()
    own = "KerasPss>TensorTrainLookup"
    assert own in operations(layer, ids_of(4))
    with native.disabled():
        assert own not in operations(layer, ids_of(4))
    text = tf.function(layer, jit_compile=True)
    ids = tf.constant([0, 5, 999])
    assert "keras_pss_tensor_train_lookup" in (
        text.experimental_get_compiler_ir(ids)(stage="hlo")
    )
    np.testing.assert_array_equal(text(ids), layer(ids))
    model = keras.Sequential([keras.Input((2,), dtype="int32"), layer])
    model.export(tmp_path / "export", verbose=False)
    assert (
        own.encode()
        not in (tmp_path / "export" / "saved_model.pb").read_bytes()
    )


@pytest.mark.tf_only
def test_ids_and_cores_that_do_not_fit():
    import tensorflow as tf

    from keras_pss.native import tensorflow_kernels as kernels

    cores = cores_of(SHAPES)
    ids = tf.constant([-(2**40), -1, 0, 119, 120, 2**40])
    found = kernels.tensor_train_lookup(ids, cores, SHAPES)
    np.testing.assert_array_equal(found[:2], tf.repeat(found[2:3], 2, axis=0))
    np.testing.assert_array_equal(found[4:], tf.repeat(found[3:4], 2, axis=0))
    for wrong, rule in (
        (SHAPES[:2], "four sizes"),
        ([*SHAPES[:2], (6, 4, 3, 1)], "ranks of cores must match"),
        ([*SHAPES[:2], (7, 5, 3, 1)], "elements that their shapes say"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=rule):
            kernels.tensor_train_lookup(ids, cores, wrong)


@pytest.mark.tf_only
def test_gradients_have_the_same_bits_in_any_order_of_work():
    """Twice the same, with a batch that all chunks and threads work on."""
    import tensorflow as tf

    layer = keras_pss.TTEmbedding(100_000, 8, rank=5)
    layer.build()
    ids = np.random.default_rng(0).zipf(1.2, 4000) % 100_000
    upstream = tf.constant(numbers(4000, 8))
    found = []
    for _ in range(2):
        with tf.GradientTape() as tape:
            rows = layer(ids)
        weights = [w.value for w in layer.trainable_variables]
        found.append(tape.gradient(rows, weights, upstream))
    for x, y in zip(*found, strict=True):
        np.testing.assert_array_equal(x, y)
