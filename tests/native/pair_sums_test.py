"""Kernels of sums of products against the `keras.ops` path, the definition."""

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
from keras_pss.ops.methods import pair_sums

OWN = "KerasPss>PairSums"


@st.composite
def pairs(draw):
    """Tables, the number of terms, and ids with duplicates."""
    first, second = (draw(st.integers(1, 50)) for _ in range(2))
    terms, rank = draw(st.integers(1, 5)), draw(st.integers(1, 9))
    number = draw(st.integers(1, 60))
    ids = np.random.default_rng(draw(st.integers(0, 9))).integers(
        0, first * second, number
    )
    tables = [
        numbers(rows, terms * rank, seed=k)
        for k, rows in enumerate((first, second))
    ]
    return tables, terms, ids.astype("int32")


def rows_of(tables, terms, ids):
    first, second = (ops.convert_to_tensor(table) for table in tables)
    ids, side = ops.convert_to_tensor(ids), second.shape[0]
    return pair_sums.rows(
        ids,
        (first, second),
        terms,
        lambda: (
            gather.rows(first, ids // side),
            gather.rows(second, ids % side),
        ),
    )


@settings(max_examples=25 if BACKEND == "tensorflow" else 2, deadline=None)
@given(pairs())
def test_rows_and_gradients_are_those_of_the_definition(given_):
    tables, terms, ids = given_
    assert_close(*both_ways(lambda: rows_of(tables, terms, ids)), 1e-6)
    rank = tables[0].shape[1] // terms
    upstream = numbers(len(ids), rank)

    def loss(tables):
        return ops.sum(rows_of(tables, terms, ids) * upstream)

    for found, wanted in zip(
        *both_ways(lambda: slopes(loss, tables)), strict=True
    ):
        assert_close(found, wanted, 2e-6)


@pytest.mark.slow_on_jax
def test_second_derivatives(calls):
    ids = np.arange(40, dtype="int32") % 30

    def slope(tables):
        """Sum of a gradient's squares, which depends on both tables."""
        found = slopes(
            lambda tables: ops.sum(rows_of(tables, 2, ids) ** 3), tables
        )
        return sum(ops.sum(g**2) for g in found)

    tables = [numbers(5, 6), numbers(6, 6, seed=1)]
    found, wanted = both_ways(lambda: slopes(slope, tables))
    for x, y in zip(found, wanted, strict=True):
        assert_close(x, y, 1e-5)
    assert calls["pair_sums"] > 0


def test_layers_use_the_kernels_where_gradients_are_dense(calls):
    def layer(**options):
        return keras_pss.FPDEmbedding(1000, 8, rank=4, terms=2, **options)

    ids = np.array([[3, 7, 3], [999, 0, 500]])
    own = layer()
    assert_close(*both_ways(lambda: own(ids)), 1e-6)
    assert_close(*both_ways(lambda: keras_pss.EmbeddingBag(own)(ids)), 1e-6)
    assert calls["pair_sums"] == 2
    layer(gradient="sparse")(ids)
    own.quantize("int8")
    own(ids)
    if BACKEND == "tensorflow":
        layer(dtype="float64")(ids)
    assert calls["pair_sums"] == 2


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_tables_of_16_bits_are_multiplied_in_float32(dtype):
    ids = np.arange(30, dtype="int32")
    tables = [ops.cast(numbers(rows, 6, seed=rows), dtype) for rows in (5, 6)]
    found = rows_of(tables, 2, ids)
    assert keras.backend.standardize_dtype(found.dtype) == dtype
    exact = rows_of([ops.cast(t, "float32") for t in tables], 2, ids)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(ops.cast(found, "float32")),
        ops.convert_to_numpy(ops.cast(ops.cast(exact, dtype), "float32")),
    )


@pytest.mark.slow_on_jax
def test_training_is_the_same():
    """Under XLA: graphs have the gradients that the tests above compare."""

    def trained():
        keras.utils.set_random_seed(1)
        model = keras.Sequential(
            [
                keras.Input((3,), dtype="int32"),
                keras_pss.FPDEmbedding(5000, 8, rank=4, terms=3),
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
    layer = keras_pss.FPDEmbedding(1000, 8, rank=4)
    layer.build()
    assert OWN in operations(layer, ids_of(4))
    with native.disabled():
        assert OWN not in operations(layer, ids_of(4))
    model = keras.Sequential([keras.Input((2,), dtype="int32"), layer])
    model.export(tmp_path / "export", verbose=False)
    graph = (tmp_path / "export" / "saved_model.pb").read_bytes()
    assert OWN.encode() not in graph


@pytest.mark.tf_only
def test_ids_and_tables_that_do_not_fit():
    import tensorflow as tf

    from keras_pss.native import tensorflow_kernels as kernels

    first, second = numbers(5, 6), numbers(4, 6)
    ids = tf.constant([-(2**40), -1, 0, 19, 20, 2**40])
    found = kernels.pair_sums(ids, first, second, 2)
    np.testing.assert_array_equal(found[:2], tf.repeat(found[2:3], 2, axis=0))
    np.testing.assert_array_equal(found[4:], tf.repeat(found[3:4], 2, axis=0))
    for wrong, terms in ((second[:, :4], 2), (second, 4)):
        error = pytest.raises(
            (tf.errors.InvalidArgumentError, ValueError), match=r"tables|divi"
        )
        with error:
            kernels.pair_sums(ids, first, wrong, terms)
