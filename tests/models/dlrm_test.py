"""DLRM against an independent forward pass in NumPy."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

import keras_pss

DIMS = [50, 7, 300, 20]


def batch(size=9, seed=0):
    random = np.random.RandomState(seed)
    return {
        "dense": random.normal(size=(size, 13)).astype("float32"),
        "categorical": np.stack(
            [random.randint(0, n, size) for n in DIMS], axis=1
        ).astype("int32"),
    }


def model_of(method="robe", budget="4x", **kwargs):
    tables = keras_pss.EmbeddingCollection(
        DIMS, 8, method, budget, name="embeddings"
    )
    return keras_pss.models.DLRM(tables, **kwargs)


def mlp(x, model, name, count):
    for index in range(count):
        kernel, bias = (
            ops.convert_to_numpy(w).astype("float64")
            for w in model.get_layer(f"{name}_{index}").weights
        )
        x = np.maximum(x @ kernel + bias, 0)
    return x


def test_equals_numpy():
    model = model_of(bottom_units=(32, 16), top_units=(24, 12))
    x = batch()
    rows = ops.convert_to_numpy(
        model.get_layer("embeddings")(x["categorical"])
    ).astype("float64")
    bottom = mlp(x["dense"].astype("float64"), model, "bottom", 3)
    vectors = np.concatenate([bottom[:, None], rows], axis=1)
    products = [
        (vectors[:, i] * vectors[:, j]).sum(-1)
        for i in range(5)
        for j in range(i)
    ]
    joined = np.concatenate([bottom, np.stack(products, 1)], axis=1)
    top = mlp(joined, model, "top", 2)
    kernel, bias = (
        ops.convert_to_numpy(w) for w in model.get_layer("probability").weights
    )
    expected = 1 / (1 + np.exp(-(top @ kernel + bias)))
    found = model.predict(x, verbose=0)
    assert found.shape == (9, 1)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)


def test_without_dense_features_there_is_no_bottom():
    model = model_of(num_dense=0, top_units=(24,))
    ids = batch()["categorical"]
    rows = ops.convert_to_numpy(model.get_layer("embeddings")(ids))
    products = np.stack(
        [
            (rows[:, i] * rows[:, j]).sum(-1)
            for i in range(len(DIMS))
            for j in range(i)
        ],
        axis=1,
    )
    top = mlp(products.astype("float64"), model, "top", 1)
    kernel, bias = map(
        ops.convert_to_numpy, model.get_layer("probability").weights
    )
    expected = 1 / (1 + np.exp(-(top @ kernel + bias)))
    found = model.predict({"categorical": ids}, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)


def test_parameters_of_the_defaults_are_table_8s():
    tables = keras_pss.EmbeddingCollection([1000] * 26, 16, "full")
    model = keras_pss.models.DLRM(tables)
    bottom = [13, 512, 256, 64, 16]
    top = [16 + 27 * 26 // 2, 512, 256, 1]
    expected = sum(
        (a + 1) * b
        for widths in (bottom, top)
        for a, b in itertools.pairwise(widths)
    )
    assert model.count_params() == expected + 26_000 * 16


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_trains_and_reloads(dtype, tmp_path):
    keras.config.set_dtype_policy(dtype)
    try:
        model = model_of(bottom_units=(32, 16), top_units=(24, 12))
    finally:
        keras.config.set_dtype_policy("float32")
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
    x = batch(64)
    y = (x["categorical"][:, 1] % 2).astype("float32")
    losses = model.fit(x, y, epochs=15, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]
    found = ops.convert_to_numpy(model(x))
    assert found.dtype == np.float32
    model.save(tmp_path / "model.keras")
    after = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(ops.convert_to_numpy(after(x)), found)


def test_embeddings_must_be_a_collection():
    with pytest.raises(ValueError, match="`embeddings` must be a layer with"):
        keras_pss.models.DLRM(keras.layers.Embedding(10, 4))
