"""ROBE's theorems against tables that its hashes add into memories."""

import keras
import numpy as np
import pytest
from robe_projections import memories, places, read

import keras_pss
from keras_pss.planning import theory

DRAWS = 4000
SHAPE = (24, 4)


def tables(seed=0, skew=0.7):
    """Two tables whose rows' norms fall, as trained ones' do."""
    drawn = np.random.default_rng(seed).normal(size=(2, *SHAPE))
    return drawn / np.arange(1, SHAPE[0] + 1)[:, None] ** skew


def agrees(values, expected):
    """The mean of draws is the expected one, within 4.5 standard errors."""
    error = values.std(axis=0) / np.sqrt(len(values))
    return np.all(np.abs(values.mean(axis=0) - expected) < 4.5 * error)


@pytest.mark.parametrize("block", [1, 2, 3, 4, 12])
def test_theorem_1_variance_of_a_projection(block):
    x, y = tables()
    places_ = places(SHAPE, 40, block, DRAWS)
    found = np.sum(
        memories(x, *places_, 40) * memories(y, *places_, 40), axis=1
    )
    mean = np.sum(x * y)
    assert agrees(found, mean)
    expected = theory.projection_variance(x, y, 40, block)
    assert agrees((found - mean) ** 2, expected)
    # The tolerance tells the block sizes and terms apart.
    assert not agrees((found - mean) ** 2, 1.25 * expected)


def test_theorem_1_as_a_sum_over_pairs_of_numbers():
    x, y = np.random.default_rng(0).normal(size=(2, 12))
    for block in (1, 3, 12):
        of = np.arange(12) // block
        apart = of[:, None] != of
        pairs = np.outer(x**2, y**2) + np.outer(x * y, x * y)
        expected = (pairs * apart).sum() / 20
        found = theory.projection_variance(x, y, 20, block)
        assert found == pytest.approx(expected, abs=1e-12)
        # The second form of the theorem: V_1 less that within the blocks.
        within = sum(
            theory.projection_variance(
                x[k : k + block], y[k : k + block], 20, 1
            )
            for k in range(0, 12, block)
        )
        whole = theory.projection_variance(x, y, 20, 1)
        assert found == pytest.approx(whole - within, abs=1e-12)


@pytest.mark.parametrize("block", [1, 3, 4, 8])
def test_the_error_of_rows(block):
    table, _ = tables()
    positions, signs = places(SHAPE, 40, block, DRAWS)
    rows = read(memories(table, positions, signs, 40), positions, signs)
    errors = np.sum((rows - table[:, None]) ** 2, axis=2).T
    expected = theory.row_error(table, 40, block)
    assert expected.shape == (SHAPE[0],)
    assert agrees(errors, expected)
    assert not agrees(errors, 1.15 * expected)


@pytest.mark.parametrize("block", [2, 4, 8])
@pytest.mark.parametrize("pair", [(0, 1), (0, 2), (3, 20)])
def test_theorem_2_mean_of_a_product_of_rows(block, pair):
    a, b = pair
    table = np.ones(SHAPE)
    positions, signs = places(SHAPE, 12, block, DRAWS)
    rows = read(memories(table, positions, signs, 12), positions, signs)
    found = np.sum(rows[a] * rows[b], axis=1)
    expected = theory.lookup_product_mean(table, a, b, 12, block)
    assert agrees(found, expected)
    assert (expected == 4) == (block == 8 and pair == (0, 1))


@pytest.mark.parametrize("block", [4, 8])
@pytest.mark.parametrize("skew", [0.0, 1.0])
def test_theorem_2_variance_of_a_product_of_rows(block, skew):
    table, _ = tables(skew=skew)
    positions, signs = places(SHAPE, 60, block, DRAWS)
    rows = read(memories(table, positions, signs, 60), positions, signs)
    for a, b in ((0, 2), (1, 5), (4, 23)):
        found = np.sum(rows[a] * rows[b], axis=1)
        squares = (found - found.mean()) ** 2
        expected = theory.lookup_product_variance(table, a, b, 60, block)
        error = squares.std() / np.sqrt(DRAWS)
        # Terms of 1/m, relative, are left out.
        tolerance = 4.5 * error + 6 / 60 * expected
        assert abs(squares.mean() - expected) < tolerance
        assert tolerance < 0.5 * expected


def test_theorem_2_leaves_out_the_noise_of_one_row():
    """Two rows with most of the norm: the printed bound is far too small."""
    table = np.full(SHAPE, 0.01)
    table[:2] = [[1, -1, 1, -1], [1, 1, -1, -1]]
    positions, signs = places(SHAPE, 400, 4, DRAWS)
    rows = read(memories(table, positions, signs, 400), positions, signs)
    measured = np.var(np.sum(rows[0] * rows[1], axis=1))
    assert measured > 10 * theory.lookup_product_bound(table, 0, 1, 400)
    complete = theory.lookup_product_variance(table, 0, 1, 400, 4)
    assert measured == pytest.approx(complete, rel=0.5)


def test_theorem_2_holds_for_even_rows_and_much_compression():
    table = np.random.default_rng(0).normal(size=(2000, 4))
    ratio = theory.lookup_product_variance(table, 0, 9, 40, 4)
    ratio /= theory.lookup_product_bound(table, 0, 9, 40)
    assert 1 < ratio < 1.02


def test_the_rows_of_a_layer_have_the_error():
    table = np.random.default_rng(0).normal(size=(300, 8))
    errors = []
    for seed in range(12):
        layer = keras_pss.ROBEEmbedding(
            300, 8, memory_size=240, block_size=2, sign=True, seed=seed
        )
        layer.build()
        ids = np.arange(300)
        layer.weights[0].assign(np.ones(layer.weights[0].shape))
        signs = keras.ops.convert_to_numpy(layer(ids))
        at = keras.ops.convert_to_numpy(layer.positions(ids))
        memory = np.bincount(at.ravel(), (signs * table).ravel(), 240)
        layer.weights[0].assign(memory.reshape(layer.weights[0].shape))
        rows = keras.ops.convert_to_numpy(layer(ids))
        errors.append(np.sum((rows - table) ** 2))
    expected = theory.row_error(table, 240, 2).sum()
    assert agrees(np.array(errors), expected)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("projection_variance", ([1.0], [1.0, 2.0], 4, 1), "same shape"),
        ("projection_variance", (["a"], ["b"], 4, 1), "array of numbers"),
        ("row_error", ([np.nan], 4, 1), "finite numbers.*1 others"),
        ("row_error", (np.ones((3, 4)), 8, 6), "multiple of it.*=6"),
        ("row_error", (np.ones((3, 4)), 8, 16), "at most `memory_size`"),
        ("row_error", (np.ones((3, 4)), 0, 1), "`memory_size` must be"),
        ("lookup_product_bound", (np.ones((3, 4)), 1, 1, 8), "different ids"),
        (
            "lookup_product_bound",
            (np.ones((3, 4)), 1, 3, 8),
            "`second`.*most 2",
        ),
        (
            "lookup_product_variance",
            (np.ones((3, 4)), 0, 1, 8, 2),
            "row or a mult",
        ),
        ("lookup_product_variance", (np.ones((3, 4)), 0, 1, 8, 8), "different"),
    ],
)
def test_errors_name_the_argument(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(theory, function)(*arguments)
