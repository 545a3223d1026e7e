"""Clustered embeddings against NumPy, before and after a re-clustering."""

import re
import sys

import keras
import numpy as np
import pytest
from keras import ops

from keras_pss.layers.embedding.clustered_embedding import ClusteredEmbedding
from keras_pss.ops import hashing
from keras_pss.ops.hash_families import pss1

ROWS, WIDTH, CLUSTERS, COLUMNS = 60, 12, 7, 4
IDS = np.random.RandomState(0).randint(0, ROWS, (40,)).astype("int32")


def make(**changes):
    arguments = {
        "input_dim": ROWS,
        "output_dim": WIDTH,
        "embeddings_initializer": keras.initializers.RandomUniform(seed=4),
        "num_clusters": CLUSTERS,
    }
    return ClusteredEmbedding(**(arguments | changes))


def numpy_of(layer):
    return {
        name: ops.convert_to_numpy(getattr(layer, f"{name}_table"))
        for name in layer.tables()
    }


def residual_buckets(layer, epoch):
    wide = np.arange(layer.input_dim) + (epoch << 32)
    chunks = range(layer.num_columns)
    return pss1.starts(wide, layer.num_clusters, layer.seed, 1, chunks)


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


def test_a_reclustering_is_what_it_says():
    """Nearest centroids, mean residuals, and the error that is returned."""
    layer = make(input_dim=500, num_clusters=20)
    before = layer.materialize()
    error = layer.recluster()
    after, tables = layer.materialize(), numpy_of(layer)
    measured = np.square(after - before).sum() / np.square(before).sum()
    assert error == pytest.approx(measured, rel=1e-4)
    assert tables["epoch"] == 1
    hashed, part = residual_buckets(layer, 1), WIDTH // COLUMNS
    for j in range(COLUMNS):
        vectors = before[:, j * part : (j + 1) * part].astype(float)
        centroids = tables["centroids"][j * 20 : (j + 1) * 20]
        pointers = tables["pointers"][:, j].astype(int)
        distance = np.square(vectors[:, None] - centroids).sum(axis=-1)
        np.testing.assert_allclose(
            distance[np.arange(500), pointers], distance.min(axis=1), atol=1e-9
        )
        residual = vectors - centroids[pointers]
        for bucket in range(20):
            inside = hashed[:, j] == bucket
            mean = residual[inside].mean(axis=0) if inside.any() else 0
            np.testing.assert_allclose(
                tables["residuals"][j * 20 + bucket], mean, atol=1e-7
            )


def test_vectors_that_were_equal_keep_equal_centroids():
    layer = make(input_dim=800, num_clusters=6)
    layer.build()
    old, hashed = numpy_of(layer)["pointers"], residual_buckets(layer, 0)
    layer.recluster()
    new = numpy_of(layer)["pointers"]
    for j in range(COLUMNS):
        pair = old[:, j].astype(int) * 6 + hashed[:, j]
        for value in np.unique(pair):
            assert len(np.unique(new[pair == value, j])) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"num_clusters": ROWS},
        # Three rows a table give no more than nine vectors a column.
        {"num_clusters": 9, "few": True},
        {"embeddings_initializer": "zeros"},
        {"embeddings_initializer": "zeros", "num_clusters": 1},
    ],
    ids=str,
)
def test_nothing_is_lost_where_there_are_clusters_enough(changes):
    few = changes.pop("few", False)
    layer = make(**changes)
    layer.build()
    if few:
        for name in ("centroids", "residuals"):
            table = getattr(layer, f"{name}_table")
            values = ops.convert_to_numpy(table).reshape(COLUMNS, 9, -1)
            table.assign(np.tile(values[:, :3], (1, 3, 1)).reshape(36, -1))
    before = layer.materialize()
    assert layer.recluster() == 0
    np.testing.assert_array_equal(layer.materialize(), before)
    # Neither has the second one anything to mend.
    assert layer.recluster() == 0


def test_empty_buckets_are_zero():
    layer = make(input_dim=30, num_clusters=25, num_columns=2)
    layer.recluster()
    hashed, tables = residual_buckets(layer, 1), numpy_of(layer)
    empty = set(range(25)) - set(hashed[:, 1].tolist())
    assert empty
    for bucket in empty:
        assert not tables["residuals"][25 + bucket].any()
    assert all(np.isfinite(table).all() for table in tables.values())


def test_frequent_ids_keep_more_of_what_they_learned():
    counts = 10_000 / (1 + np.arange(400.0))
    counts[350:] = 0
    errors = []
    for weights in (None, counts):
        layer = make(input_dim=400, num_clusters=20)
        before = layer.materialize()
        found = layer.recluster(weights)
        squares = np.square(layer.materialize() - before).sum(axis=1)
        errors.append(counts @ squares / (counts @ np.square(before).sum(1)))
        if weights is not None:
            assert found == pytest.approx(errors[-1], rel=1e-4)
    assert errors[1] < 0.6 * errors[0]


@pytest.mark.parametrize("weighted", [False, True])
def test_a_sample_places_all_ids(weighted):
    counts = 1.0 + np.arange(2000) % 7 if weighted else None
    layers = [make(input_dim=2000, num_clusters=10) for _ in range(3)]
    errors = [
        layer.recluster(counts, samples_per_cluster=size, seed=seed)
        for layer, size, seed in zip(
            layers, (5, 5, 500), (1, 1, 0), strict=True
        )
    ]
    assert errors[0] == errors[1]
    tables = [numpy_of(layer)["pointers"] for layer in layers]
    np.testing.assert_array_equal(tables[0], tables[1])
    assert errors[2] < errors[0] < 1.5 * errors[2]
    for j in range(COLUMNS):
        assert len(np.unique(tables[0][:, j])) == 10


def compiled(layer):
    """The layer as this backend compiles it: traced once, weights inside."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        signature = [tf.TensorSpec((None,), "int32")]
        return [
            tf.function(layer, input_signature=signature, jit_compile=jit)
            for jit in (False, True)
        ]
    if backend == "jax":
        import jax

        traced = jax.jit(lambda *state: layer.stateless_call(*state)[0])
        return [
            lambda ids: traced(
                [w.value for w in layer.trainable_variables],
                [w.value for w in layer.non_trainable_variables],
                ids,
            )
        ]
    return [layer]


def test_compiled_code_follows_a_reclustering():
    layer = make()
    layer.build()
    functions = compiled(layer)
    model = keras.Sequential([keras.Input((), dtype="int32"), layer])
    model.compile("sgd", "mse")
    functions += [lambda ids: model.predict(ids, verbose=0)]
    for _ in range(3):
        table = layer.materialize()
        for function in functions:
            rows = ops.convert_to_numpy(function(IDS))
            np.testing.assert_allclose(rows, table[IDS], rtol=1e-6)
        layer.recluster()


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


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "mixed_bfloat16"])
def test_half_precision_reclusters(dtype):
    layer = make(dtype=dtype)
    layer.build()
    assert 0 <= layer.recluster() < 1
    assert np.isfinite(layer.materialize()).all()


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


def test_reclustering_refuses_what_it_cannot_do(monkeypatch):
    layer = make()
    for counts in (
        np.ones(59),
        -np.ones(60),
        np.zeros(60),
        np.full(60, np.inf),
    ):
        with pytest.raises(ValueError, match=r"`counts` must be.*\(60,\)"):
            layer.recluster(counts)
    with pytest.raises(ValueError, match="`samples_per_cluster` must be"):
        layer.recluster(samples_per_cluster=0)
    table = ops.convert_to_numpy(layer.residuals_table).copy()
    layer.residuals_table.assign(table * np.nan)
    with pytest.raises(ValueError, match=r"not finite.*lower learning"):
        layer.recluster()
    layer.residuals_table.assign(table)
    with monkeypatch.context() as patch:
        loaded = [name for name in sys.modules if name.startswith("sklearn.")]
        for name in ["sklearn", *loaded]:
            patch.setitem(sys.modules, name, None)
        with pytest.raises(ImportError, match="`pip install scikit-learn`"):
            layer.recluster()
    np.testing.assert_array_equal(numpy_of(layer)["epoch"], 0)
    layer.quantize("int8")
    with pytest.raises(ValueError, match=r"packed.*before `quantize`.*'int8'"):
        layer.recluster()
