"""The dtypes and forms of ids that a layer takes by itself."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

import keras_pss
from keras_pss.ops import ids as ids_ops

BACKEND = keras.backend.backend()
EXACT = {"bfloat16": 2**8, "float16": 2**11, "float32": 2**24}


@pytest.mark.parametrize(
    ("dtype", "excess"), list(itertools.product(EXACT, (0, 1, 2)))
)
def test_a_float_dtype_has_every_id_and_the_first_beyond(dtype, excess):
    # The last id is limit - 1. An id that is equal to EXACT may be the one
    # after it, rounded, so it must have no row.
    limit = EXACT[dtype] + excess
    if not excess:
        ids_ops.check_dtype(dtype, limit, "table")
        return
    with pytest.raises(ValueError, match=rf"'table' has {limit} rows, but"):
        ids_ops.check_dtype(dtype, limit, "table")


def test_the_largest_float_table_has_all_its_rows():
    layer = keras_pss.ROBEEmbedding(2**24, 2, memory_size=40)
    last = 2**24 - 1
    found = layer(np.array([last], "float32"))
    np.testing.assert_array_equal(
        ops.convert_to_numpy(found),
        ops.convert_to_numpy(layer(np.array([last]))),
    )
    with pytest.raises(ValueError, match="first 16777216"):
        layer(np.array([2**24 + 1], "float32"))


def layers():
    tables = keras_pss.EmbeddingCollection([9, 9], 2, "full")
    one = keras_pss.ROBEEmbedding(9, 2, memory_size=10)
    return [
        one,
        keras_pss.EmbeddingBag(one),
        tables,
        keras_pss.FrequencyFilter(tables, [9, 9]),
        keras_pss.HotRows(keras_pss.FullEmbedding(9, 2), 2),
    ]


@pytest.mark.parametrize("dtype", ["uint32", "uint64"])
def test_unsigned_ids(dtype):
    right = np.array([[1, 8], [0, 3]])
    for layer in layers():
        np.testing.assert_array_equal(
            ops.convert_to_numpy(layer(right.astype(dtype))),
            ops.convert_to_numpy(layer(right.astype("int32"))),
        )
        largest = np.iinfo(dtype).max
        for number in 9, 2**31 + 1, largest, largest - 3:
            wrong = np.array([[1, 8], [0, number]], dtype)
            with pytest.raises(ValueError, match=rf"Received: .*{number}"):
                layer(wrong)


@pytest.mark.tf_only
@pytest.mark.parametrize("dtype", ["uint32", "uint64"])
def test_unsigned_tensors_in_graphs(dtype):
    import tensorflow as tf

    largest = np.iinfo(dtype).max
    for layer in layers():
        function = tf.function(layer)
        right = tf.constant([[1, 8]], dtype)
        np.testing.assert_array_equal(function(right), layer(right))
        with pytest.raises(tf.errors.InvalidArgumentError):
            function(tf.constant([[1, largest]], dtype))


@pytest.mark.tf_only
def test_sparse_ids_in_any_order_and_of_any_rank():
    import tensorflow as tf

    indices = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 1]])
    sparse = tf.SparseTensor(indices, [7, 8, 3], (2, 2, 2))
    dense = np.zeros((2, 2, 2), "int32")
    dense[tuple(indices.T)] = [7, 8, 3]
    for layer in layers():
        if isinstance(layer, keras_pss.EmbeddingBag):
            with pytest.raises(ValueError, match=r"sparse ids of shape \(b"):
                layer(sparse)
            continue
        for function in layer, tf.function(layer):
            np.testing.assert_array_equal(function(sparse), layer(dense))


@pytest.mark.tf_only
@pytest.mark.parametrize("combiner", ["sum", "mean", "sqrtn"])
def test_bags_of_unsorted_sparse_ids(combiner):
    import tensorflow as tf

    layer = keras_pss.ROBEEmbedding(9, 2, memory_size=10)
    bag = keras_pss.EmbeddingBag(layer, combiner)
    unsorted = tf.SparseTensor([[1, 1], [0, 0], [1, 0]], [1, 2, 3], (2, 2))
    np.testing.assert_allclose(
        bag(unsorted), bag(tf.sparse.reorder(unsorted)), rtol=1e-6
    )


def test_the_message_says_what_is_taken_and_how_a_model_is_safe():
    layer = keras_pss.FullEmbedding(9, 2)
    message = r"integer ids, or floats.*`keras_pss.models.Model`.*dtype=bool"
    with pytest.raises(ValueError, match=message):
        layer(np.array([True]))


def test_float_inputs_that_would_round_are_refused_at_once():
    for layer in (
        keras_pss.ROBEEmbedding(2**24 + 1, 2, memory_size=40),
        keras_pss.ROBEEmbedding(None, 2, memory_size=40),
    ):
        with pytest.raises(ValueError, match="rounded to another row's id"):
            layer(keras.Input((2,)))
        with pytest.raises(ValueError, match="rounded to another row's id"):
            layer(np.array([1.0], "float32"))
