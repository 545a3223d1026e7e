"""What hot rows count, and what not: steps, padding, copies, sketches."""

import keras
import numpy as np
import pytest
from hot_layers import (
    CAPACITY,
    DIM,
    HOT,
    IDS,
    counts_of,
    hashed,
    learned,
    numpy_of,
    tensor_train,
    trained_on,
)
from keras import ops

import keras_pss
from keras_pss.layers.composite.embedding_bag import EmbeddingBag
from keras_pss.layers.composite.hot_rows import HotRows
from keras_pss.ops import counting, hot_ids


@pytest.mark.parametrize("counts", ["exact", "sketch", "slots"])
@pytest.mark.parametrize("jit", [False, True])
def test_compiled_training_steps_look_up_and_count(counts, jit):
    layer = learned(HotRows(tensor_train(), CAPACITY, counts))
    table = layer.materialize()
    backend = keras.backend.backend()
    wrong = np.concatenate([IDS, [-1, DIM]]) if jit else IDS
    wrong = wrong.astype("int32")
    if backend == "tensorflow":
        import tensorflow as tf

        step = tf.function(layer, jit_compile=jit)
        rows = step(tf.constant(wrong), training=True)
    elif backend == "jax" and jit:
        import jax

        def step(trained, other, ids):
            return layer.stateless_call(trained, other, ids, training=True)

        rows, state = jax.jit(step)(
            [w.value for w in layer.trainable_variables],
            [w.value for w in layer.non_trainable_variables],
            wrong,
        )
        for weight, value in zip(
            layer.non_trainable_variables, state, strict=True
        ):
            weight.assign(value)
    else:
        wrong = IDS
        rows = layer(wrong, training=True)
    rows = numpy_of(rows)
    np.testing.assert_allclose(rows[: len(IDS)], table[IDS], 1e-6, 1e-7)
    assert np.isnan(rows[len(IDS) :]).all()
    # Ids without a row are not counted, under any name.
    true = np.bincount(IDS, minlength=DIM)
    found = counts_of(layer)
    if counts == "slots":
        # One newcomer a bucket: the others are dropped.
        assert (found <= true).all()
        assert (found > 0).sum() >= 5
        assert layer.count_hits() == (np.isin(IDS, HOT).sum(), len(IDS))
        return
    assert (found >= true).all()
    if counts == "exact":
        np.testing.assert_array_equal(found, true)
    else:
        words = counting.read(layer.counter.counts_table)
        assert words.sum() == counting.DEPTH * len(IDS)
    assert layer.count_hits() == (np.isin(IDS, HOT).sum(), len(IDS))


def test_only_training_counts():
    layer = HotRows(tensor_train(), CAPACITY)
    layer(IDS)
    layer(IDS, training=False)
    assert layer.count_hits() == (0, 0)
    layer.trainable = False
    layer(IDS, training=True)
    assert layer.count_hits() == (0, 0)
    assert not counts_of(layer).any()


def test_padding_is_not_counted():
    layer = HotRows(tensor_train(mask_zero=True), CAPACITY)
    assert layer.supports_masking
    ids = np.array([[0, 1, 1], [2, 0, 0]])
    mask = numpy_of(layer.compute_mask(ops.convert_to_tensor(ids)))
    np.testing.assert_array_equal(mask, ids != 0)
    trained_on(layer, ids)
    assert counts_of(layer)[:4].tolist() == [0, 2, 1, 0]
    assert layer.count_hits() == (0, 3)
    assert layer.refresh().added.tolist() == [1, 2]


def test_padding_of_a_bag_is_not_counted():
    """Nor taken for id 0, which is hot here."""
    layer = learned(HotRows(hashed(), CAPACITY), [0, 3, 10])
    bag = EmbeddingBag(layer)
    ids = np.array([[0, 3, -1, -1], [7, -1, -1, -1], [-1, -1, -1, -1]])
    bag(ids, mask=ids >= 0, training=True)
    assert layer.count_hits() == (2, 3)
    assert layer.counter.estimates(np.array([0, 3, 7])).tolist() == [1, 1, 1]


def test_a_frozen_layer_in_a_bag_counts_nothing():
    layer = HotRows(hashed(), CAPACITY)
    bag = EmbeddingBag(layer)
    layer.trainable = False
    bag(IDS.reshape(9, 5), training=True)
    assert layer.count_hits() == (0, 0)


def test_an_open_vocabulary_is_counted_in_slots():
    inner = keras_pss.HashedEmbedding(None, 4, num_buckets=9)
    layer = HotRows(inner, 5, "slots", sketch_width=40)
    large = [2**30, 2**30 + 1]
    if keras.backend.backend() != "jax":  # which has no int64
        large = [2**40 + 5, 2**62 + 5]
    ids = np.array([large[1], large[0], large[1], 5, 2**30 + 5])
    twice = [4 if id == large[1] else 2 for id in np.unique(ids)]
    before = numpy_of(layer(ids))
    for _ in range(2):
        layer(ids, training=True)
    assert layer.counter.estimates(np.unique(ids)).tolist() == twice
    change = layer.refresh(decay=False)
    assert change.added.tolist() == layer.ids().tolist() == sorted({*ids})
    np.testing.assert_array_equal(numpy_of(layer(ids)), before)
    assert not layer.refresh(ids=[large[0]]).added.size
    assert layer.ids().tolist() == [large[0]]
    layer(ids, training=True)
    assert layer.count_hits() == (1, 15)
    # The second refresh has halved the counts.
    assert layer.counter.estimates(np.unique(ids)).tolist() == twice
    twin = HotRows.from_config(layer.get_config())
    twin.build()
    for mine, other in zip(twin.weights, layer.weights, strict=True):
        mine.assign(other)
    np.testing.assert_array_equal(numpy_of(twin(ids)), numpy_of(layer(ids)))


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX has no int64")
def test_ids_that_look_like_padding_are_never_hot():
    inner = keras_pss.HashedEmbedding(None, 4, num_buckets=50)
    layer = HotRows(inner, 6, "slots", sketch_width=400)
    last = [hot_ids.WIDE_LIMIT, hot_ids.WIDE_PADDING, 2**63 - 1]
    ids = np.array([hot_ids.WIDE_LIMIT - 1, *last])
    expected = numpy_of(inner(ids))
    for _ in range(2):
        np.testing.assert_array_equal(numpy_of(layer(ids)), expected)
        layer(ids, training=True)
        layer.refresh(decay=False)
        assert layer.ids().tolist() == [hot_ids.WIDE_LIMIT - 1]
    assert layer.count_hits() == (1, 8)
    with pytest.raises(ValueError, match=r"`ids` must be in"):
        layer.refresh(ids=last[:1])


def test_counters_do_not_wrap_around():
    layer = HotRows(tensor_train(), 2)
    layer.build()
    high = np.zeros(DIM, np.uint32)
    high[[5, 6]] = 2**31 + 7, 2**31 + 6
    counting.write(layer.counter.counts_table, high)
    counting.write(
        layer.counter.hits_table, np.array([2**31 - 1, 2**31 + 2, 0, 0])
    )
    trained_on(layer, [5, 5, 6, 9])
    assert layer.refresh().added.tolist() == [5, 6]
    assert counts_of(layer)[[5, 6, 9]].tolist() == [2**30 + 4, 2**30 + 3, 0]
    for _ in range(3):
        hits, lookups = layer.count_hits()
        assert (hits, lookups) == (2**31 - 1, 2**31 + 6)
        layer.refresh()
    trained_on(layer, [5, 9])
    assert layer.count_hits() == (2**31, 2**31 + 8)


def test_a_sketch_finds_the_frequent_ids_of_a_large_table():
    rows, capacity = 100_000, 50
    inner = keras_pss.HashedEmbedding(rows, 2, num_buckets=10)
    layer = HotRows(inner, capacity, "sketch")
    assert (layer.counts, layer.sketch_width) == ("sketch", 1024)
    weights = np.arange(1, rows + 1) ** -1.2
    ids = np.random.RandomState(0).choice(
        rows, 20_000, p=weights / weights.sum()
    )
    ids = (ids * 7919) % rows
    trained_on(layer, ids)
    layer.refresh()
    best = np.sort(np.bincount(ids))[-capacity:].sum()
    assert np.isin(ids, layer.ids()).sum() > 0.99 * best


@pytest.mark.parametrize(
    ("rows", "capacity", "expected"),
    [
        (1 << 20, 10, ("exact", None)),
        ((1 << 20) + 1, 1000, ("sketch", 16_384)),
        ((1 << 20) + 1, 1025, ("sketch", 32_768)),
        (4 << 20, 65_536, ("exact", None)),
        ((4 << 20) + 1, 65_536, ("sketch", 1 << 20)),
    ],
)
def test_large_tables_are_counted_in_bounded_memory(rows, capacity, expected):
    inner = keras_pss.HashedEmbedding(rows, 2, num_buckets=10)
    layer = HotRows(inner, capacity)
    assert (layer.counts, layer.sketch_width) == expected
    counters = rows if expected[1] is None else 4 * expected[1]
    report = layer.memory_report()
    assert report.index_bytes == 4 * counters + 8 * capacity + 16


@pytest.mark.parametrize("filtered", [False, True])
def test_a_collection_counts_the_ids_of_training_steps(filtered):
    tables = layer = keras_pss.EmbeddingCollection(
        [5000, 3, 400],
        8,
        "hot_rows",
        "9x",
        options={"inner": "hash", "capacity": 2, "counts": "exact"},
    )
    assert tables._allocation.full == (1,)
    if filtered:
        layer = keras_pss.FrequencyFilter(tables, [6000, 3, 500])
    ids = np.array([[7, 0, 9], [7, 2, 9], [7, 1, 8], [4999, 2, 9]])
    layer(ids)
    layer(ids, training=False)
    assert [x.count_hits() for x in tables.single] == [(0, 0)] * 2
    before = ops.convert_to_numpy(layer(ids, training=True))
    assert [x.count_hits() for x in tables.single] == [(0, 4)] * 2
    for hot in tables.single:
        hot.refresh()
    assert [list(x.ids()) for x in tables.single] == [[7, 4999], [8, 9]]
    after = ops.convert_to_numpy(layer(ids, training=True))
    np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-8)
    assert [x.count_hits() for x in tables.single] == [(4, 8)] * 2
