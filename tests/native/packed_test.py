"""Lookups of packed tables by kernels against the `keras.ops` path."""

import keras
import numpy as np
import pytest
from graphs import ids_of, operations
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from kernels import BACKEND, both_ways, numbers

import keras_pss
from keras_pss import native
from keras_pss.layers.embedding.methods import METHODS
from keras_pss.ops import packing
from keras_pss.ops.methods.one_scale import OneScale
from keras_pss.ops.packing import Int4, Int8, OwnGrid

FORMATS = [
    Int8(),
    Int4(),
    Int4(32),
    Int4(-1),
    OwnGrid("int8"),
    OwnGrid("int4"),
    OneScale("int8"),
    OneScale("int4"),
]
# Methods and arguments whose lookups differ; products of several tables in
# other orders may differ in the last bit.
LAYERS = [
    ("full", {}, 0),
    ("robe", {"memory_size": 301}, 0),
    ("robe", {"memory_size": 301, "sign": True, "block_size": 16}, 0),
    ("tt", {"rank": 5}, 1e-6),
    ("tensor_ring", {"rank": 3}, 1e-6),
    ("qr", {"num_buckets": 20}, 1e-6),
    ("memcom", {"num_buckets": 20, "bias": True}, 0),
    ("quantized", {"storage": "int4"}, 0),
    (
        "popularity",
        {
            "num_rows": 40,
            "inner_dim": 3,
            "storage": "int4",
            "tail": "robe",
            "memory_size": 99,
        },
        1e-6,
    ),
]


def packed(how, rows, width):
    values = numbers(rows, width)
    return {
        name: ops.convert_to_tensor(array)
        for name, array in how.pack(values).items()
    }


def variables(arrays):
    """The arrays as variables, which some formats read by `.value`."""
    return {
        name: keras.Variable(array, dtype=array.dtype, trainable=False)
        for name, array in arrays.items()
    }


@pytest.mark.tf_only  # elsewhere XLA unpacks rows
@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(FORMATS),
    st.integers(1, 40),
    st.integers(1, 150),
    st.lists(st.integers(0, 2**31), max_size=20),
)
def test_rows_of_every_format(how, rows, width, index):
    held = variables(packed(how, rows, width))
    index = ops.convert_to_tensor(np.array(index, "int64") % rows)
    index = ops.cast(index, "int32")
    found, wanted = both_ways(
        lambda: ops.convert_to_numpy(packing.rows(how, held, width, index))
    )
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.tf_only
@pytest.mark.parametrize("how", [f for f in FORMATS if type(f) is not OwnGrid])
@pytest.mark.parametrize("width", [1, 6, 7])
def test_elements_of_every_format(how, width):
    held = variables(packed(how, 11, width))
    index = ops.reshape(ops.arange(11 * width, dtype="int32"), (11, width))
    found, wanted = both_ways(
        lambda: ops.convert_to_numpy(packing.elements(how, held, width, index))
    )
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("mode", ["int8", "int4"])
@pytest.mark.parametrize(("method", "arguments", "tolerance"), LAYERS)
def test_rows_of_packed_layers(method, arguments, tolerance, mode):
    layer = METHODS[method](400, 16, **arguments)
    layer.build()
    layer.quantize(mode)
    ids = np.arange(400, dtype="int32").reshape(20, 20)
    found, wanted = both_ways(
        lambda: ops.convert_to_numpy(layer(ops.convert_to_tensor(ids)))
    )
    np.testing.assert_allclose(
        found, wanted, rtol=0, atol=tolerance * np.abs(wanted).max()
    )


@pytest.mark.tf_only
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_scales_of_16_bits(dtype):
    how, arrays = Int8(), packed(Int8(), 9, 12)
    held = variables({**arrays, "scale": ops.cast(arrays["scale"], dtype)})
    index = ops.arange(9, dtype="int32")
    found, wanted = both_ways(
        lambda: ops.cast(packing.rows(how, held, 12, index), "float32")
    )
    np.testing.assert_array_equal(
        ops.convert_to_numpy(found), ops.convert_to_numpy(wanted)
    )


@pytest.mark.parametrize(
    ("method", "arguments", "call"),
    [
        ("robe", {"memory_size": 99}, "packed_robe_lookup"),
        ("tt", {"rank": 3}, "packed_tensor_train_lookup"),
        ("hash", {"num_buckets": 9}, "unpack_rows"),
    ],
)
def test_packed_tables_are_read_by_kernels(calls, method, arguments, call):
    layer = METHODS[method](100, 8, **arguments)
    layer.build()
    layer.quantize("int8")
    layer(np.arange(5, dtype="int32"))
    wanted = BACKEND == "tensorflow" or call != "unpack_rows"
    assert calls.get(call, 0) == wanted
    with native.disabled():
        layer(np.arange(5, dtype="int32"))
    assert calls.get(call, 0) == wanted


@pytest.mark.tf_only
@pytest.mark.parametrize(
    ("method", "arguments"),
    [("robe", {"memory_size": 99}), ("tt", {"rank": 3})],
)
def test_packed_tables_under_xla(method, arguments):
    import tensorflow as tf

    layer = METHODS[method](100, 4, **arguments)
    layer.build()
    layer.quantize("int4")
    ids = np.arange(100, dtype="int32")
    compiled = tf.function(lambda x: layer(x), jit_compile=True)
    with native.disabled():
        wanted = layer(ids)
    np.testing.assert_allclose(compiled(ids), wanted, rtol=0, atol=1e-6)


@pytest.mark.tf_only
def test_bags_of_a_packed_memory(calls):
    import tensorflow as tf

    layer = keras_pss.ROBEEmbedding(100, 4, memory_size=99, sign=True)
    bag = keras_pss.EmbeddingBag(layer, "sum")
    ids = np.arange(12, dtype="int32").reshape(4, 3)
    bag(ids)
    layer.quantize("int8")
    weights = tf.constant(np.abs(numbers(4, 3)))
    upstream = tf.constant(numbers(4, 4, seed=1))

    def sums_and_slopes():
        with tf.GradientTape() as tape:
            tape.watch(weights)
            sums = bag(ids, weights=weights)
        return sums, tape.gradient(sums, weights, upstream)

    found, wanted = both_ways(sums_and_slopes)
    assert calls["packed_robe_lookup"] == 1
    for own, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-5, atol=1e-6)


@pytest.mark.tf_only
def test_a_whole_packed_table_is_not_unpacked():
    layer = keras_pss.FullEmbedding(1000, 8)
    layer.build()
    layer.quantize("int8")
    found = operations(lambda x: layer(x), ids_of(4))
    assert "KerasPss>UnpackRows" in found
    assert "Mul" not in found


@pytest.mark.tf_only
def test_what_does_not_fit_a_packed_table_is_refused():
    import tensorflow as tf

    from keras_pss.native import tensorflow_kernels
    from keras_pss.native.packed_table import PackedLayout, PackedTable

    codes, scale = tf.zeros((5, 4), "int8"), tf.ones((5,))
    table = PackedTable(codes, scale, PackedLayout(5, 4, 8, 1, 4))
    index = tf.constant([0, 5])
    error = tf.errors.InvalidArgumentError
    with pytest.raises(error, match=r"\[0, 5\).*place 1"):
        tensorflow_kernels.unpack_rows(table, index, 4)
    for layout, rule in (
        (PackedLayout(6, 4, 8, 1, 4), "codes for all"),
        (PackedLayout(5, 4, 8, 1, 2), "scales for all"),
        (PackedLayout(5, 4, 7, 1, 4), "8 or 4 bits"),
        (PackedLayout(5, 4, 8, 0, 4), "group must be"),
        (PackedLayout(5, 4, 8, 1, 5), "block must be"),
    ):
        wrong = PackedTable(codes, scale, layout)
        with pytest.raises(error, match=rule):
            tensorflow_kernels.unpack_rows(wrong, index, 4)
    with pytest.raises(error, match="layout of five numbers"):
        tensorflow_kernels.packed_tensor_train_lookup(
            index, [table, table], [(5, 1, 2, 2)]
        )
