"""Collections with named tables against dense tables in NumPy."""

import keras
import named_tables
import numpy as np
import pytest
from gradients import weight_gradients
from keras import ops
from named_tables import ROWS, SIZE, batch, by_name, expected, make

import keras_pss
from keras_pss.layers.composite.named_collection import NamedCollection

CASES = [
    ("full", "1x", {}),
    ("robe", "20x", {}),
    ("robe", "20x", {"sign": True, "block_size": 4, "seed": 5}),
    ("hash", "20x", {"num_hashes": 2, "weighted": True}),
    ("qr", "8x", {"operation": "add"}),
    ("tt", "20x", {"gauge": "last_core"}),
    ("fpd", "20x", {}),
    ("mixed_dimension", "3x", {}),
    ("memcom", "3x", {}),
    ("sketch", "20x", {"num_nonzeros": 2}),
    ("clustered", "3x", {"num_columns": 2}),
    ("quantized", "2x", {"storage": "int8"}),
]
KINDS = [c for c in CASES if c[0] in ("robe", "mixed_dimension", "hash")]
every_row = pytest.mark.parametrize(
    ("method", "budget", "options"),
    CASES if keras.backend.backend() == "tensorflow" else KINDS,
    ids=lambda v: str(v),
)


def vectors_of(collection, packed):
    """The result by name, whatever its form."""
    found = collection(packed)
    if not isinstance(found, dict):
        found = dict(
            zip(
                collection.features,
                ops.unstack(found, axis=1),
                strict=True,
            )
        )
    return {name: ops.convert_to_numpy(x) for name, x in found.items()}


def assert_equal(collection, packed):
    wanted = expected(collection, packed)
    found = vectors_of(collection, packed)
    assert list(found) == list(wanted) == list(collection.features)
    for name, vectors in found.items():
        np.testing.assert_allclose(
            vectors, wanted[name], rtol=2e-5, atol=1e-6, err_msg=name
        )


@every_row
def test_each_feature_is_pooled_rows_of_its_table(method, budget, options):
    collection = make(method, budget, options=options)
    assert isinstance(collection, keras_pss.EmbeddingCollection)
    assert collection(batch()).shape == (SIZE, 7, 8)
    assert_equal(collection, batch())


@every_row
def test_tables_of_several_widths(method, budget, options):
    collection = make(method, budget, (None, 4, 6), options=options)
    found = collection(batch())
    assert {name: x.shape[1] for name, x in found.items()} == {
        "viewed": 4,
        "user": 8,
        "genres": 6,
        "item": 4,
        "liked": 4,
        "main_genre": 6,
        "tags": 8,
    }
    assert_equal(collection, batch())


def several_methods(**kwargs):
    return keras_pss.EmbeddingCollection(
        {
            "user": keras_pss.TableConfig(900, method="full"),
            "item": keras_pss.TableConfig(5000, 4, options={"seed": 3}),
            "genre": keras_pss.TableConfig(7, 8, "hash", {"num_hashes": 1}),
        },
        8,
        "robe",
        10_000,
        features=named_tables.features(),
        **kwargs,
    )


def test_tables_of_several_methods():
    collection = several_methods()
    assert_equal(collection, batch())
    assert collection._allocation.full == (0, 2)
    collection.build()
    assert collection.count_params() == 10_000


def test_names_and_packed_columns_are_the_same_inputs():
    collection = make()
    named = by_name(batch())
    others = {
        "user": named["user"][:, None].astype("int64"),
        "item": named["item"].astype("float32"),
    }
    shuffled = dict(sorted((named | others).items()))
    wanted = ops.convert_to_numpy(collection(batch()))
    for inputs in (named, named | others, shuffled):
        found = ops.convert_to_numpy(collection(inputs))
        np.testing.assert_array_equal(found, wanted)


def test_features_are_one_for_each_table_by_default():
    collection = keras_pss.EmbeddingCollection(
        {"b": 5, "a": keras_pss.TableConfig(7)}, 4, "full"
    )
    assert list(collection.features) == ["b", "a"]
    assert collection({"a": np.arange(5), "b": np.arange(5)}).shape == (5, 2, 4)
    assert collection.inputs() == {"categorical": (2, "int32")}


@pytest.mark.parametrize("method", ["full", "robe"])
def test_all_features_of_a_fused_part_are_one_gather(method):
    collection = make(method, "20x", min_rows=0)
    (part,) = collection.lookups
    assert len(part.columns) == 3 + 5 + 4 + 3 + 2
    seen = []
    call = part.call
    part.call = lambda ids: seen.append(ids.shape) or call(ids)
    collection(batch())
    assert seen == [(SIZE, 17)]


def table_gradients(collection, packed, upstream):
    """The gradient of each dense table, one bag after the other."""
    tables = named_tables.tables_of(collection)
    found = {name: np.zeros(rows.shape) for name, rows in tables.items()}
    named = by_name(packed)
    for place, (name, feature) in enumerate(collection.features.items()):
        bags = np.reshape(named[name], (SIZE, -1))
        given = named.get(f"{name}_weights", np.ones(bags.shape))
        for bag, weights, up in zip(
            bags, given, upstream[:, place], strict=True
        ):
            ids, w = bag[bag != -1], weights[bag != -1]
            rows = tables[feature.table][ids]
            if feature.combiner == "max" and len(ids):
                best = rows == rows.max(axis=0)
                share = best / best.sum(axis=0)
            else:
                norms = {"sum": 1, "mean": w.sum(), "sqrtn": (w @ w) ** 0.5}
                share = w[:, None] / norms.get(feature.combiner, 1)
            np.add.at(found[feature.table], ids, share * up)
    return found


@every_row
def test_gradients_are_those_of_the_tables(method, budget, options):
    """The tables' own, pulled back by a lookup of all their rows."""
    collection = make(method, budget, options=options)
    collection.build()
    upstream = np.random.RandomState(1).normal(size=(SIZE, 7, 8))
    upstream = upstream.astype("float32")
    found = weight_gradients(collection, batch(), upstream)
    dense = table_gradients(collection, batch(), upstream)
    most = max(ROWS.values())
    ids, pulled = {}, np.zeros((most, len(ROWS), 8), "float32")
    for place, (name, rows) in enumerate(ROWS.items()):
        ids[name] = np.full((most, 1), -1, "int32")
        ids[name][:rows, 0] = np.arange(rows)
        pulled[:rows, place] = dense[name]
    whole = {
        name: keras_pss.FeatureConfig(name, 1, combiner="sum") for name in ROWS
    }
    twin = make(method, budget, options=options, features=whole)
    twin.build()
    for own, given in zip(twin.weights, collection.weights, strict=True):
        own.assign(given)
    for got, wanted in zip(
        found, weight_gradients(twin, ids, pulled), strict=True
    ):
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(got, wanted, atol=2e-5 * scale)


def test_empty_bags_have_zero_vectors_and_finite_gradients():
    collection = make()
    packed = {
        name: np.full_like(x, -1) if name in named_tables.LENGTHS else x
        for name, x in batch().items()
    }
    found = vectors_of(collection, packed)
    for name in named_tables.LENGTHS:
        assert not found[name].any()
    upstream = np.ones((SIZE, 7, 8), "float32")
    for gradient in weight_gradients(collection, packed, upstream):
        assert np.isfinite(gradient).all()


def test_padding_may_have_any_weight():
    tables = {"a": keras_pss.TableConfig(5)}
    collection = keras_pss.EmbeddingCollection(
        tables,
        4,
        "full",
        features={"x": keras_pss.FeatureConfig("a", 3, "mean", weighted=True)},
    )
    ids = np.array([[1, -1, 2]])
    weights = np.array([[2.0, np.inf, 6.0]], "float32")
    rows = named_tables.tables_of(collection)["a"]
    found = collection({"x": ids, "x_weights": weights})
    np.testing.assert_allclose(
        ops.convert_to_numpy(found)[0, 0],
        (2 * rows[1] + 6 * rows[2]) / 8,
        rtol=1e-6,
    )


def test_the_class_of_positions_stays_as_it_was():
    collection = keras_pss.EmbeddingCollection([5, 6], 4, "full")
    assert not isinstance(collection, NamedCollection)
    assert "features" not in collection.get_config()
    assert "dense" not in collection.get_config()
