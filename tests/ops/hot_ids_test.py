"""Places in a sorted list, and moves from one set of hot ids to another."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_pss.ops import counting, hot_ids

WORDS = st.sampled_from([0, 1, 2**31 - 1, 2**31, 2**32 - 1])
ID_SETS = st.sets(st.integers(0, 40), max_size=12)


def padded(ids, capacity):
    rest = [hot_ids.PADDING] * (capacity - len(ids))
    return np.array([*sorted(ids), *rest], np.int32)


@settings(deadline=None)
@given(
    capacity=st.sampled_from([16, 21]),
    held=st.sets(st.integers(0, 2**31 - 2), max_size=16),
    others=st.lists(st.integers(0, 2**31 - 2), max_size=20),
)
@pytest.mark.parametrize(
    "search", [hot_ids.count_below, hot_ids._binary_search]
)
def test_both_searches_count_what_is_below(search, capacity, held, others):
    table = padded(held, capacity)
    ids = np.array([*held, *others, 2**31 - 2], np.int32)
    ids = np.resize(ids, 40)
    below = search(ops.convert_to_tensor(table), ops.convert_to_tensor(ids))
    np.testing.assert_array_equal(
        ops.convert_to_numpy(below), np.searchsorted(table, ids)
    )


@pytest.mark.parametrize("capacity", [1, 2, 3, 7, 8, 9])
def test_find_tells_hits_from_misses(capacity):
    for size in range(capacity + 1):
        held = 3 * np.arange(size)
        table = ops.convert_to_tensor(padded(held, capacity))
        ids = np.arange(3 * capacity + 2, dtype=np.int32)
        place, hit = hot_ids.find(table, ops.convert_to_tensor(ids))
        hit, place = map(ops.convert_to_numpy, (hit, place))
        np.testing.assert_array_equal(hit, np.isin(ids, held))
        np.testing.assert_array_equal(place[hit], ids[hit] // 3)
        assert (place >= 0).all()
        assert (place < capacity).all()


WIDE_IDS = st.sets(
    st.integers(0, 2**62)
    | st.builds(lambda a, b: (a << 32) + b, st.integers(0, 3), WORDS),
    max_size=12,
)


@settings(deadline=None, max_examples=30)
@given(held=WIDE_IDS, others=WIDE_IDS)
def test_ids_of_two_words_are_found_in_their_order(held, others):
    """The lower words as unsigned numbers."""
    capacity = 13
    held = sorted(held)
    rest = [hot_ids.WIDE_PADDING] * (capacity - len(held))
    ids = np.resize(np.array([*held, *others, 7]), 30).astype(np.int64)

    def words(values):
        return tuple(
            ops.convert_to_tensor(word.view(np.int32))
            for word in counting.divided(np.array(values), wide=True)
        )

    place, hit = hot_ids.find_wide(words([*held, *rest]), words(ids))
    hit, place = map(ops.convert_to_numpy, (hit, place))
    np.testing.assert_array_equal(hit, np.isin(ids, held))
    expected = np.searchsorted(np.array([*held, *rest]), ids)
    np.testing.assert_array_equal(place[hit], expected[hit])
    both = counting.divided(ids, wide=True)
    np.testing.assert_array_equal(counting.joined(*both), ids)


@pytest.mark.tf_only
def test_xla_does_not_get_the_kernel_that_compares_all():
    import tensorflow as tf

    table, ids = tf.constant([1, 5, 9]), tf.constant([5, 6])
    for jit in False, True:
        function = tf.function(hot_ids.count_below, jit_compile=jit)
        graph = function.get_concrete_function(table, ids).graph
        kinds = {operation.type for operation in graph.get_operations()}
        assert ("LowerBound" in kinds) != jit
        np.testing.assert_array_equal(function(table, ids), [1, 2])
    # Of a function within a compiled one, too.
    inner = tf.function(hot_ids.count_below)
    outer = tf.function(lambda t, i: inner(t, i), jit_compile=True)
    np.testing.assert_array_equal(outer(table, ids), [1, 2])
    traced = [f for f in inner._list_all_concrete_functions()]
    kinds = {op.type for f in traced for op in f.graph.get_operations()}
    assert "LowerBound" not in kinds


@settings(deadline=None)
@given(sets=st.lists(ID_SETS, min_size=1, max_size=6), extra=st.integers(0, 4))
def test_moves_keep_the_slots_of_those_that_stay(sets, extra):
    capacity = max(1, max(map(len, sets)) + extra)
    ids = padded([], capacity)
    slots = np.arange(capacity)
    owner = {}
    for wanted in sets:
        held = hot_ids.held(ids)
        move = hot_ids.moved(held, slots, np.array(sorted(wanted), np.int32))
        ids, slots = move.ids, move.slots
        np.testing.assert_array_equal(ids, padded(wanted, capacity))
        # Each row belongs to one id, or is free.
        np.testing.assert_array_equal(np.sort(slots), np.arange(capacity))
        now = dict(zip(sorted(wanted), slots.tolist(), strict=False))
        stayed = set(owner) & wanted
        assert {i: owner[i] for i in stayed} == {i: now[i] for i in stayed}
        assert set(move.added) == wanted - set(owner)
        assert {now[i] for i in move.added} == set(move.filled.tolist())
        lost = set(owner.values()) - set(now.values())
        assert lost == set(move.emptied.tolist())
        owner = now


def test_initial_tables_are_exact():
    dtype = hot_ids.index_dtype()
    ids, slots = (
        keras.Variable(fill, shape=(5, 1), dtype=dtype, trainable=False)
        for fill in (hot_ids.no_ids, hot_ids.all_slots)
    )
    found = ops.convert_to_numpy(ids)
    np.testing.assert_array_equal(found, np.full((5, 1), 2**31 - 1))
    np.testing.assert_array_equal(
        ops.convert_to_numpy(slots)[:, 0], np.arange(5)
    )
    assert not len(hot_ids.held(found.reshape(-1)))
