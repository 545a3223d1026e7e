"""TensorFlow's kernels that gather, cut, join and sum rows of a table."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from graphs import ids_of, operations
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_pss import native
from keras_pss.ops import columns, gather

pytestmark = pytest.mark.tf_only

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    from keras_pss.native import tensorflow_kernels


def test_rows_of_a_table_are_gathered_by_a_kernel():
    assert "KerasPss>GatherRows" in operations(
        lambda i: gather.rows(tf.ones((5, 2)), i), ids_of(4)
    )


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 30),
    st.integers(1, 20),
    st.lists(st.integers(0, 2**31), max_size=60),
    st.sampled_from(["int32", "int64"]),
)
def test_rows_of_a_table_and_their_gradient(rows, width, index, dtype):
    index = np.array(index, "int64") % rows
    table = tf.constant(
        np.random.default_rng(0).integers(-9, 9, (rows, width)), "float32"
    )
    upstream = np.random.default_rng(1).integers(-9, 9, (len(index), width))
    ids = tf.constant(index.astype(dtype))
    with tf.GradientTape() as tape:
        tape.watch(table)
        found = tensorflow_kernels.gather_rows(table, ids)
    gradient = tape.gradient(found, table, tf.constant(upstream, "float32"))
    np.testing.assert_array_equal(found, table.numpy()[index])
    wanted = np.zeros((rows, width))
    np.add.at(wanted, index, upstream)
    np.testing.assert_array_equal(gradient, wanted)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_columns_are_cut_apart_and_joined(data):
    width = data.draw(st.integers(1, 9))
    chosen = sorted(data.draw(st.sets(st.integers(0, width - 1))))
    others = [c for c in range(width) if c not in chosen]
    rows, d = data.draw(st.integers(0, 5)), data.draw(st.integers(1, 20))
    x = np.random.default_rng(0).normal(size=(rows, width, d)).astype("float32")
    found = tensorflow_kernels.split_columns(tf.constant(x), chosen, width)
    np.testing.assert_array_equal(found[0], x[:, chosen])
    np.testing.assert_array_equal(found[1], x[:, others])
    joined = tensorflow_kernels.join_columns(*found, chosen, width)
    np.testing.assert_array_equal(joined, x)
    parts = [tf.constant(x[:, chosen]), tf.constant(x[:, others])]
    with tf.GradientTape() as tape:
        tape.watch(parts)
        y = columns.join(*parts, chosen, width)
    with native.disabled():
        z = columns.join(*parts, chosen, width)
    np.testing.assert_array_equal(y, z)
    for own, gradient in zip(
        (chosen, others), tape.gradient(y, parts, tf.constant(x)), strict=True
    ):
        if gradient is not None:
            np.testing.assert_array_equal(gradient, x[:, own])


def test_columns_that_are_not_there():
    for chosen in ([3], [-1], [1, 0], [1, 1]):
        with pytest.raises(
            tf.errors.InvalidArgumentError, match="must increase and be in"
        ):
            tensorflow_kernels.split_columns(tf.ones((2, 3, 4)), chosen, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="3 columns"):
        tensorflow_kernels.split_columns(tf.ones((2, 4, 4)), [0], 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Part 1 must be"):
        tensorflow_kernels.join_columns(
            tf.ones((2, 1, 4)), tf.ones((2, 1, 4)), [0], 3
        )


def test_an_index_outside_of_the_table():
    for wrong in (5, -1, 2**40):
        with pytest.raises(
            tf.errors.InvalidArgumentError, match=r"\[0, 5\).*place 1"
        ):
            tensorflow_kernels.gather_rows(
                tf.ones((5, 2)), tf.constant([0, wrong], "int64")
            )


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=200))
def test_rows_of_equal_index_are_summed_at_the_first(index):
    index = np.array(index + index[:5], "int64")
    values = np.random.default_rng(0).integers(-9, 9, (len(index), 3))
    found = tensorflow_kernels.sum_equal(
        tf.constant(values, "float32"), tf.constant(index)
    )
    wanted, first = np.zeros((len(index), 3)), {}
    for i, key in enumerate(index):
        wanted[first.setdefault(key, i)] += values[i]
    np.testing.assert_array_equal(found, wanted)


def test_the_sum_of_equal_rows_has_a_gradient():
    index = tf.constant([4, 2, 4])
    values = tf.ones((3, 2))
    with tf.GradientTape() as tape:
        tape.watch(values)
        sums = tensorflow_kernels.sum_equal(values, index)
    upstream = tf.constant([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    np.testing.assert_array_equal(
        tape.gradient(sums, values, upstream),
        [[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]],
    )


@pytest.mark.slow
def test_the_gradient_does_not_depend_on_the_threads():
    """Bits of a large gradient, with one thread and with several."""
    code = """
import sys
import numpy as np, tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[1]))
import keras_pss
layer = keras_pss.ROBEEmbedding(100_000, 16, memory_size=5000)
layer.build()
ids = np.random.default_rng(0).zipf(1.2, 20_000) % 100_000
up = np.random.default_rng(1).normal(size=(20_000, 16)).astype("float32")
with tf.GradientTape() as tape:
    rows = layer(ids)
gradient = tape.gradient(rows, layer.memory_table.value, tf.constant(up))
assert keras_pss.native.available()
import hashlib
print(hashlib.sha256(gradient.numpy().tobytes()).hexdigest())
"""
    found = {
        subprocess.run(
            [sys.executable, "-c", code, threads],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "4")
    }
    assert len(found) == 1
