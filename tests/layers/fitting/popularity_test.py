"""Fits of rows by popularity: which ids, what the others share, and bands."""

import numpy as np
import pytest
from fitting import least_squares, relative, trained_table
from keras import ops

import keras_pss

N, D = 60, 6
TABLE, COUNTS = trained_table(N, D)

# The algorithms are in NumPy; the contract fits every method on each backend.
pytestmark = pytest.mark.tf_only


def projected(rows, rank, like=None):
    """Rows on the first directions of themselves, or of others."""
    right = np.linalg.svd(rows if like is None else like)[2][:rank]
    return rows @ right.T @ right


def shared_by_rare(table, counts, kept):
    """Rows of the kept ids, where id 0 has what all rare ids read."""
    rare = [0, *(i for i in range(len(table)) if i not in kept)]
    weights = np.ones(len(rare)) if counts is None else counts[rare]
    rows = np.array(table, np.float64)
    rows[rare] = np.average(table[rare], axis=0, weights=weights)
    return rows


@pytest.mark.parametrize(
    "counts",
    [None, COUNTS, COUNTS * (np.arange(N) < 25) * (np.arange(N) > 0)],
    ids=["plain", "counts", "unseen"],
)
def test_bands_and_the_row_of_rare_ids(counts):
    layer = keras_pss.PopularityEmbedding(
        N, D, num_rows=(5, 9, 11), inner_dim=(D, 3, 1)
    )
    layer.fit_table(TABLE, counts)
    if counts is not None and not counts[25:].any():  # none of them occurs
        counts = counts + 1e-6 * counts.mean()
    best = shared_by_rare(TABLE, counts, range(25))
    best[5:14] = projected(best[5:14], 3)
    best[14:25] = projected(best[14:25], 1)
    np.testing.assert_allclose(layer.materialize(), best, atol=1e-5)


def test_an_index_keeps_its_ids_or_takes_those_of_counts():
    order = np.random.default_rng(0).permutation(np.arange(1, N))
    counts = np.zeros(N)
    counts[order] = np.arange(N - 1, 0, -1)
    given = keras_pss.PopularityEmbedding(
        N, D, num_rows=(4, 5), inner_dim=(5, 2), ids=np.arange(1, 9)
    )
    given.fit_table(TABLE, counts)
    best = shared_by_rare(TABLE, counts, range(9))
    best[0:4] = projected(best[0:4], 5)
    best[4:9] = projected(best[4:9], 2)
    best[9:] = best[0]
    np.testing.assert_allclose(given.materialize(), best, atol=1e-5)
    # Without ids, the counts choose them.
    chosen = keras_pss.PopularityEmbedding(
        N, D, num_rows=(4, 5), inner_dim=(5, 2), ids=True
    )
    chosen.fit_table(TABLE, counts)
    first, second = [0, *np.sort(order[:3])], np.sort(order[3:8])
    best = shared_by_rare(TABLE, counts, [*first, *second])
    best[first] = projected(best[first], 5)
    best[second] = projected(best[second], 2)
    rare = [i for i in range(1, N) if i not in order[:8]]
    best[rare] = best[0]
    np.testing.assert_allclose(chosen.materialize(), best, atol=1e-5)


def test_hashed_and_robe_tails_are_fitted_to_the_rare_ids():
    hashed = keras_pss.PopularityEmbedding(
        N, D, num_rows=8, inner_dim=D, tail="hash", buckets=7
    )
    report = hashed.fit_table(TABLE, COUNTS + 1)
    best = least_squares(hashed, "rows", TABLE, COUNTS + 1)
    assert report.weighted_relative_error == pytest.approx(
        relative(TABLE, best, COUNTS + 1), 1e-5
    )
    robe = keras_pss.PopularityEmbedding(
        N, D, num_rows=20, inner_dim=3, tail="robe", memory_size=31
    )
    robe.fit_table(TABLE, COUNTS + 1)
    rows = robe.materialize()
    np.testing.assert_allclose(rows[:20], projected(TABLE[:20], 3), atol=1e-5)
    best = least_squares(
        robe, "memory", TABLE[20:], COUNTS[20:] + 1, np.arange(20, N)
    )
    np.testing.assert_allclose(rows[20:], best, atol=1e-5)


@pytest.mark.parametrize(("storage", "limit"), [("int8", 0.02), ("int4", 0.3)])
def test_a_stored_grid_suits_all_columns(storage, limit):
    table = TABLE * np.r_[10.0, np.ones(D - 1)].astype("float32")
    layers = [
        keras_pss.PopularityEmbedding(
            N, D, num_rows=N, inner_dim=4, storage=each
        )
        for each in ("float32", storage)
    ]
    errors = [layer.fit_table(table).relative_error for layer in layers]
    assert errors[1] ** 2 - errors[0] ** 2 < limit**2
    before = layers[1].materialize()
    layers[1].quantize("int8")
    np.testing.assert_allclose(layers[1].materialize(), before, atol=1e-5)


def group_of(cls, tables, **arguments):
    return cls([len(t) for t in tables], D, **arguments)


def test_tables_of_a_group_share_the_matrix_and_the_tail():
    tables = [TABLE, trained_table(30, D, seed=1)[0]]
    counts = [COUNTS, COUNTS[:30]]
    layer = keras_pss.EmbeddingCollection(
        [N, 30],
        D,
        method="popularity",
        budget=None,
        options={"num_rows": [20, 10], "inner_dim": 3},
    )
    report = layer.fit_tables(tables, counts)
    best = [
        shared_by_rare(tables[0], counts[0], range(20)),
        shared_by_rare(tables[1], counts[1], range(10)),
    ]
    like = np.concatenate([best[0][:20], best[1][:10]])
    best = [projected(each, 3, like) for each in best]
    ids = np.stack([np.arange(N), np.arange(N) % 30], axis=1)
    rows = ops.convert_to_numpy(layer(ids))
    np.testing.assert_allclose(rows[:, 0], best[0], atol=1e-5)
    np.testing.assert_allclose(rows[:30, 1], best[1], atol=1e-5)
    assert report.weighted_relative_error == pytest.approx(
        relative(
            np.concatenate(tables),
            np.concatenate(best),
            np.concatenate(counts),
        ),
        1e-4,
    )
