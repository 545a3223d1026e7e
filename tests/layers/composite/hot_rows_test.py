"""Hot rows: what is looked up, trained, counted, moved, kept and refused."""

import inspect

import gradients
import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

import keras_pss
from keras_pss.layers.composite import id_counter
from keras_pss.layers.composite.embedding_bag import EmbeddingBag
from keras_pss.layers.composite.hot_rows import HotRows
from keras_pss.ops import counting

DIM, WIDTH, CAPACITY = 60, 12, 7
HOT = [3, 17, 42, 59]
IDS = np.concatenate(
    [[0, DIM - 1, 3, 3, 3], np.random.RandomState(0).randint(0, DIM, 40)]
).astype("int32")


def tensor_train(**arguments):
    return keras_pss.TTEmbedding(DIM, WIDTH, rank=3, **arguments)


def shared(**arguments):
    memory = keras_pss.SharedMemory(101)
    return keras_pss.ROBEEmbedding(DIM, WIDTH, memory=memory, **arguments)


def hashed(**arguments):
    return keras_pss.HashedEmbedding(DIM, WIDTH, num_buckets=9, **arguments)


every_inner = pytest.mark.parametrize("inner", [tensor_train, shared, hashed])


def learned(layer, ids=HOT):
    """Makes ids hot and gives them rows as if they had trained."""
    layer.refresh(ids)
    weight = layer.hot.hot_table
    rows = np.random.RandomState(5).normal(size=weight.shape)
    free = np.isin(np.arange(layer.capacity), slots_of(layer)[len(ids) :])
    rows[free] = 0
    weight.assign(rows.astype("float32"))
    return layer


def slots_of(layer):
    return counting.read(layer.hot.slots_table).astype(int)


def expected_table(layer):
    """where(hot, hot row, compressed row), from the weights themselves."""
    table = layer.embedding.materialize()
    ids = counting.read(layer.hot.ids_table).astype(np.int64)
    rows = ops.convert_to_numpy(layer.hot.hot_table)
    for i, slot in zip(ids, slots_of(layer), strict=True):
        if i < layer.input_dim:
            table[i] = rows[slot]
    return table


def numpy_of(x):
    return np.array(ops.convert_to_numpy(x))


def trained_on(layer, ids):
    layer(np.asarray(ids, "int32"), training=True)
    return layer


def counts_of(layer):
    every = np.arange(layer.input_dim, dtype=np.int32)
    return layer.counter.estimates(every)


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


@pytest.mark.parametrize("counts", ["exact", "sketch"])
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


def test_padding_of_a_bag_is_not_counted():
    """Nor taken for id 0, which is hot here."""
    layer = learned(HotRows(hashed(), CAPACITY), [0, 3, 10])
    bag = EmbeddingBag(layer)
    ids = np.array([[0, 3, -1, -1], [7, -1, -1, -1], [-1, -1, -1, -1]])
    bag(ids, mask=ids >= 0, training=True)
    assert layer.count_hits() == (2, 3)
    assert layer.counter.estimates(np.array([0, 3, 7])).tolist() == [1, 1, 1]


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


def test_a_frozen_layer_in_a_bag_counts_nothing():
    layer = HotRows(hashed(), CAPACITY)
    bag = EmbeddingBag(layer)
    layer.trainable = False
    bag(IDS.reshape(9, 5), training=True)
    assert layer.count_hits() == (0, 0)


def test_a_budget_leaves_room_for_the_embedding():
    layer = HotRows.from_budget(100_000, 16, "1000x", "hash")
    assert layer.capacity == 1600 // (4 * (16 + 2))
    # A hot row has its 16 numbers, its id and its slot.
    assert layer.embedding.num_buckets == (1600 - 18 * layer.capacity) // 16
    message = "at least 1816 parameters.*a smaller `capacity`"
    with pytest.raises(ValueError, match=message):
        HotRows.from_budget(100_000, 16, "1000x", "hash", capacity=100)


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


@pytest.mark.parametrize("inner", [tensor_train, shared])
def test_saved_whole_gives_equal_bits(inner, tmp_path):
    layer = learned(HotRows(inner(), CAPACITY, "sketch", sketch_width=8))
    trained_on(layer, IDS)
    model = keras.Sequential([keras.Input((None,), dtype="int32"), layer])
    before = model.predict(IDS[None], verbose=0)
    model.save(tmp_path / "model.keras")
    after = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(after.predict(IDS[None], verbose=0), before)
    twin = after.layers[-1]
    assert twin.count_hits() == layer.count_hits()
    np.testing.assert_array_equal(counts_of(twin), counts_of(layer))
    assert twin.refresh()._asdict().keys() == layer.refresh()._asdict().keys()
    np.testing.assert_array_equal(twin.ids(), layer.ids())
    model.save_weights(tmp_path / "model.weights.h5")
    for weight in after.weights:
        weight.assign(ops.zeros(weight.shape))
    after.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(
        after.predict(IDS[None], verbose=0),
        model.predict(IDS[None], verbose=0),
    )


@pytest.mark.tf_only
def test_saved_models_give_equal_bits(tmp_path):
    import tensorflow as tf

    layer = learned(HotRows(tensor_train(), CAPACITY))
    inputs = keras.Input((5,), dtype="int32")
    model = keras.Model(inputs, layer(inputs))
    model.export(tmp_path / "saved", verbose=False)
    ids = IDS.reshape(9, 5)
    loaded = tf.saved_model.load(tmp_path / "saved")
    found = loaded.serve(tf.constant(ids)).numpy()
    # As the export traces it: for any number of rows.
    signature = tf.TensorSpec((None, 5), "int32")
    expected = tf.function(model, input_signature=[signature])(ids)
    np.testing.assert_array_equal(found, expected.numpy())


def test_an_embedding_that_serves_other_layers_still_does_once_loaded(
    tmp_path,
):
    inner = tensor_train()
    ids = keras.Input((3,), dtype="int32")
    rows = keras.layers.Flatten()(HotRows(inner, CAPACITY)(ids))
    bag = EmbeddingBag(inner)(ids)
    model = keras.Model(ids, keras.layers.Concatenate()([rows, bag]))
    model.save(tmp_path / "model.keras")
    after = keras.saving.load_model(tmp_path / "model.keras")
    own = [x.embedding for x in after.layers if hasattr(x, "embedding")]
    assert len(own) == 2
    assert own[0] is own[1]
    assert after.count_params() == model.count_params()


def test_config_round_trip():
    layer = HotRows(
        tensor_train(embeddings_regularizer="l2", mask_zero=True),
        CAPACITY,
        "sketch",
        64,
        embeddings_regularizer="l1",
        embeddings_constraint="unit_norm",
        name="frequent",
    )
    config = layer.get_config()
    arguments = {*inspect.signature(HotRows.__init__).parameters}
    assert arguments - {"self", "kwargs"} <= set(config)
    twin = HotRows.from_config(config)
    assert twin.get_config() == config
    assert (twin.name, twin.mask_zero) == ("frequent", True)
    assert isinstance(twin.embedding, keras_pss.TTEmbedding)
    twin.build()
    assert twin.hot.hot_table.constraint is not None
    assert twin.hot.hot_table.regularizer.l1 == np.float32(0.01)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_keeps_float32_weights(dtype):
    layer = learned(HotRows(tensor_train(dtype=dtype), CAPACITY))
    assert layer.dtype_policy.name == dtype
    rows = layer(IDS, training=True)
    assert keras.backend.standardize_dtype(rows.dtype) == dtype[6:]
    assert all(w.dtype == "float32" for w in layer.trainable_weights)
    rows = numpy_of(ops.cast(rows, "float32"))
    np.testing.assert_allclose(rows, layer.materialize()[IDS], 2**-8, 1e-7)


@pytest.mark.parametrize("inner", [tensor_train, shared])
@pytest.mark.parametrize("whole_model", [False, True])
@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have")
def test_int8_packs_both_and_survives_saving(inner, whole_model, tmp_path):
    layer = learned(HotRows(inner(), CAPACITY))
    model = keras.Sequential([keras.Input((None,), dtype="int32"), layer])
    exact = layer.materialize()
    promised = layer.memory_report().serving_bytes_int8
    (model if whole_model else layer).quantize("int8")
    packed = layer.materialize()
    assert 0 < np.abs(packed - exact).max() < 0.03 * np.abs(exact).max()
    assert not model.trainable_weights
    assert layer.hot.hot_table.dtype == "int8"
    assert layer.memory_report().serving_bytes == promised
    held = sum(
        int(np.prod(w.shape)) * (1 if w.dtype == "int8" else 4)
        for w in layer.weights
    )
    assert held == promised
    model.predict_function = None
    model.save(tmp_path / "model.keras")
    after = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        after.predict(IDS[None], verbose=0), model.predict(IDS[None], verbose=0)
    )
    for own in layer, after.layers[-1]:
        with pytest.raises(ValueError, match=r"Refresh them before `quantize`"):
            own.refresh()


def test_quantize_refuses_what_it_cannot_do():
    layer = learned(HotRows(tensor_train(), CAPACITY))
    with pytest.raises(NotImplementedError, match="quantization"):
        layer.quantize("float8")
    layer.embedding.quantize("int8")  # by itself, before
    layer.quantize("int8")
    with pytest.raises(ValueError, match="already quantized"):
        layer.quantize("int8")


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
    assert report.serving_bytes == 4 * layer.count_params()
    # Both rows, three probes of seven ids, and the slot.
    assert report.lookup_bytes == inner.lookup_bytes + 4 * WIDTH + 4 * (3 + 1)
    assert report.lookup_flops == inner.lookup_flops


@settings(deadline=None, max_examples=30)
@given(
    method=st.sampled_from(["tt", "robe", "hash", "qr", "fpd"]),
    rows=st.integers(2000, 5000),
    capacity=st.none() | st.integers(1, 50),
    budget=st.sampled_from(["5x", "20x", 3000, "16KB"]),
)
def test_from_budget_is_never_above_it(method, rows, capacity, budget):
    allowed = {"5x": rows * 8 // 5, "20x": rows * 8 // 20, "16KB": 4000}
    allowed = allowed.get(budget, budget)
    options = {"method": method, "capacity": capacity}
    smallest = HotRows.smallest_size(rows, 8, **options)
    if allowed < smallest:
        with pytest.raises(ValueError, match=f"at least {smallest} param"):
            HotRows.from_budget(rows, 8, budget, **options)
        return
    layer = HotRows.from_budget(rows, 8, budget, **options)
    assert layer.capacity == (capacity or rows // 1000)
    assert smallest <= layer.budget_size() <= allowed


def test_from_budget_divides_the_arguments():
    layer = HotRows.from_budget(
        5000,
        8,
        "10x",
        "hash",
        capacity=9,
        counts="sketch",
        name="users",
        num_hashes=2,
        mask_zero=True,
        dtype="mixed_bfloat16",
    )
    assert (layer.name, layer.counts, layer.mask_zero) == (
        "users",
        "sketch",
        True,
    )
    assert layer.embedding.num_hashes == 2
    assert layer.compute_dtype == layer.embedding.compute_dtype == "bfloat16"
    with pytest.raises(ValueError, match=r"determines `rank` of TTEmb"):
        HotRows.from_budget(5000, 8, "10x", rank=3)
    with pytest.raises(ValueError, match=r"`method` must be one of"):
        HotRows.from_budget(5000, 8, "10x", "trie")
    with pytest.raises(ValueError, match=r"`input_dim` must be a positive"):
        HotRows.from_budget(None, 8, 1000)


def test_is_made_by_name():
    layer = keras_pss.embedding(
        5000, 8, "hot_rows", "20x", inner="hash", capacity=9, num_hashes=2
    )
    assert (type(layer), layer.capacity) == (HotRows, 9)
    assert layer.embedding.num_hashes == 2
    default = keras_pss.embedding(5000, 8, "hot_rows", "20x")
    assert type(default.embedding) is keras_pss.TTEmbedding
    assert layer.budget_size() <= 2000 >= default.budget_size()
    full = keras_pss.embedding(50, 8, "hot_rows", 400, capacity=9, rank=3)
    assert type(full) is keras_pss.FullEmbedding
    for name in "inner", "method":
        with pytest.raises(ValueError, match="`method` of the embedding"):
            keras_pss.EmbeddingCollection(
                [50], 8, "hot_rows", "2x", options={name: "hot_rows"}
            )


@pytest.mark.parametrize("options", [{"rank": 3}, {"capacity": 4, "rank": 2}])
def test_a_size_of_ones_own_in_place_of_a_budget(options):
    tables = keras_pss.EmbeddingCollection(
        [3000, 2000], 8, "hot_rows", None, options=options
    )
    found = [(x.capacity, x.embedding.rank) for x in tables.single]
    sizes = [options.get("capacity", n) for n in (3, 2)]
    assert found == [(n, options["rank"]) for n in sizes]
    with pytest.raises(ValueError, match=r"size of a table: `rank`"):
        keras_pss.EmbeddingCollection([3000], 8, "hot_rows", None)
    with pytest.raises(ValueError, match=r"`options` of .*: inner, method, ca"):
        keras_pss.EmbeddingCollection(
            [3000], 8, "hot_rows", "9x", options={"rank": 3}
        )


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
