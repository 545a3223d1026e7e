"""How a collection with named tables divides its budget."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

import keras_pss
from keras_pss.layers.base.budget import Budget, InfeasibleBudget
from keras_pss.layers.composite.allocation import TableSpec, allocate

TABLE = keras_pss.TableConfig
METHODS = ("full", "robe", "hash", "qr", "tt", "memcom", "mixed_dimension")


@settings(max_examples=150, deadline=None)
@given(
    shapes=st.lists(
        st.tuples(
            st.integers(1, 30_000),
            st.sampled_from([1, 4, 16]),
            st.sampled_from(METHODS),
        ),
        min_size=1,
        max_size=8,
    ),
    ratio=st.floats(1, 300),
)
def test_what_is_stored_never_exceeds_the_budget(shapes, ratio):
    tables = {
        f"table {k}": TABLE(rows, width, method)
        for k, (rows, width, method) in enumerate(shapes)
    }
    allowed = int(sum(rows * width for rows, width, _ in shapes) / ratio) or 1
    try:
        layer = keras_pss.EmbeddingCollection(tables, 8, "robe", allowed)
    except InfeasibleBudget as error:
        least = int(str(error).split("at least ")[1].split()[0])
        assert least > allowed
        allowed = least
        layer = keras_pss.EmbeddingCollection(tables, 8, "robe", least)
    if any(method != "full" for *_, method in shapes):
        assert layer.budget_size() <= allowed
    allocation = layer._allocation
    assert sorted(allocation.full + allocation.compressed) == list(
        range(len(shapes))
    )


def test_small_tables_stay_full_whatever_their_width():
    layer = keras_pss.EmbeddingCollection(
        {"large": TABLE(100_000), "small": TABLE(20, 4), "own": TABLE(30, 8)},
        16,
        "robe",
        "100x",
    )
    assert layer._allocation.full == (1, 2)
    allowed = (100_000 * 16 + 20 * 4 + 30 * 8) // 100
    assert layer._allocation.sizes == (allowed - 20 * 4 - 30 * 8,)


def test_tables_of_one_width_and_method_share_one_memory():
    tables = {
        "a": TABLE(40_000),
        "b": TABLE(20_000, 8),
        "c": TABLE(30_000),
        "d": TABLE(30_000, 16, "robe", {"sign": True}),
        "e": TABLE(30_000, 16, "hash"),
    }
    layer = keras_pss.EmbeddingCollection(tables, 16, "robe", 10_000)
    assert layer._allocation.units == ((0, 2), (1,), (3,), (4,))
    sizes = np.array(layer._allocation.sizes)
    shares = np.array([70 * 16, 20 * 8, 30 * 16, 30 * 16])
    np.testing.assert_allclose(sizes, 10_000 * shares / shares.sum(), atol=1)
    assert sizes.sum() <= 10_000


def test_full_tables_are_paid_from_the_budget():
    tables = {"a": TABLE(10_000), "b": TABLE(500, method="full")}
    with pytest.raises(
        InfeasibleBudget,
        match=r"method='robe', 'full' needs a budget of at least 8016 param",
    ):
        keras_pss.EmbeddingCollection(tables, 16, "robe", 8000)
    layer = keras_pss.EmbeddingCollection(tables, 16, "robe", 8016)
    assert layer.budget_size() == 8016
    assert layer._allocation.sizes == (16,)


def test_options_may_determine_the_sizes():
    layer = keras_pss.EmbeddingCollection(
        {"a": 4000, "b": TABLE(5000, 8, options={"rank": 2}), "c": 10},
        16,
        "tt",
        None,
        options={"rank": 4},
        min_rows=100,
    )
    ranks = {part.name: getattr(part, "rank", None) for part in layer.lookups}
    assert ranks == {"full_2": None, "table_0": 4, "table_1": 2}


def test_open_vocabularies():
    layer = keras_pss.EmbeddingCollection(
        {"open": None, "b": 20},
        8,
        "robe",
        "64KB",
        features={
            "open": "open",
            "bag": keras_pss.FeatureConfig("open", 2),
            "b": "b",
        },
    )
    ids = {
        "categorical": np.array([[2**31 - 2, 19]], "int32"),
        "bag": np.array([[2**31 - 2, -1]], "int32"),
    }
    found = ops.convert_to_numpy(layer(ids))
    np.testing.assert_allclose(found[0, 0], found[0, 1], rtol=1e-6)
    assert layer.count_params() == 16_000
    assert layer.memory_report().compression is None
    with pytest.raises(ValueError, match="`input_dim` is None"):
        keras_pss.EmbeddingCollection({"a": None, "b": 5}, 8, "robe", "10x")


def test_index_tables_count():
    specs = [TableSpec(5000, 8, "clustered", {"num_columns": 2})] * 2
    budget = Budget.parse("4x")
    counted = allocate(specs, budget, None)
    uncounted = allocate(specs, budget, None, count_index=False)
    index = specs[0].index_size()
    assert index > 0
    assert sum(counted.sizes) <= 20_000
    assert sum(uncounted.sizes) - 2 * index <= 20_000 < sum(uncounted.sizes)


def test_the_report_counts_every_part():
    layer = keras_pss.EmbeddingCollection(
        {"a": 4000, "b": TABLE(50, 4)}, 16, "robe", "10x"
    )
    layer.build()
    report = layer.memory_report()
    assert report.full_parameters == 4000 * 16 + 50 * 4
    assert report.parameters == layer.count_params() <= 6420
