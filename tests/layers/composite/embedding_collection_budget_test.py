"""How a collection divides its budget, and what it refuses."""

import numpy as np
import pytest
from collections_of_tables import DIMS, make
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

import keras_pss
from keras_pss.layers.base.budget import Budget
from keras_pss.layers.composite.allocation import (
    FULL_SHARE,
    TableSpec,
    allocate,
    divide,
)


def robe_tables(options=()):
    return [TableSpec(rows, 8, "robe", dict(options)) for rows in DIMS]


def test_min_rows_is_the_users_choice():
    for min_rows, full in ((0, ()), (41, (1, 3)), (901, (0, 1, 3))):
        allocation = allocate(robe_tables(), Budget.parse("5x"), min_rows)
        assert allocation.full == full
    with pytest.raises(
        ValueError, match=r"at least 67576.*a smaller `min_rows`"
    ):
        allocate(robe_tables({"mapping": "block"}), Budget.parse("20x"), 10_000)


def test_the_named_minimum_is_one():
    dims = [30, 5000, 70_000]
    with pytest.raises(ValueError, match="at least") as error:
        keras_pss.EmbeddingCollection(dims, 8, "qr", 1)
    least = int(str(error.value).split("at least ")[1].split()[0])
    collection = keras_pss.EmbeddingCollection(dims, 8, "qr", least)
    collection.build()
    assert collection.count_params() <= least
    with pytest.raises(ValueError, match=f"at least {least}"):
        keras_pss.EmbeddingCollection(dims, 8, "qr", least - 1)


@pytest.mark.parametrize(
    ("method", "option", "known"),
    [
        ("robe", "mask_zero", "block_size, sign, mapping, hash, seed"),
        ("robe", "memory_size", "block_size, sign, mapping, hash, seed"),
        (
            "tt",
            "rank",
            "row_shape, column_shape, num_cores, gauge, core_initializer",
        ),
        ("full", "seed", "none"),
    ],
)
def test_options_are_the_methods_own(method, option, known):
    with pytest.raises(ValueError, match=f"are: {known}. Received: {option}=4"):
        keras_pss.EmbeddingCollection(
            DIMS, 8, method, "5x", options={option: 4}
        )


def test_a_budget_that_cannot_be_met_names_the_smallest():
    with pytest.raises(ValueError, match="needs a budget of at least"):
        make("qr", "100x", {})
    with pytest.raises(ValueError, match="`input_dims` must have at least one"):
        keras_pss.EmbeddingCollection([], 8)
    with pytest.raises(ValueError, match="`input_dims` must be a positive"):
        keras_pss.EmbeddingCollection([10, None], 8, "tt", 1000)


def test_open_vocabularies():
    collection = keras_pss.EmbeddingCollection(
        [None, 5, None], 8, "robe", "64KB"
    )
    ids = np.array([[2**31 - 2, 4, 0]], "int32")
    assert np.isfinite(ops.convert_to_numpy(collection(ids))).all()
    assert collection.count_params() == 16_000
    assert collection.memory_report().compression is None
    hashed = keras_pss.EmbeddingCollection([None, None], 8, "hash", "64KB")
    assert hashed(ids[:, :2]).shape == (1, 2, 8)
    with pytest.raises(ValueError, match="`input_dim` is None"):
        keras_pss.EmbeddingCollection([None, 5], 8, "robe", "10x")


@settings(max_examples=200, deadline=None)
@given(
    parts=st.lists(
        st.tuples(st.integers(1, 10**6), st.integers(1, 1000)),
        min_size=1,
        max_size=20,
    ),
    extra=st.integers(0, 10**7),
)
def test_divide_gives_each_its_least_and_never_more_than_all(parts, extra):
    weights, least = zip(*parts, strict=True)
    total = sum(least) + extra
    sizes = divide(total, weights, least)
    assert all(s >= low for s, low in zip(sizes, least, strict=True))
    assert sum(sizes) <= total
    assert sum(sizes) >= total - 2 * len(sizes) - total * 1e-9


def test_full_share_is_what_the_docstring_says():
    assert FULL_SHARE == 0.25
    assert "a quarter of the budget" in keras_pss.EmbeddingCollection.__doc__
