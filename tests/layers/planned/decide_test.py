"""What the tables become, by sizes and counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_pss
from keras_pss.layers.base.budget import Budget, InfeasibleBudget
from keras_pss.layers.planned.choices import TAILS, checked
from keras_pss.layers.planned.decide import decide
from keras_pss.planning import load_plan

COUNTS = [
    np.array([5, 900, 300, 40, 3, 2, 1]),
    np.array([0, 700, 60]),
    np.array([1, 50, 30, 20, 10, 1, 1, 1]),
]
DIMS = [7, 3, 8]


def test_tables_that_fit_stay_as_they_are():
    found = decide(DIMS, 4, "1x", COUNTS)
    assert (found.method, found.options, found.budget) == ("full", {}, "1x")
    assert decide(DIMS, 4, 72).method == "full"
    assert decide(DIMS, 4, 71).method == "robe"
    assert found.sure


def test_first_rows_then_their_width_then_fewer_rows():
    def of(budget, **choices):
        found = decide(DIMS, 4, budget, COUNTS, choices)
        return found.kept, found.options["inner_dim"]

    # 9 ids are seen four times, and each table has an id 0.
    frequent = (4, 3, 5)
    assert of(60) == (frequent, 4)
    assert of(2 * 12 + 8) == (frequent, 2)
    assert of(12 + 4) == (frequent, 1)
    assert of(7 + 4, tail="oov") == ((3, 3, 1), 1)
    assert of(60, min_count=100) == ((3, 2, 1), 4)
    assert of(60, inner_dim=2) == (frequent, 2)
    assert of(60, inner_dim=9) == (frequent, 4)


def test_never_more_rows_than_deserving_ids():
    found = decide(DIMS, 4, 71, COUNTS)
    assert found.kept == found.deserve == (4, 3, 5)
    assert found.min_count == 4
    assert "9 ids" not in found.why
    assert "12 ids occur 4 times or more" in found.why


def test_without_counts_or_with_open_ids_it_is_robe():
    found = decide(DIMS, 4, 50)
    assert (found.method, found.budget) == ("robe", 50)
    assert "no counts are known" in found.why
    assert not found.sure
    open_ids = decide([None, 3, 8], 4, 50, COUNTS)
    assert open_ids.method == "robe"
    assert "a vocabulary is open" in open_ids.why
    with pytest.raises(ValueError, match="a ratio needs the size"):
        decide([None, 3], 4, "10x")


def test_a_budget_below_a_row_of_each_table_is_robe():
    found = decide(DIMS, 4, 6, COUNTS, {"seed": 3})
    assert (found.method, found.options) == ("robe", {"seed": 3})
    assert "no room for a row of one number in each of 3 tables" in found.why
    found = decide(DIMS, 4, 20, COUNTS, {"inner_dim": 3, "tail": "robe"})
    assert "a ROBE memory and a row of 3 numbers in each" in found.why


def test_what_rare_ids_share_is_said():
    found = decide(DIMS, 4, 60, COUNTS)
    assert found.options["tail"] == "oov"
    assert "share one row in each table: they occur 1.5 times" in found.why
    assert found.sure
    silent = {"silent": True}
    assert not decide(DIMS, 4, 60, COUNTS, silent).sure
    assert decide(DIMS, 4, 60, COUNTS, {**silent, "tail": "oov"}).sure


@pytest.mark.skipif("robe" not in TAILS, reason="popular_ids has one tail")
def test_frequent_ids_without_a_row_share_a_memory():
    many = [np.full(200, 50), np.full(300, 40)]
    found = decide([200, 300], 4, 100, many)
    assert found.options["tail"] == "robe"
    silent = decide(DIMS, 4, 60, COUNTS, {"silent": True})
    assert silent.options["tail"] == "robe"


@pytest.mark.parametrize(
    ("budget", "width", "kept"),
    [
        *((12_000, 5, 1_000), (4_000, 4, 492), (2_000, 4, 242)),
        *((1_000, 3, 158), (700, 2, 167), (300, 1, 142)),
    ],
)
def test_where_products_tell_rows_are_wide_before_many(budget, width, kept):
    many = [np.full(500, 50)] * 2
    silent = {"silent": True}
    found = decide([500, 500], 16, budget, many, silent)
    assert (found.options["inner_dim"], sum(found.kept)) == (width, kept)
    if 1 < width < 4:  # one more would leave less than an eighth of the ids
        wider = {**silent, "inner_dim": width + 1}
        assert sum(decide([500, 500], 16, budget, many, wider).kept) < 125
    layer = keras_pss.EmbeddingCollection(
        [500, 500], 16, "auto", budget, counts=many, options=silent
    )
    layer.build((None, 2))
    assert layer.count_params() <= budget
    asked = decide([500, 500], 16, budget, many, {**silent, "inner_dim": 1})
    assert asked.options["inner_dim"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": 3}, r"options` of method='auto' are: min_count, inner_dim"),
        ({"min_count": 0}, r"`min_count` must be a positive integer"),
        ({"inner_dim": "2"}, r"`inner_dim` must be a positive integer"),
        ({"silent": 1}, r"`silent` must be True or False"),
        ({"tail": "none"}, r"`tail` must be one of 'oov'"),
        ([1], r"`options` must be a dict"),
    ],
)
def test_wrong_choices(options, message):
    with pytest.raises(ValueError, match=message):
        checked(options)
    with pytest.raises(ValueError, match=message):
        keras_pss.EmbeddingCollection(DIMS, 4, "auto", 60, options=options)


def test_auto_needs_a_budget():
    with pytest.raises(ValueError, match=r"Give a `budget`, or name a method"):
        keras_pss.EmbeddingCollection(DIMS, 4, "auto", None)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (COUNTS[:2], r"`counts` must be a list with the counts of each of 3"),
        (
            [*COUNTS[:2], [0, 3]],
            r"Count the ids of these tables\. Received: counts of \[7, 3, 2\]",
        ),
        ([*COUNTS[:2], [0, 1, 2, 3, 4, 5, 6, 7]], r"Sort the ids by frequency"),
        ({"a": COUNTS[0]}, r"`counts` must be a list"),
    ],
)
def test_wrong_counts(counts, message):
    with pytest.raises(ValueError, match=message):
        keras_pss.EmbeddingCollection(DIMS, 4, "auto", 60, counts=counts)


@given(
    counts=st.lists(
        st.lists(st.integers(0, 60), min_size=1, max_size=20),
        min_size=1,
        max_size=4,
    ),
    width=st.integers(1, 6),
    budget=st.one_of(
        st.integers(1, 300), st.integers(1, 1200).map(lambda n: f"{n}B")
    ),
    min_count=st.one_of(st.none(), st.integers(1, 400)),
)
def test_a_plan_is_within_its_budget(counts, width, budget, min_count):
    counts = [[c[0], *sorted(c[1:], reverse=True)] for c in counts]
    options = {"min_count": min_count}
    try:
        plan = keras_pss.plan(
            [len(c) for c in counts], width, budget, counts, options=options
        )
    except InfeasibleBudget:  # not even a row in a shared memory
        assert Budget.parse(budget).parameters(None) < width * len(counts)
        return
    assert plan.bytes <= plan.allowed_bytes
    report = plan.collection().memory_report()
    assert report.parameters == plan.parameters
    packed = any(table.precision != "float32" for table in plan.tables)
    served = report.serving_bytes_int8 if packed else report.serving_bytes
    assert served == plan.bytes
    assert sum(t.parameters for t in plan.tables) <= plan.parameters
    for table, each in zip(plan.tables, counts, strict=True):
        if plan.method == "popularity":
            rare = [c for c in each[1:] if c < (min_count or 4)]
            assert table.rows <= len(each) - len(rare)


def test_one_table(caplog):
    with caplog.at_level("INFO", "keras_pss"):
        layer = keras_pss.embedding(8, 16, "auto", 70, counts=COUNTS[2])
    assert isinstance(layer, keras_pss.PopularityEmbedding)
    assert layer.num_rows == (5,)
    assert layer.inner_dim == (3,)
    assert "5 ids occur 4 times or more" in caplog.text
    layer(np.arange(8))
    assert layer.count_params() == 5 * 3 + 3 * 16
    other = keras_pss.embedding(
        8, 16, "auto", 70, counts=COUNTS[2], min_count=25, name="few"
    )
    assert (other.name, other.num_rows) == ("few", (3,))
    # Without counts, and for an open vocabulary.
    assert isinstance(
        keras_pss.embedding(8, 16, "auto", 70, seed=4),
        keras_pss.ROBEEmbedding,
    )
    opened = keras_pss.embedding(None, 16, "auto", 70, counts=None)
    assert opened.memory_size == 70
    full = keras_pss.embedding(8, 16, "auto", "1x", counts=COUNTS[2])
    assert isinstance(full, keras_pss.FullEmbedding)
    same = keras_pss.embedding(8, 16, "popularity", 70, counts=COUNTS[2])
    assert same.num_rows == layer.num_rows


def test_a_collection_keeps_what_was_chosen(tmp_path):
    import keras

    made = keras_pss.EmbeddingCollection(DIMS, 4, "auto", 60, counts=COUNTS)
    assert made.method == "popularity"
    assert "deserve a row" in made.why
    config = made.get_config()
    assert config["method"] == "popularity"
    assert config["budget"] is None
    assert "counts" not in config
    ids = np.array([[6, 2, 7], [0, 1, 3]], "int32")
    model = keras.Sequential([keras.Input((3,), dtype="int32"), made])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    rows = keras.ops.convert_to_numpy(made(ids))
    np.testing.assert_array_equal(again.predict(ids, verbose=0), rows)


def test_named_tables_and_methods_of_their_own():
    counts = dict(zip("abc", COUNTS, strict=True))
    dims = dict(zip("abc", DIMS, strict=True))
    made = keras_pss.EmbeddingCollection(dims, 4, "auto", 60, counts=counts)
    assert made.options["num_rows"] == (4, 3, 5)
    own = {**dims, "c": keras_pss.TableConfig(8, method="full")}
    other = keras_pss.EmbeddingCollection(own, 4, "auto", 60, counts=counts)
    assert other.method == "robe"
    assert "options of their own" in other.why
    with pytest.raises(ValueError, match=r"counts of each table of `input_d"):
        keras_pss.EmbeddingCollection(dims, 4, "auto", 60, counts=COUNTS)


@pytest.mark.parametrize("budget", [40, 60, "240B", "1.3x"])
def test_small_tables_stay_uncompressed_within_the_budget(budget):
    made = keras_pss.EmbeddingCollection(
        DIMS, 4, "auto", budget, min_rows=5, counts=COUNTS
    )
    assert made.uncompressed() == (1,)
    assert made.method == "popularity"
    made(np.array([[6, 2, 7]]))
    assert made.count_params() <= Budget.parse(budget).parameters(72)
    with pytest.raises(InfeasibleBudget, match="a smaller `min_rows`"):
        keras_pss.EmbeddingCollection(
            DIMS, 4, "auto", 30, min_rows=8, counts=COUNTS
        )


@pytest.mark.parametrize(
    ("method", "options"),
    [("popularity", {}), ("mixed_dimension", {"alpha": 0.3}), ("robe", {})],
)
def test_min_rows_keeps_the_budget_of_every_method(method, options):
    """Counts say nothing of the tables that the user leaves uncompressed."""
    for budget in (36, 50):
        tables = keras_pss.EmbeddingCollection(
            DIMS, 4, method, budget, 5, options, counts=COUNTS
        )
        tables.build()
        assert 0 < tables.count_params() <= budget


def test_what_one_width_leaves_makes_the_first_rows_wider(tmp_path):
    many = [np.r_[0, np.arange(200, 100, -1)]]

    def of(budget, **choices):
        return decide([101], 4, budget, many, choices)

    # 101 rows of one number, and matrices of 1 x 4 and 2 x 4: with 148, 33 of
    # 100 ids have a second number.
    found = of(148)
    assert found.options["inner_dim"] == (2, 1)
    assert found.options["num_rows"] == ((34, 67),)
    assert "2 of 4 numbers for the 34 most frequent of them and 1" in found.why
    assert found.kept == found.deserve
    assert of(120).options["inner_dim"] == 1  # for less than an eighth
    # Rare ids that share more than one row get what is left instead.
    assert of(148, tail="robe").options["inner_dim"] == 1
    plan = keras_pss.plan([101], 4, 148, many)
    assert "2, 1" in str(plan)
    assert [t.parameters for t in plan.tables] == [34 * 2 + 67]
    plan.save(tmp_path / "plan.json")
    assert load_plan(tmp_path / "plan.json") == plan
    layer = plan.collection()
    layer.build((None, 1))
    assert layer.count_params() == plan.parameters <= 148
