"""Rows for the most frequent ids of all tables of a collection."""

import copy
import json

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

import keras_pss
from keras_pss.layers.base.budget import Budget, InfeasibleBudget
from keras_pss.layers.fused.popular.popular_ids import popular_ids

WIDTH = 4
COUNTS = [[9, 80, 40, 12, 10, 3, 1], [0, 200, 11, 2], [5, 30, 30, 30]]


def ids_of(counts, rows=50, seed=0):
    draw = np.random.RandomState(seed)
    return np.stack([draw.randint(0, len(c), rows) for c in counts], axis=1)


def expected(collection, counts, ids):
    """Rows of each id, from the definition."""
    (group,) = collection.parts()
    kept = collection.options["num_rows"]
    table = ops.convert_to_numpy(group.rows_table)
    out = np.zeros((*ids.shape, collection.output_dim))
    for column in range(len(counts)):
        first = sum(kept[:column])
        for place, i in enumerate(ids[:, column]):
            own = i if i < kept[column] else 0
            out[place, column] = table[first + own] @ (
                ops.convert_to_numpy(group.projection_table)
                if collection.options["inner_dim"] < collection.output_dim
                else np.eye(collection.output_dim)
            )
    return out


@pytest.mark.parametrize("budget", [100, 22, 12, 9])
def test_rows_equal_their_definition(budget):
    layer = keras_pss.EmbeddingCollection.from_counts(COUNTS, WIDTH, budget)
    ids = ids_of(COUNTS)
    found = ops.convert_to_numpy(layer(ids))
    np.testing.assert_allclose(found, expected(layer, COUNTS, ids), rtol=1e-6)
    assert layer.count_params() <= budget


def test_a_budget_buys_frequent_ids_then_wider_rows():
    def of(budget):
        found = popular_ids(COUNTS, WIDTH, budget)
        return found["num_rows"], found["inner_dim"]

    # Ten numbers for 1 + 4, 1 + 2 and 1 + 3 ids seen four times or more.
    frequent = (5, 3, 4)
    assert of(12 * 4) == (frequent, 4)
    # Three numbers need a matrix of 12, so four ids get all of them instead.
    assert of(12 * 4 - 1) == (((3, 2), (2, 1), (2, 2)), (4, 2))
    assert of(12 * 2 + 8) == (frequent, 2)
    assert of(12 + 4) == (frequent, 1)
    # From here on the most frequent ids of all tables are left.
    assert of(11 + 4) == ((4, 3, 4), 1)
    assert of(7 + 4) == ((3, 2, 2), 1)
    assert of(3 + 4) == ((1, 1, 1), 1)
    with pytest.raises(InfeasibleBudget, match=r"at least 7 parameters"):
        of(6)


def test_other_limits():
    assert popular_ids(COUNTS, WIDTH, 100, min_count=41)["num_rows"] == (
        2,
        2,
        1,
    )
    found = popular_ids(COUNTS, WIDTH, "1x", inner_dim=2)
    assert found == {
        "num_rows": (5, 3, 4),
        "inner_dim": 2,
        "storage": "float32",
    }


@given(
    counts=st.lists(
        st.lists(st.integers(0, 30), min_size=1, max_size=20),
        min_size=1,
        max_size=4,
    ),
    width=st.integers(1, 6),
    budget=st.integers(1, 200),
)
def test_the_most_frequent_ids_have_rows(counts, width, budget):
    counts = [[c[0], *sorted(c[1:], reverse=True)] for c in counts]
    try:
        found = popular_ids(counts, width, budget)
    except InfeasibleBudget:
        assert budget < len(counts) + (width > 1) * width
        return
    widths = np.atleast_1d(found["inner_dim"])
    bands = np.reshape(found["num_rows"], (len(counts), -1))
    rows = bands.sum(axis=1)
    size = (bands @ widths).sum() + width * widths[widths < width].sum()
    assert size <= budget
    kept = [c for col, n in zip(counts, rows, strict=True) for c in col[1:n]]
    left = [c for col, n in zip(counts, rows, strict=True) for c in col[n:]]
    assert min(kept, default=4) >= 4
    frequent = [c for c in left if c >= 4]
    if frequent:  # no row is left for them, and they are the rarest
        assert widths == [1]
        assert size == budget
        assert max(frequent) <= min(kept, default=30)


def test_tables_with_names_share_rows_among_features():
    counts = {"item": COUNTS[0], "user": COUNTS[1]}
    layer = keras_pss.EmbeddingCollection.from_counts(
        counts,
        WIDTH,
        60,
        features={
            "item": "item",
            "user": "user",
            "seen": keras_pss.FeatureConfig("item", length=3),
        },
    )
    items = np.arange(7)
    seen = np.stack([items, (items + 3) % 7, np.full(7, -1)], axis=1)
    found = layer({"item": items, "user": items % 4, "seen": seen})
    rows = ops.convert_to_numpy(found)
    np.testing.assert_allclose(
        rows[:, 2], (rows[:, 0] + rows[(items + 3) % 7, 0]) / 2, rtol=1e-5
    )
    np.testing.assert_array_equal(rows[5, 0], rows[0, 0])  # rare


@pytest.mark.parametrize("tail", ["oov", "hash"])
def test_without_counts_tables_keep_equal_numbers_of_ids(tail):
    layer = keras_pss.EmbeddingCollection(
        [1_000, 40, 3], 8, "popularity", "20x", options={"tail": tail}
    )
    layer.build((None, 3))
    (_, group) = layer.parts()
    rows = group._bands.limits[0]
    assert max(rows) - min(rows) <= 1
    assert layer.count_params() <= 1_043 * 8 // 20
    assert bool(group.buckets) == (tail == "hash")


@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_a_model_is_saved_and_packed(tmp_path, mode):
    layer = keras_pss.EmbeddingCollection.from_counts(COUNTS, WIDTH, 40)
    model = keras_pss.models.Model(
        inputs := keras.Input((3,), dtype="int32"), layer(inputs)
    )
    ids = ids_of(COUNTS)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    before = ops.convert_to_numpy(model(ids))
    np.testing.assert_array_equal(ops.convert_to_numpy(loaded(ids)), before)
    layer.quantize(mode)
    packed = ops.convert_to_numpy(layer(ids))
    atol = np.abs(before).max() / {"int8": 60, "int4": 3}[mode]
    np.testing.assert_allclose(packed, before, atol=atol)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_rows": 0}, "`num_rows` must be a positive integer"),
        ({"num_rows": 9}, "`num_rows` must be a positive integer of at most 8"),
        ({"num_rows": (3, 6), "inner_dim": (2, 1)}, "over all bands"),
        ({"num_rows": (3, 2)}, "one number for each band"),
        ({"num_rows": ()}, "a list of one for each band"),
        ({"inner_dim": (1, 2)}, "`inner_dim` must fall"),
        ({"tail": "hash"}, "`buckets` is the number of hashed rows"),
        ({"buckets": 3}, "`buckets` is the number of hashed rows"),
        ({"tail": "robe"}, "`memory_size` is the number of parameters"),
        ({"tail": "robe", "memory_size": 3}, "at least `output_dim`"),
        ({"tail": "hot"}, "`tail` must be"),
        ({"storage": "int2"}, "`storage` must be"),
        ({"storage": "int4", "dtype": "float16"}, "rounds float32 weights"),
        ({"ids": [1, 2]}, "`ids` must be the different ids"),
        ({"ids": [1, 2, 2]}, "`ids` must be the different ids"),
        ({"ids": [0, 1, 2]}, "`ids` must be the different ids"),
    ],
)
def test_wrong_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        keras_pss.PopularityEmbedding(8, WIDTH, **{"num_rows": 4, **change})


def test_ids_belong_to_a_number_of_rows():
    """A budget would not count their index."""
    with pytest.raises(ValueError, match="how many ids have a row"):
        keras_pss.PopularityEmbedding.from_budget(8, WIDTH, 30, ids=[3, 2])
    with pytest.raises(ValueError, match="Received: ids="):
        keras_pss.EmbeddingCollection(
            [8, 8], WIDTH, "popularity", 40, options={"ids": (True, True)}
        )


@pytest.mark.parametrize("counts", [[], 5, np.arange(9)])
def test_counts_are_a_list_of_arrays(counts):
    with pytest.raises(ValueError, match="must be a list of arrays"):
        keras_pss.EmbeddingCollection.from_counts(counts, WIDTH, 40)


@pytest.mark.parametrize("value", [np.nan, -1.0])
def test_counts_are_numbers_from_0_on(value):
    with pytest.raises(ValueError, match="numbers from 0 on"):
        popular_ids([[0.0, 3.0], [0.0, 9.0, value]], WIDTH, 40)


@pytest.mark.parametrize("method", ["popularity", "mixed_dimension", "auto"])
@pytest.mark.parametrize("rows", [7, 9])
def test_counts_have_a_number_for_each_id(method, rows):
    options = {"alpha": 0.3} if method == "mixed_dimension" else {}
    counts = np.arange(8)[::-1]
    with pytest.raises(ValueError, match=r"counts of \[8\] ids"):
        keras_pss.EmbeddingCollection(
            [rows], WIDTH, method, 20, options=options, counts=[counts]
        )
    if not options:
        with pytest.raises(ValueError, match=r"counts of \[8\] ids"):
            keras_pss.embedding(rows, WIDTH, method, 20, counts=counts)


@pytest.mark.parametrize(
    "own", [{"output_dim": 2}, {"method": "robe"}, {"options": {"seed": 3}}]
)
@pytest.mark.parametrize("method", ["popularity", "mixed_dimension", "auto"])
def test_counts_leave_tables_of_another_kind_to_the_budget(method, own):
    counts = {name: np.arange(100)[::-1] for name in "ab"}
    tables = {"a": 100, "b": keras_pss.TableConfig(100, **own)}
    options = {"alpha": 0.3} if method == "mixed_dimension" else {}
    if method == "mixed_dimension" and "options" in own:
        tables["b"] = keras_pss.TableConfig(100, options={"alpha": 0.2})
    layer = keras_pss.EmbeddingCollection(
        tables, WIDTH, method, 450, options=options, counts=counts
    )
    layer({name: np.array([1, 99]) for name in "ab"})
    assert 0 < layer.count_params() <= 450


@pytest.mark.parametrize("budget", [60, "240B", "2x"])
def test_small_tables_of_counts_stay_uncompressed_within_the_budget(budget):
    counts = [[0, 1, 30, 12, 11], [9, 12], [5, 40, 30, 20, 11, 11, 1, 1]]
    layer = keras_pss.EmbeddingCollection.from_counts(
        counts, 8, budget, min_rows=3
    )
    assert layer.uncompressed() == (1,)
    ids = np.array([[2, 1, 3]])
    vector = layer(ids)
    assert tuple(vector.shape) == (1, 3, 8)
    index = sum(w.shape[0] for w in layer.weights if "index" in w.name)
    allowed = Budget.parse(budget).parameters(8 * 15)
    assert layer.budget_size() <= allowed
    assert index > 0
    with pytest.raises(InfeasibleBudget, match="a smaller `min_rows`"):
        keras_pss.EmbeddingCollection.from_counts(counts, 8, 16, min_rows=3)
    whole = keras_pss.EmbeddingCollection.from_counts(
        counts, 8, 120, min_rows=9
    )
    assert whole.uncompressed() == (0, 1, 2)
    bands = keras_pss.EmbeddingCollection.from_counts(
        counts, 8, 110, inner_dim=(2, 1), min_rows=3
    )
    bands(ids)
    assert bands.budget_size() <= 110
    twin = bands.twin(1)
    twin(ids)
    assert twin.uncompressed() == (1,)


def test_first_order_tables_take_widths_from_a_budget():
    """The length of the rows is bounded by the width of the other tables."""
    for options in ({"inner_dim": 3}, {"inner_dim": (3, 2)}, {}):
        tables = keras_pss.EmbeddingCollection(
            [90, 80], 6, "popularity", 300, options=options
        )
        twin = tables.twin(1)
        assert twin.method == "popularity"
        twin(np.array([[89, 3]]))
        assert twin.count_params() <= 50


def test_wrong_counts_are_refused():
    with pytest.raises(ValueError, match=r"counts\[1\]\[3\]=7 after 5"):
        popular_ids([[0, 3], [0, 9, 5, 7]], WIDTH, 40)
    with pytest.raises(ValueError, match="one entry for each table"):
        keras_pss.EmbeddingCollection(
            [9, 9], 4, "popularity", None, options={"num_rows": [3]}
        )


def test_a_model_makes_first_order_tables_of_the_same_ids():
    tables = keras_pss.EmbeddingCollection.from_counts(
        COUNTS, WIDTH, 44, inner_dim=2
    )
    model = keras_pss.models.DeepFM(tables, num_dense=2, hidden_units=[4])
    ids = ids_of(COUNTS)
    inputs = {"dense": np.zeros((50, 2), "float32"), "categorical": ids}
    assert model(inputs).shape == (50, 1)
    twin = tables.twin(1)
    assert twin.options == {**tables.options, "inner_dim": 1, "seed": 1}
    twin.build((None, 3))
    assert twin.count_params() == sum(tables.options["num_rows"])


UNSORTED = [[9, 12, 80, 1, 40, 9, 10], [0, 200, 11, 2], [5, 3, 30, 60, 31]]


def rows_of_kept(layer, counts, storage="float32"):
    """(table, id) of each id with a row, and that row, from the definition."""
    (part,) = layer.parts()
    widths = layer.options["inner_dim"]
    widths = [widths] if isinstance(widths, int) else widths
    limits = [np.atleast_1d(n) for n in layer.options["num_rows"]]
    orders = [
        [0, *1 + np.argsort(-np.array(c[1:]), kind="stable")] for c in counts
    ]
    found, begin = {}, [0] * len(counts)
    for band in range(len(widths)):
        ending = f"_{band}" if band else ""
        table = ops.convert_to_numpy(getattr(part, f"rows{ending}_table"))
        matrix = ops.convert_to_numpy(
            getattr(part, f"projection{ending}_table")
        )
        place = 0
        for column, order in enumerate(orders):
            rows = limits[column][band]
            ids = order[begin[column] :][:rows]
            if (np.diff(counts[column][1:]) > 0).any():
                ids = sorted(ids)
            for i in ids:
                found[column, int(i)] = table[place] @ matrix
                place += 1
            begin[column] += rows
    return found


@pytest.mark.parametrize("tail", ["oov", "hash", "robe"])
@pytest.mark.parametrize("inner_dim", [1, (3, 1)])
def test_ids_need_not_be_sorted_by_frequency(tail, inner_dim):
    layer = keras_pss.EmbeddingCollection.from_counts(
        UNSORTED, WIDTH, 90, inner_dim=inner_dim, tail=tail
    )
    assert layer.options["ids"] == (True, False, True)
    layer.build((None, 3))
    (part,) = layer.parts()
    kept = [int(np.sum(n)) for n in layer.options["num_rows"]]
    assert part.index_table.shape[0] == kept[0] + kept[2] - 2 > 4
    assert layer.memory_report().index_bytes == 4 * part.index_table.shape[0]
    assert layer.count_params() <= layer.budget_size() <= 90
    ids = ids_of(UNSORTED)
    found = ops.convert_to_numpy(layer(ids))
    rows = rows_of_kept(layer, UNSORTED)
    rare = 0
    for column in range(3):
        for i, row in zip(ids[:, column], found[:, column], strict=True):
            if tail == "oov" or (column, i) in rows:
                own = i if (column, i) in rows else 0
                expected = rows[column, own]
                np.testing.assert_allclose(row, expected, rtol=1e-5, atol=1e-8)
            else:
                rare += 1
                assert np.abs(row - rows[column, 0]).max() > 1e-5
    assert bool(rare) == (tail != "oov")


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("full", {}),
        ("popularity", {"num_rows": 2**30 + 1}),
        ("mixed_dimension", {"inner_dim": (1, 1)}),
    ],
)
def test_stacked_tables_have_no_more_rows_than_integers(method, options):
    layer = keras_pss.EmbeddingCollection(
        [2**30 + 1] * 2, 2, method, None, options=options
    )
    with pytest.raises(ValueError, match="2147483650 rows in"):
        layer.build()


def test_an_unbuilt_copy_knows_which_ids_have_rows():
    # No id of the last table has a row, except 0.
    counts = [*map(sorted, COUNTS), [5, 1, 2, 3]]
    layer = keras_pss.EmbeddingCollection.from_counts(counts, WIDTH, 60)
    named = keras_pss.EmbeddingCollection.from_counts(
        dict(zip("abcd", counts, strict=True)), WIDTH, 60
    )
    for each in (layer, named):
        (before,) = each.parts()
        for other in (
            copy.deepcopy(each),
            keras.saving.deserialize_keras_object(
                json.loads(
                    json.dumps(keras.saving.serialize_keras_object(each))
                )
            ),
        ):
            (part,) = other.parts()
            for ids, kept in zip(
                part.kept_ids(), before.kept_ids(), strict=True
            ):
                np.testing.assert_array_equal(ids, kept)
        before.build()
        assert "kept_ids" not in each.get_config()
    one = keras_pss.PopularityEmbedding(9, WIDTH, num_rows=4, ids=[7, 3, 5])
    again = type(one).from_config(one.get_config())
    again.build()
    np.testing.assert_array_equal(np.ravel(again.index_table), [3, 5, 7])
    with pytest.warns(UserWarning, match="does not say which ids have a row"):
        type(one).from_config(again.get_config()).build()


def test_a_file_and_a_twin_know_which_ids_have_rows(tmp_path):
    layer = keras_pss.EmbeddingCollection.from_counts(
        {"a": UNSORTED[0], "b": UNSORTED[2]}, WIDTH, 90, 10, (3, 2)
    )
    inputs = {name: keras.Input((), dtype="int32", name=name) for name in "ab"}
    model = keras.Model(inputs, layer(inputs))
    ids = {"a": np.arange(7) % 7, "b": np.arange(7) % 5}
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        ops.convert_to_numpy(loaded(ids)), ops.convert_to_numpy(model(ids))
    )
    twins = [
        each.twin(2)
        for each in (
            keras_pss.EmbeddingCollection.from_counts(
                {"a": UNSORTED[0], "b": UNSORTED[2]}, WIDTH, 90, 10, (3, 2)
            ),
            next(x for x in loaded.layers if x.name == layer.name),
        )
    ]
    for twin in twins:
        (part,) = twin.parts()
        assert part.inner_dim == (2,)
        twin(ids)
        found = ops.convert_to_numpy(part.index_table).reshape(-1)
        assert list(found) == [1, 2, 4, 6, 2, 3, 4]


def test_a_robe_memory_has_the_rows_of_robe():
    layer = keras_pss.EmbeddingCollection.from_counts(
        COUNTS, WIDTH, 60, inner_dim=1, tail="robe"
    )
    layer.build((None, 3))
    (part,) = layer.parts()
    assert layer.options["memory_size"] == part.memory_table.shape[0] >= 12
    assert layer.budget_size() <= 60
    ids = ids_of(COUNTS)
    found = ops.convert_to_numpy(layer(ids))
    for column, counts in enumerate(COUNTS):
        robe = keras_pss.ROBEEmbedding(
            len(counts),
            WIDTH,
            memory=keras_pss.SharedMemory(part.memory_size),
            table=column,
        )
        robe.build()
        robe.memory.build()
        robe.memory.memory_table.assign(part.memory_table)
        rare = ids[:, column] >= layer.options["num_rows"][column]
        np.testing.assert_allclose(
            found[rare, column],
            robe.materialize()[ids[rare, column]],
            rtol=1e-6,
        )
        assert rare.any() == (column < 2)


@pytest.mark.parametrize("budget", ["2x", 70, "90B"])
def test_bands_share_a_budget_by_counts(budget):
    counts = [[0, *range(60, 20, -1)], [0, *range(55, 25, -1)], [0, 11]]
    found = popular_ids(counts, WIDTH, budget, inner_dim=[3, 1])
    layer = keras_pss.EmbeddingCollection(
        [len(c) for c in counts], WIDTH, "popularity", None, options=found
    )
    layer.build((None, 3))
    (part,) = layer.parts()
    rows = np.array(found["num_rows"])
    wide = [
        c[i] for c, n in zip(counts, rows, strict=True) for i in range(1, n[0])
    ]
    narrow = [
        c[i]
        for c, n in zip(counts, rows, strict=True)
        for i in range(n[0], n.sum())
    ]
    assert min(wide, default=99) >= max(narrow)
    assert part.inner_dim == (3, 1)
    if budget == "2x":  # all ids have rows, and what is left makes some wide
        assert rows.sum() == sum(map(len, counts))
        assert layer.budget_size() > sum(map(len, counts)) * WIDTH // 2 - 3
