"""How a budget is divided between hot rows and the embedding."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_pss
from keras_pss.layers.composite.hot_rows import HotRows


def test_a_budget_leaves_room_for_the_embedding():
    layer = HotRows.from_budget(100_000, 16, "1000x", "hash")
    assert layer.capacity == 1600 // (4 * (16 + 2))
    # A hot row has its 16 numbers, its id and its slot.
    assert layer.embedding.num_buckets == (1600 - 18 * layer.capacity) // 16
    message = "at least 1816 parameters.*a smaller `capacity`"
    with pytest.raises(ValueError, match=message):
        HotRows.from_budget(100_000, 16, "1000x", "hash", capacity=100)


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
