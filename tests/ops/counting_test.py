"""Counters: in place, never too small, and the most counted ids."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_pss.ops import counting
from keras_pss.ops.hash_families import pss1
from keras_pss.ops.hot_ids import index_dtype

ID_LISTS = st.lists(st.integers(0, 299), max_size=200)


def counter(size):
    return keras.Variable(
        np.zeros((size, 1)), dtype=index_dtype(), trainable=False
    )


def count(table, ids, width=None):
    """Counts ids as a layer does."""
    index = ops.convert_to_tensor(np.asarray(ids, np.int32))
    amount = ops.ones_like(index)
    if width is not None:
        index = counting.cells(index, width)
        amount = ops.repeat(amount, counting.DEPTH)
    counting.add_at(table, index, amount)


def sketch_of(ids, width):
    table = counter(counting.DEPTH * width)
    count(table, ids, width)
    return counting.read(table)


def sketch_on_the_host(ids, width):
    """The same in NumPy, without compiling for each number of ids."""
    counts = np.zeros((counting.DEPTH, width), np.uint32)
    offset = pss1.starts(
        np.array(ids, np.int32), width, counting.SEED, chunks=range(4)
    )
    for row in range(counting.DEPTH):
        np.add.at(counts[row], offset[:, row], 1)
    return counts.reshape(-1)


def test_repeated_ids_add_up():
    ids = np.random.RandomState(0).randint(0, 9, 5000)
    table = counter(12)
    count(table, ids)
    count(table, ids[:100])
    expected = np.bincount(ids, minlength=12)
    expected += np.bincount(ids[:100], minlength=12)
    np.testing.assert_array_equal(counting.read(table), expected)


def test_words_are_unsigned_and_survive_the_round_trip():
    table = counter(3)
    words = np.array([0, 2**31 + 5, 2**32 - 1], np.uint32)
    counting.write(table, words)
    np.testing.assert_array_equal(counting.read(table), words)
    count(table, [1, 2])
    np.testing.assert_array_equal(counting.read(table), [0, 2**31 + 6, 0])


@pytest.mark.parametrize("width", [1, 8, 1024])
def test_the_sketch_of_a_step_is_that_of_the_host(width):
    ids = np.random.RandomState(0).randint(0, 2**31 - 1, 300)
    np.testing.assert_array_equal(
        sketch_of(ids, width), sketch_on_the_host(ids, width)
    )


@settings(deadline=None)
@given(ids=ID_LISTS, bits=st.integers(0, 8))
def test_an_estimate_is_never_below_the_count(ids, bits):
    counts = sketch_on_the_host(ids, 1 << bits)
    true = np.bincount(np.array(ids, int), minlength=300)
    found = counting.estimates(
        counts, np.arange(300, dtype=np.int32), 1 << bits
    )
    assert (found >= true).all()
    # Halving keeps that: a sum's half is no less than the halves' sum.
    halved = counting.estimates(
        counts >> 1, np.arange(300, dtype=np.int32), 1 << bits
    )
    assert (halved >= true >> 1).all()


@pytest.mark.parametrize("exponent", [0.7, 1.05, 1.5])
def test_the_error_of_an_estimate_keeps_its_bound(exponent):
    """At most e N / width, but for a share of e^-4 of the ids."""
    rows, width, size = 20_000, 1024, 50_000
    weights = np.arange(1, rows + 1) ** -exponent
    ids = np.random.RandomState(1).choice(rows, size, p=weights / weights.sum())
    counts = sketch_of(ids, width)
    every = np.arange(rows, dtype=np.int32)
    error = counting.estimates(counts, every, width) - np.bincount(
        ids, minlength=rows
    )
    assert error.min() >= 0
    assert (error > np.e * size / width).mean() <= np.exp(-counting.DEPTH)
    assert error.max() > 0


@settings(deadline=None)
@given(
    ids=ID_LISTS,
    held=st.sets(st.integers(0, 299), max_size=20),
    extra=st.integers(0, 20),
    bits=st.none() | st.integers(3, 9),
    block=st.sampled_from([7, 64, 1 << 16]),
)
def test_most_counted_is_what_sorting_all_of_them_gives(
    ids, held, extra, bits, block
):
    width = None if bits is None else 1 << bits
    every = np.arange(300, dtype=np.int32)
    if width is None:
        counts = np.bincount(np.array(ids, int), minlength=300)
        counts = counts.astype(np.uint32)
    else:
        counts = sketch_on_the_host(ids, width)
    score = counting.estimates(counts, every, width)
    capacity = max(1, len(held) + extra)
    order = sorted(every, key=lambda i: (-int(score[i]), i not in held, i))
    # Those that hold a row leave it to others that were counted, alone.
    expected = sorted(i for i in order[:capacity] if score[i] > 0 or i in held)
    before = counting.BLOCK
    counting.BLOCK = block
    try:
        found = counting.most_counted(
            counts, 300, capacity, np.array(sorted(held), np.int32), width
        )
    finally:
        counting.BLOCK = before
    np.testing.assert_array_equal(found, expected)


@settings(deadline=None)
@given(amounts=st.lists(st.integers(0, 2**31), min_size=1, max_size=8))
def test_two_words_count_beyond_32_bits(amounts):
    words = np.zeros(4, np.uint32)
    for amount in amounts:
        words[:2] += np.array([amount // 3, amount], np.uint32)
        words = counting.carried(words)
        assert (words[:2] < 2**31).all()
    expected = [sum(a // 3 for a in amounts), sum(amounts)]
    assert counting.total(words) == expected


def test_counting_within_compiled_code():
    """In place where there are variables, by value where there are none."""
    ids = np.random.RandomState(0).randint(0, 9, 50).astype("int32")
    expected = np.bincount(ids, minlength=10)
    table = counter(10)

    def step(ids):
        counting.add_at(table, ids, ops.ones_like(ids))

    def stateless(value, ids):
        with keras.StatelessScope([(table, value)]) as scope:
            step(ids)
        return scope.get_current_value(table)

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        for jit in False, True:
            counting.write(table, np.zeros(10))
            tf.function(step, jit_compile=jit)(tf.constant(ids))
            np.testing.assert_array_equal(counting.read(table), expected)
        counting.write(table, np.zeros(10))
    if keras.backend.backend() == "jax":
        import jax

        stateless = jax.jit(stateless)
    start = ops.convert_to_tensor(np.zeros((10, 1)), dtype=index_dtype())
    after = stateless(start, ops.convert_to_tensor(ids))
    np.testing.assert_array_equal(ops.convert_to_numpy(after)[:, 0], expected)
    assert not counting.read(table).any()
