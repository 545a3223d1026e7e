"""Decomposed, shared and low-rank tables: published sizes, ranks, floors."""

import numpy as np
import pytest

import keras_pss

# Ids of the five largest columns of Criteo 1TB with rare values dropped, and
# of the others.
TERABYTE = [8165896, 7912889, 7156453, 5554114, 2675940]
OTHERS = [
    33823, 17139, 7339, 20046, 4, 7105, 1382, 63, 582469, 245828, 11, 2209,
    10667, 104, 4, 968, 15, 302516, 12022, 97, 35,
]  # fmt: skip


def mebibytes(tables):
    """The review rounds each table's size before it adds them."""
    return round(sum(round(4 * size / 2**20, 4) for size in tables), 4)


@pytest.mark.parametrize(
    ("tables", "rank", "terms", "size"),
    [
        (5, 8, 1, 0.7739),
        (5, 8, 2, 1.5284),
        (5, 8, 4, 3.0371),
        (5, 16, 2, 3.0566),
        (5, 16, 4, 6.0742),
        (4, 8, 1, 0.6699),
        (4, 8, 2, 1.3243),
        (4, 16, 2, 2.6484),
    ],
)
def test_fpd_has_the_sizes_of_the_review(tables, rank, terms, size):
    found = []
    for rows in TERABYTE[:tables]:
        layer = keras_pss.FPDEmbedding(rows, 128, rank=rank, terms=terms)
        found.append(sum(table.size for table in layer.tables().values()))
    assert mebibytes(found) == size


def test_the_review_counts_the_other_tables_alike():
    full = [128 * rows for rows in TERABYTE]
    others = [128 * rows for rows in OTHERS]
    assert mebibytes(full) == pytest.approx(15363.912, abs=2e-4)
    assert mebibytes(others) == 607.3469
    assert mebibytes([*others, full[4]]) == 1913.9582


def test_fpd_spends_its_budget_on_rank_and_terms():
    layer = keras_pss.FPDEmbedding.from_budget(6040, 32, "16x")
    assert layer.memory_report().compression == pytest.approx(16, rel=0.03)
    assert (layer.rank, layer.terms) == (9, 8)
    given = keras_pss.FPDEmbedding.from_budget(6040, 32, "16x", terms=2)
    assert (given.rank, given.terms) == (32, 2)
    with pytest.raises(ValueError, match="`rank` must be a positive integer"):
        keras_pss.FPDEmbedding(100, 8, rank=9)


def test_memcom_starts_as_shared_rows_and_has_a_floor():
    layer = keras_pss.MEMComEmbedding(50, 8, num_buckets=10, bias=True)
    table = layer.materialize()
    np.testing.assert_array_equal(table[:10], table[10:20])
    with pytest.raises(ValueError, match=r"at least 1032 parameters \(31x\)"):
        keras_pss.MEMComEmbedding.from_budget(1000, 32, "32x")


def test_low_rank_has_the_rank_that_fits():
    make = keras_pss.MixedDimensionEmbedding
    layer = make.from_budget(1000, 32, "16x")
    assert layer.inner_dim == 1
    assert np.linalg.matrix_rank(layer.materialize(), tol=1e-6) == 1
    assert make.from_budget(1000, 32, "1x").inner_dim == 32
    assert make.from_budget(1000, 32, "1.1x").inner_dim == 28
