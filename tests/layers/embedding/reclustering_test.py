"""What a re-clustering keeps, moves, samples and refuses."""

import sys

import keras
import numpy as np
import pytest
from clustered import (
    COLUMNS,
    IDS,
    ROWS,
    WIDTH,
    make,
    numpy_of,
    residual_buckets,
)
from keras import ops


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


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "mixed_bfloat16"])
def test_half_precision_reclusters(dtype):
    layer = make(dtype=dtype)
    layer.build()
    assert 0 <= layer.recluster() < 1
    assert np.isfinite(layer.materialize()).all()


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
