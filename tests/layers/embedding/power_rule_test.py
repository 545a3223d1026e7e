"""Widths by the power rule of mixed dimensions, against a plain search."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_pss.data.synthetic.world import KAGGLE_CARDINALITIES
from keras_pss.layers.base.budget import InfeasibleBudget
from keras_pss.layers.fused.mixed.power_rule import (
    blocks_by_counts,
    published_widths,
    smallest_size,
    widths_of_tables,
)

DIMS = st.lists(st.integers(1, 300), min_size=1, max_size=6)
COUNTS = st.lists(
    st.lists(st.integers(0, 30), min_size=1, max_size=40).map(
        lambda each: [each[0], *sorted(each[1:], reverse=True)]
    ),
    min_size=1,
    max_size=4,
)
WIDTHS = st.integers(1, 8)
ALPHAS = st.sampled_from([0, 0.2, 0.3, 0.5, 1.0])


def size_of(rows, widths, d):
    return sum(
        n * k + (k < d) * k * d for n, k in zip(rows, widths, strict=True)
    )


def by_rule(scale, rows, popularity, d, alpha, least):
    """The widths for λ; a matrix that saves nothing is left out."""
    widths = []
    for n, p in zip(rows, popularity, strict=True):
        rule = scale * p**alpha
        k = max(least, min(d, math.floor(rule + 0.5)))
        widths.append(d if k and n * k + k * d >= n * d else k)
    return widths


def next_steps(rows, popularity, d, alpha):
    """Each λ at which a width grows, a little beyond it."""
    return sorted(
        (k - 0.5) / p**alpha * (1 + 1e-9)
        for p in popularity
        if p
        for k in range(1, d + 1)
    )


@pytest.mark.parametrize(
    ("alpha", "ratio"),
    [(0.05, 2.0), (0.1, 4.0), (0.15, 7.9), (0.2, 15.7), (0.3, 16.0)],
)
def test_criteo_kaggle_as_published(alpha, ratio):
    widths = published_widths(KAGGLE_CARDINALITIES, 16, alpha)
    assert max(widths) == 16
    found = size_of(KAGGLE_CARDINALITIES, widths, 16)
    whole = 33_762_577 * 16
    assert sum(KAGGLE_CARDINALITIES) * 16 == whole
    assert round(whole / found, 1) == ratio


@given(dims=DIMS, d=WIDTHS, alpha=ALPHAS, more=st.integers(0, 3000))
def test_tables_have_the_widths_of_the_largest_scale(dims, d, alpha, more):
    smallest = smallest_size(dims, d)
    assert smallest == size_of(dims, by_rule(0, dims, dims, d, 1, 1), d)
    size = smallest + more
    widths = list(widths_of_tables(size, dims, d, alpha))
    assert size_of(dims, widths, d) <= size
    order = np.argsort(dims, kind="stable")
    assert (np.diff(np.array(widths)[order]) <= 0).all()

    popularity = [1 / n for n in dims]
    sizes = [
        (size_of(dims, found, d), found)
        for found in (
            by_rule(scale, dims, popularity, d, alpha, 1)
            for scale in (0, *next_steps(dims, popularity, d, alpha))
        )
    ]
    # No wider table fits: what the next scale asks for is too much.
    fitting = [pair for pair in sizes if pair[0] <= size]
    assert size_of(dims, widths, d) == max(fitting)[0]
    assert widths in [found for _, found in sizes]


def test_tables_that_grow_at_one_scale_do_so_together():
    # With α = 1/2, a ninth of the rows is three times the width: 3 numbers
    # (1.5 rounded up) and 1 number (0.5), whatever the last bit of the root.
    for rows in (90, 900, 9_000, 63_000, 999_999):
        tables = [rows, 9 * rows]
        parts = size_of(tables, (2, 1), 64)
        more = size_of(tables, (3, 1), 64)
        assert widths_of_tables(parts, tables, 64, 0.5) == (2, 1)
        assert widths_of_tables(more, tables, 64, 0.5) == (3, 1)
        # The next step is (4, 1), and the one after (5, 2) at λ = 4.5 √n.
        tied = size_of(tables, (5, 2), 64)
        assert widths_of_tables(tied - 1, tables, 64, 0.5) == (4, 1)
        assert widths_of_tables(tied, tables, 64, 0.5) == (5, 2)


def of_counts(counts, d, size, alpha, num_blocks):
    found = blocks_by_counts(counts, d, size, alpha, num_blocks)
    return found["num_rows"], found["inner_dim"]


@given(
    counts=COUNTS,
    d=WIDTHS,
    alpha=ALPHAS,
    num_blocks=st.integers(1, 5),
    size=st.integers(1, 700),
)
def test_blocks_stay_within_any_budget(counts, d, alpha, num_blocks, size):
    try:
        rows, widths = of_counts(counts, d, size, alpha, num_blocks)
    except InfeasibleBudget:
        assert size < len(counts) * d
        return
    assert size >= len(counts) * d
    assert sum(map(size_of, rows, widths, [d] * len(rows))) <= size
    for own, each, seen in zip(rows, widths, counts, strict=True):
        assert all(n > 0 for n in own)
        assert list(each) == sorted(each, reverse=True)
        assert sum(own) <= len(seen)
        assert len(own) <= num_blocks


@given(counts=COUNTS, d=WIDTHS, alpha=ALPHAS, size=st.integers(0, 700))
def test_ids_keep_rows_of_their_own_in_larger_budgets(counts, d, alpha, size):
    size += len(counts) * d
    total = sum(map(len, counts))
    rows, _ = of_counts(counts, d, size, alpha, 3)
    more, _ = of_counts(counts, d, size + 50, alpha, 3)
    if sum(map(sum, rows)) == total:
        assert sum(map(sum, more)) == total
    every, full = of_counts(counts, d, "1x", alpha, 3)
    assert sum(map(sum, every)) == total
    assert {k for each in full for k in each} == {d}


def test_blocks_are_read_equally_often():
    counts = [[0, 60, 30, 20, 10, *[5] * 12, *[1] * 60]]
    rows, widths = of_counts(counts, 8, "5x", 0.5, 4)
    # 300 occurrences, id 0 taken to be as frequent as id 1: blocks of 2, 2, 10
    # and 63 ids have at least 75 each. Two of the first d numbers are one.
    assert rows == ((4, 10, 63),)
    assert list(widths[0]) == sorted(widths[0], reverse=True)
    # One block is one width.
    assert of_counts(counts, 8, "5x", 0.5, 1) == (((77,),), ((1,),))


def test_ids_share_rows_only_below_one_number_for_each():
    counts = [[0, 60, 30, 20, 10, *[5] * 12, *[1] * 60], [3, 40]]
    # A number for each id and a matrix for each block; rows of 8 numbers for
    # the ids of the second table, which are blocks of one.
    smallest = (2 + 8) + (2 + 8) + (10 + 8) + (63 + 8) + 2 * 8
    rows, _ = of_counts(counts, 8, smallest, 0.3, 4)
    assert sum(map(sum, rows)) == 79
    rows, _ = of_counts(counts, 8, smallest - 1, 0.3, 4)
    assert sum(map(sum, rows)) < 79
    rows, widths = of_counts(counts, 8, 16, 0.3, 4)
    assert (rows, widths) == (((1,), (1,)), ((8,), (8,)))
    with pytest.raises(InfeasibleBudget, match="at least 16 parameters"):
        of_counts(counts, 8, 15, 0.3, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": -0.1}, "`alpha` must be a number of at least 0"),
        ({"alpha": 2}, "`alpha`, the exponent of the power rule, must be"),
        ({"alpha": "x"}, "`alpha` must be a number"),
        ({"num_blocks": 0}, "`num_blocks` must be a positive integer"),
        ({"counts": [[0, 3], [0, 9, 5, 7]]}, r"counts\[1\]\[3\]=7 after 5"),
    ],
)
def test_wrong_arguments(change, message):
    given = {"counts": [[1, 5], [2, 3]], "alpha": 0.3, "num_blocks": 2}
    with pytest.raises(ValueError, match=message):
        blocks_by_counts(output_dim=4, budget=16, **{**given, **change})
