"""Tensor-train shapes and contractions against published numbers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_pss.ops.methods import core_factors, tensor_train

# TT-Rec, table 2: rows of Criteo Kaggle's seven largest tables.
TABLE_2 = {
    10131227: (200, 220, 250),
    8351593: (200, 200, 209),
    7046547: (200, 200, 200),
    5461306: (166, 175, 188),
    2202608: (125, 130, 136),
    286181: (53, 72, 75),
    142572: (50, 52, 55),
}


def parameters(rows, columns, rank):
    ranks = tensor_train.ranks(rank, rows, columns)
    shapes = tensor_train.core_shapes(rows, columns, ranks)
    return sum(math.prod(shape) for shape in shapes)


@pytest.mark.parametrize(("rows", "shape"), TABLE_2.items())
def test_balanced_shapes_are_those_of_table_2(rows, shape):
    assert core_factors.balanced_row_shape(rows, 3) == shape


@pytest.mark.parametrize(
    ("rank", "count"), [(16, 135040), (32, 495360), (64, 1891840)]
)
def test_parameters_of_the_largest_table(rank, count):
    assert core_factors.column_shape(16, 3) == (2, 2, 4)
    assert parameters(TABLE_2[10131227], (2, 2, 4), rank) == count


@pytest.mark.parametrize(("rank", "factor"), [(16, 2.0), (32, 2.9), (64, 4.4)])
def test_min_params_shapes_are_much_smaller(rank, factor):
    rows, columns = 10131227, (2, 2, 4)
    shape = core_factors.min_params_row_shape(rows, columns, rank)
    assert math.prod(shape) >= rows
    balanced = parameters(TABLE_2[rows], columns, rank)
    assert balanced / parameters(shape, columns, rank) > factor


@pytest.mark.parametrize("columns", [1, 2, 16, 37, 128, 200, 768])
@pytest.mark.parametrize("cores", [2, 3, 4])
def test_columns_are_never_rounded_up(columns, cores):
    shape = core_factors.column_shape(columns, cores)
    assert math.prod(shape) == columns
    assert len(shape) == cores


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 10**6), cores=st.integers(2, 5))
def test_shapes_hold_every_row(rows, cores):
    shape = core_factors.balanced_row_shape(rows, cores)
    assert len(shape) == cores
    assert rows <= math.prod(shape) <= 10 * rows + 10
    shape = core_factors.min_params_row_shape(rows, (2,) * cores, 8)
    assert math.prod(shape) >= rows


@settings(max_examples=60, deadline=None)
@given(shape=st.lists(st.integers(1, 12), min_size=2, max_size=5))
def test_digits_are_those_of_unravel_index(shape):
    count = math.prod(shape)
    # JAX compiles each length, so there are few.
    ids = np.arange(1 << (count - 1).bit_length(), dtype=np.int32) % count
    found = tensor_train.digits(ops.convert_to_tensor(ids), shape)
    expected = np.unravel_index(ids, shape)
    for digit, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(digit), wanted)


# Exact in float32: core t, flat value j is (((7 j + 3 t) mod 11) - 5) / 4.
GOLDEN = [
    (
        (3, 4),
        (2, 3),
        (2,),
        -0.75,
        {
            0: [0.25, -1.0625, -0.3125, -0.6875, 0.625, -0.125],
            5: [0.6875, -0.1875, 0.3125, -1, 0.75, -0.25],
            11: [-0.375, -0.125, 2.1875, -0.8125, 0.6875, -1.25],
        },
    ),
    (
        (2, 3, 4),
        (2, 1, 2),
        (2, 3),
        1.0625,
        {
            0: [-0.6875, -0.421875, 0.578125, 0.421875],
            5: [-0.421875, -0.421875, -0.234375, 1.078125],
            23: [0.65625, -0.5625, -1.875, 1.5],
        },
    ),
    (
        (2, 2, 3, 2),
        (1, 2, 2, 1),
        (2, 2, 2),
        -0.4921875,
        {
            0: [1.84375, 1.515625, -1.515625, -1.140625],
            23: [-0.234375, 1.98046875, 3.26953125, -3.1484375],
        },
    ),
]


@pytest.mark.parametrize(("rows", "columns", "rank", "total", "known"), GOLDEN)
def test_golden_tables(rows, columns, rank, total, known):
    shapes = tensor_train.core_shapes(rows, columns, (1, *rank, 1))
    cores = [
        (((7 * np.arange(math.prod(s)) + 3 * t) % 11 - 5) / 4)
        .reshape(s[0], -1)
        .astype("float32")
        for t, s in enumerate(shapes)
    ]
    ids = ops.arange(math.prod(rows), dtype="int32")
    digits = tensor_train.digits(ids, rows)
    slices = [
        ops.take(c, d, axis=0) for c, d in zip(cores, digits, strict=True)
    ]
    table = ops.convert_to_numpy(tensor_train.contract(slices, shapes))
    assert table.sum(dtype=np.float64) == total
    for row, values in known.items():
        np.testing.assert_array_equal(table[row], values)
    square = tensor_train.mean_square(cores, shapes)
    assert float(square) == pytest.approx((table**2).mean(), rel=1e-5)


def test_a_rank_is_cut_where_a_core_cannot_use_it():
    assert tensor_train.ranks(100, (2, 50, 60), (2, 2, 4)) == (1, 4, 100, 1)
    assert tensor_train.ranks((3, 5), (2, 50, 60), (2, 2, 4)) == (1, 3, 5, 1)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 10**9),
    width=st.sampled_from([1, 8, 60, 128]),
    cores=st.integers(2, 7),
    rank=st.integers(1, 300),
    ring=st.booleans(),
)
def test_rounded_shapes_are_nearly_as_small_as_the_searched(
    rows, width, cores, rank, ring
):
    """What many cores use, against what few cores search."""
    columns = core_factors.column_shape(width, cores)
    cost = core_factors._digit_costs(columns, rank, ring)
    (rounded,) = core_factors._rounded(rows, cost)
    assert math.prod(rounded) >= rows
    searched = core_factors.min_params_row_shape(rows, columns, rank, ring)
    least, found = (np.dot(cost, shape) for shape in (searched, rounded))
    # With few rows, a single digit costs more than that.
    assert found <= 1.05 * least or found <= least + max(cost)


@pytest.mark.parametrize("cores", [13, 24, 32])
@pytest.mark.parametrize("ring", [False, True])
def test_many_cores_of_any_rank_have_a_shape(cores, ring):
    """A search would be exponential, and a product of floats overflow."""
    columns = core_factors.column_shape(128, cores)
    for rank in 1, 5000, 10**30:
        shape = core_factors.min_params_row_shape(10**7, columns, rank, ring)
        assert 10**7 <= math.prod(shape) < 2 * 10**7
        assert len(shape) == cores


def all_factorizations(number, count, least=1):
    if count == 1:
        return [(number,)] if number >= least else []
    return [
        (factor, *rest)
        for factor in range(least, int(number ** (1 / count) + 1e-9) + 1)
        if number % factor == 0
        for rest in all_factorizations(number // factor, count - 1, factor)
    ]


@settings(max_examples=60, deadline=None)
@given(number=st.integers(1, 5_000), count=st.integers(2, 6))
def test_no_product_of_high_entropy_is_left_out(number, count):
    every = all_factorizations(number, count)
    for least in -math.inf, math.log(count) - 0.3:
        found = list(core_factors._factorizations(number, count, least))
        assert set(found) <= set(every)
        assert {f for f in every if core_factors._entropy(f) >= least} <= set(
            found
        )
        if least == -math.inf:
            assert found == every


@pytest.mark.parametrize("cores", [6, 12, 32])
def test_numbers_of_many_divisors_have_a_balanced_shape(cores):
    """Which have millions of factorizations."""
    rows = 735_134_400
    shape = core_factors.balanced_row_shape(rows, cores)
    assert rows <= math.prod(shape) <= 1.2 * rows
