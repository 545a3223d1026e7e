"""Clustered embeddings against NumPy: rows, saved copies, sizes, errors."""

import re

import keras
import numpy as np
import pytest
from clustered import IDS, make, numpy_of, residual_buckets
from keras import ops

from keras_pss.layers.embedding.clustered_embedding import ClusteredEmbedding
from keras_pss.ops import hashing
from keras_pss.ops.hash_families import pss1


def formula(layer):
    """The class's equation, column by column."""
    tables = numpy_of(layer)
    k, epoch = layer.num_clusters, int(tables["epoch"][0, 0])
    hashed = residual_buckets(layer, epoch)
    pointers = tables["pointers"].astype(int)
    return np.concatenate(
        [
            tables["centroids"][j * k + pointers[:, j]]
            + tables["residuals"][j * k + hashed[:, j]]
            for j in range(layer.num_columns)
        ],
        axis=1,
    )


@pytest.mark.parametrize("columns", [1, 3, 4, 12])
def test_rows_are_the_formulas_in_every_epoch(columns):
    layer = make(num_columns=columns, seed=2)
    for _ in range(3):
        np.testing.assert_array_equal(layer.materialize(), formula(layer))
        layer.recluster()


def test_the_residuals_hash_is_pss1_of_a_wide_id():
    """On every backend, also those without 64-bit integers."""
    ids = np.array([0, 1, 59, 2**31 - 1], "int32")
    for epoch in (0, 1, 77, 2**31 - 1):
        found = hashing.starts(
            ops.convert_to_tensor(ids),
            1000,
            seed=3,
            table=1,
            chunks=4,
            high=ops.convert_to_tensor(np.array([epoch], "int32")),
        )
        wide = (np.int64(epoch) << 32) + ids
        expected = pss1.starts(wide, 1000, 3, 1, range(4))
        np.testing.assert_array_equal(ops.convert_to_numpy(found), expected)


def test_collisions_of_columns_epochs_and_tables_are_independent():
    layer = make(input_dim=3000, num_clusters=50)
    layer.build()
    first = residual_buckets(layer, 0)
    others = [first[:, 1], residual_buckets(layer, 1)[:, 0]]
    others += [residual_buckets(layer, 2)[:, 0]]
    others += [numpy_of(layer)["pointers"][:, 0]]
    upper = np.triu_indices(3000, 1)
    together = (first[:, 0][:, None] == first[:, 0])[upper]
    assert together.mean() == pytest.approx(1 / 50, rel=0.05)
    for other in others:
        again = (other[:, None] == other)[upper]
        assert again[together].mean() == pytest.approx(1 / 50, rel=0.1)


def test_saved_copies_go_on_from_their_epoch(tmp_path):
    layer = make()
    model = keras.Sequential([keras.Input((), dtype="int32"), layer])
    layer.recluster()
    layer.recluster()
    expected = model.predict(IDS, verbose=0)
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(copy.predict(IDS, verbose=0), expected)
    assert copy.layers[-1].recluster() == layer.recluster()
    found, wanted = numpy_of(copy.layers[-1]), numpy_of(layer)
    assert wanted["epoch"] == 3
    for name, table in wanted.items():
        np.testing.assert_array_equal(found[name], table)


@pytest.mark.tf_only
def test_saved_models_hold_the_pointers(tmp_path):
    import tensorflow as tf

    layer = make()
    inputs = keras.Input((), dtype="int32")
    model = keras.Model(inputs, layer(inputs))
    layer.recluster()
    for name in ("floats", "int8"):
        if name == "int8":
            layer.quantize("int8")
        model.export(tmp_path / name, verbose=False)
        loaded = tf.saved_model.load(str(tmp_path / name))
        np.testing.assert_allclose(
            loaded.serve(IDS).numpy(), layer.materialize()[IDS], rtol=1e-6
        )


def test_sizes_are_told():
    layer = ClusteredEmbedding(1000, 16, num_clusters=30)
    layer.build()
    report = layer.memory_report()
    assert report.parameters == 2 * 30 * 16
    assert layer.budget_size() == 960 + 8004 // 4
    assert report.index_bytes == 1000 * 4 * 2 + 4
    assert report.serving_bytes == 4 * 960 + report.index_bytes
    assert report.lookup_bytes == 2 * 16 * 4 + 4 * 2
    assert report.lookup_flops == 16
    assert layer.pointers_table.dtype == "uint16"
    assert len(layer.trainable_weights) == 2
    largest = ClusteredEmbedding(70_000, 4, num_clusters=65_536)
    largest.build()
    assert numpy_of(largest)["pointers"].max() > 65_500
    np.testing.assert_array_equal(largest.materialize(), formula(largest))


def test_budgets():
    def clusters(*arguments, **options):
        found = ClusteredEmbedding.from_budget(*arguments, **options)
        return found.num_clusters

    # Four columns of 16 bits for each id, and the epoch.
    index = 8004 // 4
    assert ClusteredEmbedding.smallest_size(1000, 16) == 32 + index
    assert clusters(1000, 16, "4x") == (4000 - index) // 32
    assert clusters(1000, 16, 5663, num_columns=8) == (5663 - 4001) // 32
    assert clusters(100, 16, 10**6) == 100
    assert clusters(10**6, 16, 10**9) == 65_536
    said = "at least 2033 parameters (7.87x), 2001 of them index tables,"
    for budget in (2032, "8x", "8KB"):
        with pytest.raises(ValueError, match=re.escape(said)):
            clusters(1000, 16, budget)
    assert clusters(1000, 16, "7.87x") == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_clusters": 0}, "`num_clusters` must be a positive integer"),
        ({"num_clusters": 61}, "of at most 60"),
        ({"num_columns": 5}, "must divide `output_dim`.*as 1. Received"),
        ({"num_columns": 8}, "must divide `output_dim`.*as 4. Received"),
        ({"num_columns": 0}, "`num_columns` must be a positive integer"),
        ({"seed": -1}, "`seed` must be 0 or a pos"),
    ],
)
def test_errors_name_the_fix(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)
