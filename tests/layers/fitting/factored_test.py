"""Fits of methods whose rows are products or sums of factors."""

import numpy as np
import pytest
from fitting import least_squares, relative, trained_table

import keras_pss

D = 6

# The algorithms are in NumPy; the contract fits every method on each backend.
pytestmark = pytest.mark.tf_only


def rank_one(matrix):
    """The best rank-one approximation of a matrix."""
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    return values[0] * np.outer(left[:, 0], right[0])


@pytest.mark.parametrize("buckets", [12, 4])
def test_qr_products_are_the_best_rank_one_of_each_column(buckets):
    table, counts = trained_table(48, D)
    layer = keras_pss.QREmbedding(48, D, num_buckets=buckets)
    report = layer.fit_table(table)
    best = np.stack(
        [rank_one(c.reshape(-1, buckets)).reshape(-1) for c in table.T], axis=1
    )
    assert report.relative_error == pytest.approx(relative(table, best), 1e-4)
    unweighted = relative(table, layer.materialize(), counts)
    report = layer.fit_table(table, counts)
    assert report.weighted_relative_error < unweighted


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_buckets": 7, "operation": "add"},
        {"num_buckets": 7, "operation": "concat"},
        {"num_buckets": (3, 4), "operation": "add"},
    ],
    ids=["add", "concat", "three"],
)
def test_qr_sums_and_parts_are_least_squares(arguments):
    table, counts = trained_table(45, D)
    layer = keras_pss.QREmbedding(45, D, **arguments)
    found = layer.fit_table(table, counts + 1)
    rows, best = layer.materialize(), 0.0
    weights = counts + 1
    # All tables at once: the design matrix of each beside the others.
    names = layer.tables()
    design, root = [], np.sqrt(np.repeat(weights, D))
    for weight in layer.weights:
        weight.assign(np.zeros(weight.shape))
    for name in names:
        weight = getattr(layer, f"{name}_table")
        for k in range(int(np.prod(weight.shape))):
            unit = np.zeros(weight.shape, np.float32)
            unit.flat[k] = 1
            weight.assign(unit)
            design.append(layer.materialize().reshape(-1))
        weight.assign(np.zeros(weight.shape))
    matrix = np.stack(design, axis=1).astype(np.float64)
    solution, *_ = np.linalg.lstsq(
        matrix * root[:, None], table.reshape(-1) * root, rcond=None
    )
    best = (matrix @ solution).reshape(table.shape)
    np.testing.assert_allclose(rows, best, atol=1e-4)
    assert found.weighted_relative_error == pytest.approx(
        relative(table, best, counts + 1), 1e-5
    )


def test_qr_products_of_a_product_are_exact():
    random = np.random.default_rng(2)
    layer = keras_pss.QREmbedding(53, D, num_buckets=(3, 4))
    layer.build()
    for weight in layer.weights:
        weight.assign(random.normal(size=weight.shape))
    table = layer.materialize()
    other = keras_pss.QREmbedding(53, D, num_buckets=(3, 4))
    # Alternating least squares may stop before a solution that is exact.
    assert other.fit_table(table).relative_error < 0.1


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_memcom_is_the_best_rank_one_of_each_bucket(weighted, bias):
    table, counts = trained_table(53, D)
    counts = counts + 1 if weighted else np.ones(53)
    layer = keras_pss.MEMComEmbedding(53, D, num_buckets=7, bias=bias)
    layer.fit_table(table, counts if weighted else None)
    rows, best = layer.materialize(), np.zeros_like(table)
    for bucket in range(7):
        own = table[bucket::7]
        mean = own.mean(axis=1, keepdims=True) * bias
        root = np.sqrt(counts[bucket::7])[:, None]
        # The rows of the factor of rank one keep their free scale.
        pair = rank_one((own - mean) * root)
        best[bucket::7] = pair / root + mean
    np.testing.assert_allclose(rows, best, atol=1e-5)
    scale = np.asarray(layer.get_weights()[1])[::7, 0]
    assert np.average(scale**2, weights=counts[::7]) == pytest.approx(1, 1e-4)


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (keras_pss.SketchEmbedding(60, D, num_buckets=17), "buckets"),
        (
            keras_pss.HashedEmbedding(60, D, num_buckets=17, num_hashes=3),
            "buckets",
        ),
    ],
)
def test_sums_of_hashed_rows_are_least_squares(layer, name):
    table, counts = trained_table(60, D)
    report = layer.fit_table(table, counts + 1)
    best = least_squares(layer, name, table, counts + 1)
    assert report.weighted_relative_error == pytest.approx(
        relative(table, best, counts + 1), 1e-6
    )


def test_importance_weights_improve_on_plain_sums():
    table, counts = trained_table(60, D)
    arguments = {"num_buckets": 9, "num_hashes": 2}
    plain = keras_pss.HashedEmbedding(60, D, **arguments)
    learned = keras_pss.HashedEmbedding(60, D, weighted=True, **arguments)
    own = plain.fit_table(table, counts).weighted_relative_error
    assert learned.fit_table(table, counts).weighted_relative_error < 0.8 * own


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras_pss.TTEmbedding(1000, 12, rank=5),
        lambda: keras_pss.TTEmbedding(1000, 12, rank=5, num_cores=2),
        lambda: keras_pss.TTEmbedding(1000, 12, rank=3, num_cores=4),
        lambda: keras_pss.TensorRingEmbedding(1000, 12, rank=3),
    ],
    ids=["3 cores", "2 cores", "4 cores", "ring"],
)
@pytest.mark.parametrize(
    "ids", [np.arange(395, 612), np.array([7, 912, 41])], ids=["block", "few"]
)
def test_rows_of_a_block_of_ids_are_those_of_a_lookup(make, ids):
    layer = make()
    layer.build()
    (rows,) = layer.rows_at([ids.astype(np.int32)])
    np.testing.assert_allclose(rows, layer(ids), rtol=1e-4, atol=1e-6)


def test_products_of_ids_without_counts_are_no_larger_than_the_table():
    table, _ = trained_table(60, D)
    counts = np.zeros(60)
    counts[::7] = 50  # of most buckets one id
    layer = keras_pss.QREmbedding(60, D, num_buckets=8)
    report = layer.fit_table(table, counts)
    assert np.abs(layer.materialize()).max() < np.abs(table).max()
    assert report.relative_error < 1
