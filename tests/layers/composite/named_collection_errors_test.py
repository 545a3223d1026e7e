"""What a collection with named tables refuses, and how it says so."""

import numpy as np
import pytest
from keras import ops
from named_tables import batch, by_name, make

import keras_pss

TABLE, FEATURE = keras_pss.TableConfig, keras_pss.FeatureConfig


def collection(tables=None, **kwargs):
    tables = {"a": 5, "b": 6} if tables is None else tables
    return keras_pss.EmbeddingCollection(tables, 4, "full", **kwargs)


WRONG = {
    r"`input_dims` must have at least one table.*Received: {}": (
        lambda: collection({})
    ),
    r"input_dims\['a'\]='5'": lambda: collection({"a": "5"}),
    r"`input_dims` must be a non-empty string. Received: input_dims=3": (
        lambda: collection({3: 5})
    ),
    r"`input_dim` must be a positive integer": lambda: collection({"a": 0}),
    r"`input_dim` must be a positive integer.*=None": (
        lambda: collection({"a": None})
    ),
    r"`output_dim` must be a positive": lambda: TABLE(5, 0),
    r"`method` must be one of": lambda: TABLE(5, method="fulll"),
    r"`options` must be a dict.*options=3": lambda: TABLE(5, options=3),
    r"allowed `options` of method='hash' are.*rank=4": (
        lambda: collection({"a": TABLE(500, 4, "hash", {"rank": 4})})
    ),
    r"`features` must be a dict.*features=\['a'\]": (
        lambda: collection(features=["a"])
    ),
    r"`features` must be a dict.*features={}": lambda: collection(features={}),
    r"`features` must have names without '/'.*'a/b'": (
        lambda: collection(features={"a/b": "a"})
    ),
    r"features\['x'\]=3": lambda: collection(features={"x": 3}),
    r"unknown tables \['c'\], tables without a feature \['b'\]": (
        lambda: collection(features={"x": "a", "y": "c"})
    ),
    r"`length` must be a positive": lambda: FEATURE("a", 0),
    r"`combiner` must be one of .*'max'.*combiner='min'": (
        lambda: FEATURE("a", 2, "min")
    ),
    r"`weighted` features are multi-hot.*length=None": (
        lambda: FEATURE("a", weighted=True)
    ),
    r"another `combiner` than 'max'": (
        lambda: FEATURE("a", 2, "max", weighted=True)
    ),
    r"`dense` must be a list of names.*dense='price'": (
        lambda: collection(dense="price")
    ),
    r"`dense` must be a positive integer.*dense=0": (
        lambda: collection(dense={"price": 0})
    ),
    r"`dense` must have each name once.*\['x', 'x'\]": (
        lambda: collection(dense=["x", "x"])
    ),
    r"must differ.*\['a'\] twice": lambda: collection(dense=["a"]),
    r"must differ.*\['categorical'\] twice": (
        lambda: collection({"categorical": 5})
    ),
    r"must differ.*\['x_weights'\] twice": (
        lambda: collection(
            features={
                "x": FEATURE("a", 2, weighted=True),
                "x_weights": "b",
            }
        )
    ),
    r"belong to tables with names.*input_dims=\[5\]": (
        lambda: keras_pss.EmbeddingCollection([5], 4, features={"x": "a"})
    ),
    r"belong to tables with names.*dense=\['x'\]": (
        lambda: keras_pss.EmbeddingCollection([5], 4, dense=["x"])
    ),
    r"must give the size of a table: `rank`": (
        lambda: keras_pss.EmbeddingCollection({"a": 500}, 4, "tt", None)
    ),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_arguments(message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        WRONG[message]()


def changed(name, x):
    packed = batch()
    packed[name] = x
    return packed


def without(*names):
    return {k: x for k, x in batch().items() if k not in names}


INPUTS = {
    r"takes a dict of ids.*'user', 'item', 'main_genre'": (
        lambda: batch()["categorical"]
    ),
    r"missing=\['viewed'\], unknown=\[\]": lambda: without("viewed"),
    r"missing=\['tags_weights'\]": lambda: without("tags_weights"),
    r"missing=\['user', 'item', 'main_genre'\]": lambda: without("categorical"),
    r"missing=\[\], unknown=\['other'\]": lambda: changed("other", np.ones(30)),
    r"unknown=\['user'\]": lambda: changed("user", np.ones(30, "int32")),
    r"Input 'viewed' .* shape \(batch, 5\), padded with -1.*\(30, 4\)": (
        lambda: changed("viewed", batch()["viewed"][:, :4])
    ),
    r"Input 'categorical' .* shape \(batch, 3\)\. .*\(30, 2\)": (
        lambda: changed("categorical", batch()["categorical"][:, :2])
    ),
    r"Input 'item' .* \(batch,\) or \(batch, 1\)\. .*\(30, 1, 1\)": (
        lambda: by_name(batch()) | {"item": np.zeros((30, 1, 1), "int32")}
    ),
    r"Ids of layer 'tables/viewed'.*first 5000": (
        lambda: changed("viewed", batch()["viewed"] + 5001)
    ),
    r"Ids of layer 'tables/viewed'.*1 of 150.*first -2": (
        lambda: changed(
            "viewed", np.where(np.arange(150).reshape(30, 5) == 7, -2, 0)
        )
    ),
    r"Ids of layer 'tables/item'.*\[0, 5000\).*first -1": (
        lambda: by_name(batch()) | {"item": np.full(30, -1)}
    ),
    r"'tables/categorical'.*first 7 \(feature 'main_genre', input_dim=7\)": (
        lambda: changed("categorical", np.full((30, 3), 7))
    ),
    r"Layer 'tables/liked' has 5000 rows, but its ids are float16": (
        lambda: changed("liked", batch()["liked"].astype("float16"))
    ),
    r"Layer 'tables/liked' looks up integer ids.*bool": (
        lambda: changed("liked", batch()["liked"] > 0)
    ),
}


@pytest.mark.parametrize("message", INPUTS)
def test_wrong_inputs(message):
    layer = make("robe", "20x", name="tables")
    layer(batch())
    with pytest.raises(ValueError, match=f"(?s){message}"):
        layer(INPUTS[message]())


@pytest.mark.parametrize("dtype", ["uint8", "uint32", "int16", "float32"])
def test_ids_of_other_dtypes(dtype):
    layer = collection(features={"x": FEATURE("a", 3), "y": "b"})
    ids = np.array([[4, 2, 1], [0, 1, 4]])
    others = np.array([5, 0])

    def rows(ids, others):
        return ops.convert_to_numpy(layer({"x": ids, "y": others}))

    found = rows(ids.astype(dtype), others.astype(dtype))
    np.testing.assert_array_equal(found, rows(ids, others))
    if not dtype.startswith("u"):
        ids[0, 1] = -1
        found = rows(ids.astype(dtype), others)
        np.testing.assert_array_equal(found, rows(ids, others))
