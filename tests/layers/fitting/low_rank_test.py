"""Fits by singular value decompositions, against NumPy's."""

import math

import numpy as np
import pytest
from fitting import relative, trained_table

import keras_pss

N, D = 60, 12
TABLE, COUNTS = trained_table(N, D)

# The algorithms are in NumPy; the contract fits every method on each backend.
pytestmark = pytest.mark.tf_only


def truncated(matrix, rank):
    """The nearest matrix of a rank."""
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    return left[:, :rank] * values[:rank] @ right[:rank]


def shared(table, counts, kept):
    """The rows that a layer should have, where other ids read that of id 0."""
    weights = np.ones(len(table)) if counts is None else counts
    others = [i for i in range(len(table)) if i not in kept or i == 0]
    rows = table.astype(np.float64).copy()
    rows[others] = np.average(table[others], axis=0, weights=weights[others])
    return rows


def test_one_width_is_the_nearest_table_of_that_rank():
    layer = keras_pss.MixedDimensionEmbedding(N, D, inner_dim=3)
    report = layer.fit_table(TABLE, COUNTS)
    np.testing.assert_allclose(
        layer.materialize(), truncated(TABLE, 3), atol=1e-5
    )
    values = np.linalg.svd(TABLE, compute_uv=False)
    lost = np.linalg.norm(values[3:]) / np.linalg.norm(values)
    assert report.relative_error == pytest.approx(lost, 1e-4)
    matrix = layer.get_weights()[1]
    np.testing.assert_allclose(matrix @ matrix.T, 4 * np.eye(3), atol=1e-5)
    wide = keras_pss.MixedDimensionEmbedding(N, D, inner_dim=D)
    assert wide.fit_table(TABLE).relative_error == 0


@pytest.mark.parametrize("counts", [None, COUNTS], ids=["plain", "counts"])
def test_blocks_and_a_row_for_all_others(counts):
    layer = keras_pss.MixedDimensionEmbedding(
        N, D, inner_dim=(D, 3, 1), num_rows=(5, 9, 11)
    )
    layer.fit_table(TABLE, counts)
    best = shared(TABLE, counts, range(25))
    for first, end, rank in (5, 14, 3), (14, 25, 1):
        best[first:end] = truncated(TABLE[first:end], rank)
    np.testing.assert_allclose(layer.materialize(), best, atol=1e-5)


def test_tensor_train_finds_the_train_that_a_table_is():
    for gauge in "balanced", "last_core":
        layer = keras_pss.TTEmbedding(60, D, rank=3, gauge=gauge)
        source = keras_pss.TTEmbedding(60, D, rank=3, gauge=gauge)
        report = layer.fit_table(source.materialize())
        assert report.relative_error < 1e-5
        sizes = [np.sqrt(np.mean(w**2)) for w in layer.get_weights()]
        if gauge == "balanced":
            np.testing.assert_allclose(sizes, sizes[0], rtol=1e-5)
        else:
            np.testing.assert_allclose(sizes[:2], 1 / math.sqrt(3), rtol=1e-5)


def dense_tt_svd(table, rows, columns, ranks):
    """TT-SVD of a table as a dense tensor, by full decompositions."""
    padded = np.zeros((math.prod(rows), table.shape[1]))
    padded[: len(table)] = table
    count = len(rows)
    order = [
        k
        for pair in zip(range(count), range(count, 2 * count), strict=True)
        for k in pair
    ]
    rest = padded.reshape(*rows, *columns).transpose(order)
    train, left = np.ones((1, 1)), 1
    for p, q, rank in zip(rows[:-1], columns[:-1], ranks, strict=True):
        u, values, v = np.linalg.svd(rest.reshape(left * p * q, -1), False)
        u, rest = u[:, :rank], values[:rank, None] * v[:rank]
        train = (train @ u.reshape(left, -1)).reshape(-1, rank)
        left = rank
    whole = (train @ rest.reshape(left, -1)).reshape(
        [s for p, q in zip(rows, columns, strict=True) for s in (p, q)]
    )
    back = [*range(0, 2 * count, 2), *range(1, 2 * count, 2)]
    return whole.transpose(back).reshape(padded.shape)[: len(table)]


@pytest.mark.parametrize(
    ("rows", "arguments"),
    [
        (60, {"rank": 3}),
        (53, {"rank": 3}),
        (53, {"rank": (2, 3, 2), "row_shape": (2, 3, 3, 4), "num_cores": 4}),
        (60, {"rank": 5, "num_cores": 2}),
    ],
)
def test_tensor_train_errs_as_the_dense_algorithm(rows, arguments):
    table, _ = trained_table(rows, D)
    layer = keras_pss.TTEmbedding(rows, D, **arguments)
    layer.fit_table(table)
    ranks = [core[3] for core in layer._cores[:-1]]
    best = dense_tt_svd(table, layer.row_shape, layer.column_shape, ranks)
    np.testing.assert_allclose(layer.materialize(), best, atol=2e-5)


def test_long_sides_are_decomposed_by_subspace_iteration(monkeypatch):
    from keras_pss.ops.fitting import tensor_train
    from keras_pss.ops.fitting import truncated as large

    layer = keras_pss.TTEmbedding(60, D, rank=3)
    expected = layer.fit_table(TABLE).relative_error
    monkeypatch.setattr(tensor_train, "_LARGEST", 2)
    monkeypatch.setattr(large, "_LARGEST", 2)
    found = layer.fit_table(TABLE).relative_error
    assert found == pytest.approx(expected, 1e-3)


def test_a_ring_is_refused_and_names_the_train():
    layer = keras_pss.TensorRingEmbedding(N, D, rank=2)
    with pytest.raises(NotImplementedError, match=r"keras_pss\.TTEmbed"):
        layer.fit_table(TABLE)


def test_fpd_decomposes_the_directions_then_each_coordinate():
    layer = keras_pss.FPDEmbedding(N, D, rank=3, terms=2)
    layer.fit_table(TABLE)
    right = np.linalg.svd(TABLE)[2][:3]
    padded = np.zeros((64, D))
    padded[:N] = TABLE
    latent = [
        truncated(c.reshape(8, 8), 2).reshape(-1) for c in (padded @ right.T).T
    ]
    best = (np.stack(latent, axis=1) @ right)[:N]
    np.testing.assert_allclose(layer.materialize(), best, atol=1e-5)
    _, second, matrix = layer.get_weights()
    assert np.mean(second**2) == pytest.approx(1 / 2, 1e-4)
    np.testing.assert_allclose(matrix @ matrix.T, 4 * np.eye(3), atol=1e-5)


@pytest.mark.parametrize(
    ("storage", "bound"), [("int8", 0.5 / 127), ("int4", 0.5 / 7)]
)
def test_rounding_moves_a_number_by_half_a_step(storage, bound):
    layer = keras_pss.QuantizedEmbedding(N, D, storage=storage)
    layer.fit_table(TABLE)
    peak = np.abs(TABLE).max(axis=1, keepdims=True)
    error = np.abs(layer.materialize() - TABLE)
    assert (error <= 1.001 * bound * peak).all()
    before = layer.materialize()
    layer.quantize("int8")
    np.testing.assert_allclose(layer.materialize(), before, rtol=1e-6)


def test_deep_hash_fits_its_last_layer():
    layer = keras_pss.DeepHashEmbedding(N, D, hidden_units=(8, 6), num_hashes=5)
    report = layer.fit_table(TABLE, COUNTS + 1)
    hidden = np.asarray(layer._features(np.arange(N)), np.float64)
    design = np.concatenate([hidden, np.ones((N, 1))], axis=1)
    root = np.sqrt(COUNTS + 1)[:, None]
    best, *_ = np.linalg.lstsq(design * root, TABLE * root, rcond=None)
    assert report.weighted_relative_error == pytest.approx(
        relative(TABLE, design @ best, COUNTS + 1), 1e-4
    )


def test_centroids_of_few_distinct_parts_are_exact():
    random = np.random.default_rng(0)
    parts = random.normal(size=(7, 3)).astype(np.float32)
    table = parts[random.integers(0, 7, (N, 4))].reshape(N, D)
    layer = keras_pss.ClusteredEmbedding(N, D, num_clusters=7)
    assert layer.fit_table(table).relative_error < 1e-6
    assert not np.asarray(layer.residuals_table).any()


def test_centroids_are_as_good_as_those_of_scikit_learn():
    cluster = pytest.importorskip("sklearn.cluster")
    table, counts = trained_table(500, 4)
    layer = keras_pss.ClusteredEmbedding(500, 4, num_clusters=20, num_columns=2)
    report = layer.fit_table(table, counts)
    assert not np.asarray(layer.residuals_table).any()
    best = np.concatenate(
        [
            (
                means := cluster.KMeans(20, n_init=3, random_state=0).fit(
                    part, sample_weight=counts
                )
            ).cluster_centers_[means.labels_]
            for part in np.split(table, 2, axis=1)
        ],
        axis=1,
    )
    limit = relative(table, best, counts)
    assert report.weighted_relative_error < 1.15 * limit
    plain = layer.fit_table(table)
    assert plain.relative_error < report.relative_error
