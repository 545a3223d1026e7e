"""Which ids a refresh makes hot, and what becomes of their rows."""

import numpy as np
from hot_layers import (
    CAPACITY,
    counts_of,
    hashed,
    learned,
    numpy_of,
    slots_of,
    tensor_train,
    trained_on,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_pss
from keras_pss.layers.composite.hot_rows import HotRows


def test_rows_stay_until_others_need_them():
    layer = learned(HotRows(hashed(), CAPACITY), [1, 2, 3])
    rows = layer.materialize(np.array([1, 2, 3]))
    trained_on(layer, [7])
    change = layer.refresh()
    assert change.added.tolist() == [7]
    assert not len(change.evicted)
    assert layer.ids().tolist() == [1, 2, 3, 7]
    np.testing.assert_array_equal(layer.materialize(np.array([1, 2, 3])), rows)
    trained_on(layer, np.arange(20, 20 + CAPACITY).repeat(2))
    assert layer.refresh().evicted.tolist() == [1, 2, 3, 7]


def test_refresh_takes_the_most_counted_and_keeps_rows_that_stay():
    layer = HotRows(tensor_train(), 3)
    trained_on(layer, [5, 5, 5, 9, 9, 2, 30, 31])
    change = layer.refresh()
    assert change.added.tolist() == layer.ids().tolist() == [2, 5, 9]
    assert not len(change.kept) + len(change.evicted)
    compressed = layer.embedding.materialize()
    np.testing.assert_allclose(layer.materialize(), compressed, 1e-6, 1e-7)
    learned(layer, [2, 5, 9])
    rows = layer.materialize()
    before = dict(zip([2, 5, 9], slots_of(layer), strict=True))
    trained_on(layer, [30, 30, 30, 5, 5, 5, 9, 9])
    change = layer.refresh()
    assert change.kept.tolist() == [5, 9]
    assert change.added.tolist() == [30]
    assert change.evicted.tolist() == [2]
    # The new id got the slot of the evicted one, and its compressed row.
    assert change.slots.tolist() == [before[2]]
    np.testing.assert_array_equal(layer.materialize()[[5, 9]], rows[[5, 9]])
    np.testing.assert_allclose(
        layer.materialize()[[2, 30]], compressed[[2, 30]], 1e-6, 1e-7
    )
    now = dict(zip([5, 9, 30], slots_of(layer), strict=True))
    assert (now[5], now[9]) == (before[5], before[9])


def test_ids_never_seen_are_not_taken_and_rows_that_leave_are_emptied():
    layer = HotRows(tensor_train(), CAPACITY)
    assert not len(layer.refresh().added)
    trained_on(layer, [8, 4])
    assert layer.refresh().added.tolist() == [4, 8]
    learned(layer, [4, 8])
    change = layer.refresh([8])
    assert change.evicted.tolist() == [4]
    assert len(change.slots) == 1
    hot = numpy_of(layer.hot.hot_table)
    assert hot.any(axis=1).sum() == 1
    np.testing.assert_array_equal(layer.ids(), [8])


STEPS = st.lists(
    st.tuples(
        st.lists(st.integers(0, 19), min_size=12, max_size=12), st.booleans()
    ),
    min_size=1,
    max_size=5,
)


@settings(deadline=None, max_examples=25)
@given(steps=STEPS, capacity=st.sampled_from([1, 5]))
def test_any_history_gives_what_a_dictionary_gives(steps, capacity):
    """Against a plain model: counts, and a row of its own for each hot id."""
    full = keras_pss.FullEmbedding(20, 2, "ones")
    layer = HotRows(full, capacity)
    counts, rows = np.zeros(20, int), {}
    for number, (ids, decay) in enumerate(steps):
        trained_on(layer, ids)
        counts += np.bincount(ids, minlength=20)
        order = sorted(range(20), key=lambda i: (-counts[i], i not in rows, i))
        wanted = {i for i in order[:capacity] if counts[i]}
        change = layer.refresh(decay=decay)
        assert set(change.kept) == wanted & set(rows)
        assert set(change.added) == wanted - set(rows)
        assert set(change.evicted) == set(rows) - wanted
        rows = {i: rows.get(i, 1.0) for i in wanted}
        expected = np.array([rows.get(i, 1.0) for i in range(20)])
        np.testing.assert_array_equal(layer.materialize()[:, 0], expected)
        # "Training": each hot id gets a number that tells it from others.
        slots = dict(zip(sorted(wanted), slots_of(layer), strict=False))
        table = numpy_of(layer.hot.hot_table)
        for i in wanted:
            rows[i] = 100.0 * (number + 1) + i
            table[slots[i]] = rows[i]
        layer.hot.hot_table.assign(table)
        counts = counts // 2 if decay else counts


def test_decay_follows_traffic_that_drifts():
    still, moving = (HotRows(tensor_train(), 2) for _ in range(2))
    for layer in still, moving:
        trained_on(layer, [1] * 8 + [2] * 6)
        layer.refresh(decay=layer is moving)
        trained_on(layer, [7] * 5 + [8] * 4 + [9] * 3 + [3, 4])
        layer.refresh(decay=layer is moving)
    assert still.ids().tolist() == [1, 2]
    assert moving.ids().tolist() == [1, 7]
    assert counts_of(moving)[[1, 2, 7, 8]].tolist() == [2, 1, 2, 2]
