"""Hot rows that the tables of a collection share."""

import keras
import numpy as np
import pytest
from collections_of_tables import DIMS, make
from hot_layers import numpy_of
from hot_models import fit
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

import keras_pss
from keras_pss.callbacks import LayerUpdates
from keras_pss.callbacks.refresh_hot_rows import RefreshHotRows
from keras_pss.layers.composite.hot.hot_group import HotGroup
from keras_pss.layers.composite.hot_rows import HotRows
from keras_pss.layers.fused.hashed_group import HashedGroup, divided_buckets
from keras_pss.ops.hash_families import pss1
from keras_pss.serving.saved_model import export_saved_model

SLOTS = {"inner": "hash", "counts": "slots"}
LARGE = (0, 2, 4)  # the tables of DIMS that a budget of 20x compresses


def ids_of(rows, seed=0, exponent=1.3):
    random = np.random.RandomState(seed)
    drawn = random.zipf(exponent, (rows, len(DIMS))) - 1
    return np.minimum(drawn, np.array(DIMS) - 1).astype("int32")


def adaptive(budget="20x", **options):
    collection = make("hot_rows", budget, {**SLOTS, **options})
    collection.build()
    return collection


def count(collection, ids):
    collection(ids, training=True)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_hashes": 2, "hash": "universal", "seed": 3},
        {"inner": "robe", "block_size": 2},
        {"row_dim": 3},
    ],
    ids=["hash", "two_levels", "robe", "narrow"],
)
def test_hot_pairs_start_with_the_cold_rows_of_their_own_table(options):
    """CAFE's code starts from the row of another column's id."""
    collection = adaptive(**options)
    group = collection.shared
    assert isinstance(group, HotGroup)
    assert collection._allocation.compressed == LARGE
    ids = ids_of(200)
    before = numpy_of(collection(ids))
    count(collection, ids)
    change = group.refresh()
    assert len(change.added) > 20
    np.testing.assert_array_equal(numpy_of(collection(ids)), before)
    rows = np.random.RandomState(1).normal(size=group.hot.hot_table.shape)
    group.hot.hot_table.assign(rows.astype("float32"))
    if group.row_dim < 8:
        rows = rows @ numpy_of(group.projection_table)
    after = numpy_of(collection(ids))
    pairs = {tuple(pair) for pair in group.ids().tolist()}
    slot = dict(
        zip(
            group.hot.ids().tolist(),
            numpy_of(ops.cast(group.hot.slots_table, "int32"))[:, 0],
            strict=False,
        )
    )
    keys = group._firsts()
    for place, column in enumerate(LARGE):
        for row, own in enumerate(ids[:, column].tolist()):
            if (place, own) in pairs:
                expected = rows[slot[int(keys[place]) + own]]
            else:
                expected = before[row, column]
            np.testing.assert_allclose(after[row, column], expected, 1e-5, 1e-6)
    np.testing.assert_array_equal(after[:, [1, 3]], before[:, [1, 3]])


def test_the_most_frequent_pairs_of_all_tables_are_hot():
    collection = adaptive(capacity=40)
    group = collection.shared
    ids = ids_of(2000)
    for begin in range(0, 2000, 50):
        count(collection, ids[begin : begin + 50])
    group.refresh()
    pairs = [(t, i) for t, c in enumerate(LARGE) for i in ids[:, c].tolist()]
    numbers = sorted(
        ((pairs.count(pair), pair) for pair in set(pairs)), reverse=True
    )
    best = sum(number for number, _ in numbers[:40])
    hot = {tuple(pair) for pair in group.ids().tolist()}
    assert len(hot) == 40
    assert sum(number for number, pair in numbers if pair in hot) > 0.97 * best
    before = group.count_hits()
    assert before == (0, 3 * 2000)
    count(collection, ids[:50])
    hits = sum(
        pair in hot
        for pair in [
            (t, i) for t, c in enumerate(LARGE) for i in ids[:50, c].tolist()
        ]
    )
    assert group.count_hits() == (hits, 3 * 2050)


def test_only_training_counts_and_wrong_ids_do_not():
    collection = adaptive()
    group = collection.shared
    ids = ids_of(20)
    collection(ids)
    collection(ids, training=False)
    assert group.count_hits() == (0, 0)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        wrong = ids.copy()
        wrong[3, 2] = DIMS[2]
        step = tf.function(
            lambda x: collection(x, training=True), jit_compile=True
        )
        step(tf.constant(wrong))
        assert group.count_hits() == (0, 59)
        assert numpy_of(group.counter.counts_table).sum() <= 16 * 59
    collection.trainable = False
    before = group.count_hits()
    count(collection, ids)
    assert group.count_hits() == before


def test_a_changed_stream_is_followed():
    collection = adaptive(capacity=20)
    group = collection.shared
    shifted = (ids_of(400, 1) + np.array(DIMS) // 2) % np.array(DIMS)
    for ids, steps in ((ids_of(400), 6), (shifted.astype("int32"), 6)):
        for _ in range(steps):
            count(collection, ids)
            group.refresh()
        hits, lookups = group.count_hits()
        count(collection, ids)
        more, all_lookups = group.count_hits()
        assert more - hits > 0.5 * (all_lookups - lookups)
    # Without decay, the first half would still have the rows.
    assert group.decay
    assert not HotRows(keras_pss.FullEmbedding(9, 2), 3).decay


def test_evicted_rows_are_cleared_and_margins_keep_rows():
    collection = adaptive(capacity=2, sketch_width=50)
    group = collection.shared
    first = np.tile(np.array([[7, 0, 9, 0, 11]], "int32"), (10, 1))
    count(collection, first)
    group.refresh([[0, 7], [1, 9]], decay=False)
    group.hot.hot_table.assign(np.ones(group.hot.hot_table.shape))
    # Table 2's id 11 is as frequent as the hot ones.
    assert not len(group.refresh(decay=False).added)
    one = first.copy()
    one[:, [0, 2]] = 8
    count(collection, one[:6])
    assert len(group.refresh(decay=False).evicted) == 1
    assert [2, 11] in group.ids().tolist()
    count(collection, one)
    change = group.refresh(decay=False)
    rows = numpy_of(group.hot.hot_table)
    assert not (rows[change.slots] == 1).any()


@pytest.mark.parametrize("callback", ["layer_updates", "refresh_hot_rows"])
def test_callbacks_refresh_it_and_reset_the_optimizer(callback):
    collection = adaptive(capacity=10)
    inputs = keras.Input((len(DIMS),), dtype="int32")
    outputs = keras.layers.Dense(1)(keras.layers.Flatten()(collection(inputs)))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(0.01), "mse")
    ids = ids_of(8 * 20)
    target = np.random.RandomState(0).normal(size=(160, 1))
    made = (
        LayerUpdates(20)
        if callback == "layer_updates"
        else RefreshHotRows(4, 4)
    )
    history = fit(model, ids, target.astype("float32"), made)
    group = collection.shared
    assert len(group.ids()) == 10
    hits, lookups = group.count_hits()
    assert 0 < hits < lookups == 3 * 160
    if callback == "refresh_hot_rows":
        assert history["hot_rows_hit_rate"] == [hits / lookups]


@pytest.mark.parametrize("budget", ["20x", "100x", "300x", 1000, "9KB"])
@pytest.mark.parametrize("inner", ["hash", "robe"])
def test_all_of_its_memory_counts(budget, inner):
    collection = make("hot_rows", budget, {"inner": inner, "counts": "slots"})
    collection.build()
    report = collection.memory_report("sgd")
    allowed = {"20x": 3378, "100x": 675, "300x": 225, "9KB": 2250}
    limit = allowed.get(budget, budget)
    assert 0.8 * limit < collection.budget_size() <= limit
    held = sum(int(np.prod(w.shape)) for w in collection.weights)
    assert collection.budget_size() == held
    trained = 4 * report.parameters
    assert report.training_bytes == 2 * trained + report.index_bytes
    group = collection.shared
    slots = 4 * (4 + 8 * group.capacity)
    assert report.serving_bytes == 4 * held - slots
    with pytest.raises(ValueError, match=r"at least \d+ parameters"):
        make("hot_rows", 25, {"inner": inner, "counts": "slots"})


@pytest.mark.parametrize("row_dim", [1, 3, 8, 20])
def test_narrow_rows_buy_more_of_them(row_dim):
    wide, narrow = adaptive("60x"), adaptive("60x", row_dim=row_dim)
    group = narrow.shared
    assert narrow.budget_size() <= 1126
    assert narrow.budget_size() == sum(
        int(np.prod(w.shape)) for w in narrow.weights
    )
    assert group.row_dim == min(row_dim, 8)
    assert (group.capacity > wide.shared.capacity) == (row_dim < 8)
    narrow_ones = narrow.twin(1)  # as first-order tables
    assert narrow_ones.shared.row_dim == 1
    std = numpy_of(narrow(ids_of(500)))[:, LARGE].std()
    assert 0.6 < std / (0.05 / np.sqrt(3)) < 1.4
    with pytest.raises(ValueError, match=r"`row_dim` must be a positive"):
        adaptive(row_dim=0)
    with pytest.raises(ValueError, match=r"allowed `options`.*row_dim=3"):
        make("hot_rows", "5x", {"inner": "hash", "row_dim": 3})
    with pytest.raises(ValueError, match=r"`row_dim` belongs to tables that"):
        HotRows.from_budget(5000, 8, "9x", row_dim=3, **SLOTS)


@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have")
@pytest.mark.parametrize("inner", ["hash", "robe"])
def test_saving_and_int8(inner, tmp_path):
    collection = adaptive(inner=inner, row_dim=5)
    inputs = keras.Input((len(DIMS),), dtype="int32")
    model = keras.Model(inputs, collection(inputs))
    ids = ids_of(100)
    count(collection, ids)
    collection.shared.refresh()
    exact = numpy_of(model(ids))
    model.save(tmp_path / "model.keras")
    after = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy_of(after(ids)), exact)
    twin = after.layers[-1]
    assert twin.get_config() == collection.get_config()
    assert twin.shared.count_hits() == (0, 300)
    np.testing.assert_array_equal(twin.shared.ids(), collection.shared.ids())
    count(twin, ids)
    count(collection, ids)
    np.testing.assert_array_equal(
        twin.shared.refresh().added, collection.shared.refresh().added
    )
    model.quantize("int8")
    packed = numpy_of(model(ids))
    assert 0 < np.abs(packed - exact).max() < 0.05 * np.abs(exact).max()
    with pytest.raises(ValueError, match="is quantized, so its hot rows"):
        collection.shared.refresh()


def test_collections_of_older_files_keep_separate_tables():
    for options in (
        {"inner": "hash", "capacity": 5},
        {"inner": "robe", "counts": "sketch"},
        {"inner": "hash", "counts": "exact"},
    ):
        collection = make("hot_rows", "5x", options)
        assert collection.shared is None
        assert {type(part) for part in collection.single} == {HotRows}
        config = collection.get_config()
        assert "decay" not in config["options"]
    # Methods that no layer fuses have slots of their own.
    collection = make("hot_rows", "5x", {"inner": "tt", "counts": "slots"})
    assert [part.counts for part in collection.single] == ["slots"] * 3
    weighted = {**SLOTS, "weighted": True}
    assert make("hot_rows", "5x", weighted).shared is None


def test_open_vocabularies_have_keys_of_two_words():
    collection = keras_pss.EmbeddingCollection(
        [None, 50, None], 4, "hot_rows", 3000, options=SLOTS, min_rows=60
    )
    group = collection.shared
    assert group.hot.wide
    assert collection.budget_size() <= 3000
    assert group.capacity == ((3000 - 50 * 4) * 3 // 4 - 4) // (4 + 3 + 12)
    ids = np.array([[2**31 - 3, 7, 5], [5, 7, 2**31 - 3], [5, 8, 6]])
    before = numpy_of(collection(ids.astype("int32")))
    count(collection, ids.astype("int32"))
    assert group.refresh(decay=False).added.dtype == np.int64
    held = [[0, 5], [0, 2**31 - 3], [1, 5], [1, 6], [1, 2**31 - 3]]
    assert group.ids().tolist() == held
    np.testing.assert_array_equal(
        numpy_of(collection(ids.astype("int32"))), before
    )
    count(collection, ids.astype("int32"))
    assert group.count_hits() == (6, 12)
    with pytest.raises(ValueError, match=r"`input_dims` must be a positive"):
        keras_pss.EmbeddingCollection(
            [None, 50], 4, "hot_rows", 900, options={"inner": "hash"}
        )


def test_features_of_one_table_share_its_hot_rows():
    collection = keras_pss.EmbeddingCollection(
        {"item": 900, "user": 5000},
        8,
        "hot_rows",
        "20x",
        min_rows=1,
        options=SLOTS,
        features={
            "item": "item",
            "user": "user",
            "viewed": keras_pss.FeatureConfig("item", length=3),
        },
    )
    ids = {
        "item": np.array([3, 4], "int32"),
        "user": np.array([3, 3], "int32"),
        "viewed": np.array([[3, 3, -1], [-1, -1, -1]], "int32"),
    }
    before = numpy_of(collection(ids))
    collection(ids, training=True)
    (group,) = collection.lookups
    assert group.count_hits() == (0, 6)  # padding does not count
    group.refresh(decay=False)
    assert group.ids().tolist() == [[0, 3], [0, 4], [1, 3]]
    assert group.counter.estimates(group.hot.ids()).tolist() == [3, 1, 2]
    np.testing.assert_allclose(numpy_of(collection(ids)), before, 1e-6)


def test_without_a_budget_options_set_both_sizes():
    collection = make(
        "hot_rows", None, {**SLOTS, "capacity": 9, "num_buckets": 6}
    )
    assert collection.shared.capacity == 9
    assert collection.shared.cold.num_buckets == (6,) * 5
    small = adaptive(60)
    cold = small.shared.cold
    # Fewer rows than tables: each has one bucket, which some share.
    assert isinstance(cold, HashedGroup)
    assert cold.num_rows < len(cold.num_buckets) == cold.num_buckets.count(1)
    rows = numpy_of(small(ids_of(4)))
    assert np.isfinite(rows).all()


@pytest.mark.parametrize("num_hashes", [1, 2])
def test_hashed_tables_in_one_weight_are_hashed_tables(num_hashes):
    dims, buckets = (900, 7, None), [30, 7, 50]
    group = HashedGroup(
        dims,
        4,
        buckets,
        table_numbers=[2, 0, 5],
        num_hashes=num_hashes,
        seed=3,
        columns=[2, 0, 1, 0],
    )
    ids = np.random.RandomState(0).randint(0, 7, (20, 4)).astype("int32")
    found = numpy_of(group(ids))
    table = numpy_of(group.buckets_table)
    firsts = np.cumsum([0, *buckets])
    for place, column in enumerate([2, 0, 1, 0]):
        own = pss1.starts(
            ids[:, place],
            buckets[column],
            3,
            [2, 0, 5][column],
            range(num_hashes),
        )
        rows = table[firsts[column] + own].sum(axis=1)
        np.testing.assert_allclose(found[:, place], rows, 1e-6, 1e-8)
    parts = np.split(table, firsts[1:-1])
    for part in parts:
        expected = 0.05 / np.sqrt(3 * num_hashes)
        assert 0.7 * expected < part.std() < 1.3 * expected


@given(
    rows=st.lists(st.none() | st.integers(1, 10**7), min_size=1, max_size=9),
    total=st.integers(1, 10**6),
)
def test_buckets_are_divided_in_proportion(rows, total):
    found = divided_buckets(total, rows)
    assert min(found) >= 1
    assert sum(found) <= max(total, len(rows))
    for n, buckets in zip(rows, found, strict=True):
        assert n is None or buckets <= n
    if None in rows and total >= len(rows):
        # Nothing is left over but roundings.
        assert sum(found) > total - len(rows)


@pytest.mark.tf_only
def test_an_exported_model_has_no_slots(tmp_path):
    import tensorflow as tf

    collection = adaptive()
    inputs = keras.Input((len(DIMS),), dtype="int32", name="ids")
    model = keras.Model({"ids": inputs}, collection(inputs))
    ids = ids_of(30)
    count(collection, ids)
    collection.shared.refresh()
    path = export_saved_model(model, tmp_path / "served")
    loaded = tf.saved_model.load(str(path))
    (rows,) = loaded.signatures["serving_default"](
        ids=tf.constant(ids)
    ).values()
    np.testing.assert_array_equal(
        rows.numpy(), model.predict({"ids": ids}, verbose=0)
    )
    stored = tf.train.list_variables(str(path / "variables" / "variables"))
    held = sum(int(np.prod(shape)) * 4 for _, shape in stored if shape)
    report = collection.memory_report()
    assert held == report.serving_bytes < 4 * collection.count_params()


def test_open_vocabularies_without_a_budget_need_a_capacity():
    options = {**SLOTS, "num_buckets": 6}
    for more in ({}, {"weighted": True}):  # shared rows, and separate ones
        with pytest.raises(ValueError, match=r"`capacity`, the number of hot"):
            keras_pss.EmbeddingCollection(
                [None, 50], 4, "hot_rows", None, options={**options, **more}
            )


@pytest.mark.tf_only
def test_a_subclassed_model_is_exported_as_well(tmp_path):
    import tensorflow as tf

    class Rows(keras.Model):
        def __init__(self):
            super().__init__()
            inner = keras_pss.HashedEmbedding(100, 4, num_buckets=5)
            self.embedding = keras_pss.HotRows(inner, capacity=3)

        def call(self, ids):
            return self.embedding(ids)

    model, ids = Rows(), np.array([1, 2], "int32")
    expected = numpy_of(model(ids))
    path = export_saved_model(model, tmp_path / "served")
    # Keras takes the inputs of such a model to be floats.
    loaded = tf.saved_model.load(str(path))
    found = loaded.serve(tf.constant(ids, "float32"))
    np.testing.assert_array_equal(found.numpy(), expected)


def test_wrong_pairs_are_errors():
    group = adaptive(capacity=2).shared
    with pytest.raises(ValueError, match=r"`ids` must be a list of distinct"):
        group.refresh([[0, 1], [0, 1]])
    rows = group.input_dims
    for pairs in (
        [[0, rows[0]]],  # an id of the next table
        [[len(rows) - 1, rows[-1]]],
        [[1, -1]],
        [[-1, 0]],
        [[len(rows), 0]],
        [0, 1],
        [[0.0, 1.0]],
    ):
        with pytest.raises(ValueError, match=r"`ids` must be pairs"):
            group.refresh(pairs)
    assert not len(group.refresh([]).added)
    with pytest.raises(ValueError, match=r"`decay` must be"):
        adaptive(decay="yes")
