"""Hot rows: what is looked up, trained, reported and refused."""

import gradients
import keras
import numpy as np
import pytest
from hot_layers import (
    CAPACITY,
    DIM,
    HOT,
    IDS,
    WIDTH,
    counts_of,
    hashed,
    learned,
    numpy_of,
    shared,
    slots_of,
    tensor_train,
)
from keras import ops

import keras_pss
from keras_pss.layers.composite.embedding_bag import EmbeddingBag
from keras_pss.layers.composite.hot import id_counter
from keras_pss.layers.composite.hot_rows import HotRows
from keras_pss.ops import counting

every_inner = pytest.mark.parametrize("inner", [tensor_train, shared, hashed])


def expected_table(layer):
    """where(hot, hot row, compressed row), from the weights themselves."""
    table = layer.embedding.materialize()
    ids = counting.read(layer.hot.ids_table).astype(np.int64)
    rows = ops.convert_to_numpy(layer.hot.hot_table)
    for i, slot in zip(ids, slots_of(layer), strict=True):
        if i < layer.input_dim:
            table[i] = rows[slot]
    return table


@every_inner
def test_rows_are_hot_ones_or_the_embeddings(inner):
    layer = HotRows(inner(), CAPACITY)
    np.testing.assert_array_equal(
        layer.materialize(), layer.embedding.materialize()
    )
    learned(layer)
    table = layer.materialize()
    np.testing.assert_allclose(table, expected_table(layer), 1e-6, 1e-7)
    changed = (table != layer.embedding.materialize()).any(axis=1)
    np.testing.assert_array_equal(np.flatnonzero(changed), HOT)
    for shape in (), (3, 3, 5):
        ids = IDS[: int(np.prod(shape))].reshape(shape)
        rows = layer(ids)
        assert rows.shape == (*shape, WIDTH)
        np.testing.assert_allclose(numpy_of(rows), table[ids], 1e-6, 1e-7)
    wide = ops.convert_to_tensor(IDS.astype("int64"))
    np.testing.assert_allclose(numpy_of(layer(wide)), table[IDS], 1e-6, 1e-7)


def test_capacity_may_be_the_whole_table():
    layer = HotRows(tensor_train(), DIM)
    layer.refresh(range(DIM))
    np.testing.assert_allclose(
        layer.materialize(), layer.embedding.materialize(), 1e-6, 1e-7
    )
    layer.embedding.core0_table.assign(layer.embedding.core0_table * 0)
    assert layer.materialize().any(axis=1).all()


@every_inner
def test_hits_train_the_hot_rows_and_misses_the_embedding(inner):
    layer = learned(HotRows(inner(), CAPACITY))
    upstream = np.random.RandomState(1).normal(size=(len(IDS), WIDTH))
    upstream = upstream.astype("float32")
    hit = np.isin(IDS, HOT)
    names = [weight.path for weight in layer.trainable_weights]
    assert names[-1].endswith("hot/hot_table")
    found = gradients.weight_gradients(layer, IDS, upstream)
    alone = gradients.weight_gradients(
        layer.embedding, IDS, upstream * ~hit[:, None]
    )
    for own, other in zip(found[:-1], alone, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-5, atol=1e-6)
    expected = np.zeros((CAPACITY, WIDTH))
    slot = dict(zip(HOT, slots_of(layer), strict=False))
    for i, row in zip(IDS[hit], upstream[hit], strict=True):
        expected[slot[i]] += row
    np.testing.assert_allclose(found[-1], expected, rtol=1e-5, atol=1e-6)
    # Only hits, only misses: exactly nothing reaches the other side.
    *still, moved = gradients.weight_gradients(layer, IDS[hit], upstream[hit])
    assert moved.any()
    assert not any(gradient.any() for gradient in still)
    *moved, still = gradients.weight_gradients(layer, IDS[~hit], upstream[~hit])
    assert all(gradient.any() for gradient in moved)
    assert not still.any()


def test_fit_trains_hot_and_rare_rows():
    layer = HotRows(tensor_train(), CAPACITY)
    layer.refresh(HOT)
    before = layer.materialize()
    model = keras.Sequential([keras.Input((3,), dtype="int32"), layer])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    target = np.random.RandomState(3).normal(size=(15, 3, WIDTH))
    model.fit(IDS.reshape(15, 3), target, epochs=3, verbose=0)
    moved = np.abs(layer.materialize() - before).max(axis=1)
    assert moved[HOT][np.isin(HOT, IDS)].all()
    assert moved[[i for i in IDS if i not in HOT]].all()
    # Counting goes on under compiled steps, three epochs of it.
    np.testing.assert_array_equal(
        counts_of(layer), 3 * np.bincount(IDS, minlength=DIM)
    )
    assert layer.count_hits() == (3 * np.isin(IDS, HOT).sum(), 3 * len(IDS))


@pytest.mark.tf_only
def test_ragged_and_sparse_ids():
    import tensorflow as tf

    layer = learned(HotRows(tensor_train(), CAPACITY))
    table = layer.materialize()
    rows = layer(tf.ragged.constant([[1, 3, 3], [], [59]]), training=True)
    assert [len(row) for row in rows] == [3, 0, 1]
    np.testing.assert_allclose(
        rows.flat_values.numpy(), table[[1, 3, 3, 59]], 1e-6, 1e-7
    )
    sparse = tf.sparse.from_dense(tf.constant([[1, 0], [0, 7]]))
    rows = layer(sparse, training=True).numpy()
    np.testing.assert_allclose(rows, table[[[1, 0], [0, 7]]], 1e-6, 1e-7)
    assert layer.count_hits() == (3, 8)
    symbolic = layer(keras.Input((None,), dtype="int32", ragged=True))
    assert symbolic.ragged


def test_a_bag_of_hot_rows():
    layer = learned(HotRows(hashed(), CAPACITY))
    bag = EmbeddingBag(layer)
    ids = IDS.reshape(9, 5)
    rows = numpy_of(bag(ids, training=True))
    np.testing.assert_allclose(
        rows, layer.materialize()[ids].sum(axis=1), rtol=1e-5, atol=1e-6
    )
    assert layer.count_hits() == (np.isin(IDS, HOT).sum(), len(IDS))


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_keeps_float32_weights(dtype):
    layer = learned(HotRows(tensor_train(dtype=dtype), CAPACITY))
    assert layer.dtype_policy.name == dtype
    rows = layer(IDS, training=True)
    assert keras.backend.standardize_dtype(rows.dtype) == dtype[6:]
    assert all(w.dtype == "float32" for w in layer.trainable_weights)
    rows = numpy_of(ops.cast(rows, "float32"))
    np.testing.assert_allclose(rows, layer.materialize()[IDS], 2**-8, 1e-7)


def test_reports_tell_the_truth():
    layer = HotRows(tensor_train(), CAPACITY)
    inner = layer.embedding.memory_report("adam")
    report = layer.memory_report("adam")
    hot = CAPACITY * WIDTH
    assert report.parameters == inner.parameters + hot
    assert layer.budget_size() == report.parameters + 2 * CAPACITY
    assert report.full_parameters == DIM * WIDTH
    assert report.index_bytes == 4 * (2 * CAPACITY + 4 + DIM)
    assert report.optimizer_bytes == 2 * 4 * report.parameters
    layer.build()
    counters = 4 * (4 + DIM)
    assert report.serving_bytes == 4 * layer.count_params() - counters
    # Both rows, three probes of seven ids, and the slot.
    assert report.lookup_bytes == inner.lookup_bytes + 4 * WIDTH + 4 * (3 + 1)
    assert report.lookup_flops == inner.lookup_flops


def test_wrong_arguments_are_errors():
    open_vocabulary = keras_pss.HashedEmbedding(None, 4, num_buckets=9)
    with pytest.raises(ValueError, match=r"open voc.*`input_dim`.*Received"):
        HotRows(open_vocabulary, 3)
    nested = HotRows(tensor_train(), 3)
    for wrong in nested, keras.layers.Embedding(9, 4), None:
        with pytest.raises(ValueError, match=r"`embedding` must be a compr"):
            HotRows(wrong, 3)
    for wrong in 0, -1, 2.0, True, None:
        with pytest.raises(ValueError, match=r"`capacity` must be a positive"):
            HotRows(tensor_train(), wrong)
    with pytest.raises(ValueError, match=r"FullEmbedding.*capacity=61"):
        HotRows(tensor_train(), DIM + 1)
    with pytest.raises(ValueError, match=r"`counts` must be one of.*'lru'"):
        HotRows(tensor_train(), 3, "lru")
    for wrong in 0, 48, 8.0, True, 2 * id_counter.LARGEST_WIDTH:
        with pytest.raises(ValueError, match=r"power of two.*sketch_width="):
            HotRows(tensor_train(), 3, "sketch", wrong)
    with pytest.raises(ValueError, match=r"requires counts='sketch'"):
        HotRows(tensor_train(), 3, "exact", 16)
    with pytest.raises(ValueError, match=r"number of buckets.*sketch_width=0"):
        HotRows(tensor_train(), 3, "slots", 0)
    with pytest.raises(ValueError, match=r"counts='slots'.*counts='sketch'"):
        HotRows(open_vocabulary, 3, "sketch")
    with pytest.raises(ValueError, match=r"`decay` must be"):
        HotRows(tensor_train(), 3, decay=2)


def test_wrong_ids_are_errors():
    layer = HotRows(tensor_train(), 3)
    for wrong in [1, 1], [1, 2, 3, 4], [0.5], [[1]], 7:
        with pytest.raises(ValueError, match=r"distinct integers, at most"):
            layer.refresh(wrong)
    for wrong in [-1], [DIM]:
        with pytest.raises(ValueError, match=r"\[0, 60\).*ids from"):
            layer.refresh(wrong)
    assert not len(layer.refresh([]).added)
    with pytest.raises(ValueError, match=r"integers in \[0, input_dim\)"):
        layer(np.array([1, DIM]), training=True)
    assert not counts_of(layer).any()


def test_what_is_hot_is_known_before_the_first_call():
    assert HotRows(hashed(), 5).ids().tolist() == []
    assert HotRows(hashed(), 5).count_hits() == (0, 0)
