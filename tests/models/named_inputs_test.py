"""Models that take each feature by its own name, in every form of data."""

import keras
import numpy as np
import pytest
from compiling import WITHOUT_XLA
from keras import ops

import keras_pss

SIZE = 12
TABLES = {"site": 50, "app": 2**24 + 10, "tag": 9}


def tables(**kwargs):
    given = {
        "features": {
            "tags": keras_pss.FeatureConfig("tag", 3, "sum", weighted=True),
            "site": "site",
            "app": "app",
        },
        "dense": {"price": 1, "vector": 2},
    }
    return keras_pss.EmbeddingCollection(
        TABLES, 4, "robe", 10_000, **given | kwargs
    )


def model_of(jit_compile=WITHOUT_XLA):
    model = keras_pss.models.DCN(tables(), hidden_units=(5,))
    model.compile("sgd", "binary_crossentropy", jit_compile=jit_compile)
    return model


def named(size=SIZE):
    random = np.random.RandomState(0)
    tags = random.randint(-1, 9, (size, 3))
    return {
        "vector": random.normal(size=(size, 2)),
        "app": random.randint(0, TABLES["app"], size),
        "price": random.randint(0, 9, (size, 1)),
        "tags": tags.astype("int32"),
        "tags_weights": random.uniform(size=(size, 3)).astype("float32"),
        "site": random.randint(0, 50, size).astype("uint8"),
    }


def packed(x):
    return {
        "dense": np.concatenate([x["price"], x["vector"]], 1).astype("float32"),
        "categorical": np.stack([x["site"], x["app"]], 1).astype("int32"),
        "tags": x["tags"],
        "tags_weights": x["tags_weights"],
    }


def half(x, first):
    rows = slice(0, SIZE // 2) if first else slice(SIZE // 2, None)
    return {name: values[rows] for name, values in x.items()}


Y = (np.arange(SIZE) % 2).astype("float32")


def test_every_method_takes_names():
    model, x = model_of(), named()
    wanted = model.predict(packed(x), verbose=0)
    np.testing.assert_array_equal(model.predict(x, verbose=0), wanted)
    np.testing.assert_array_equal(model.predict_on_batch(x), wanted)
    loss = model.evaluate(packed(x), Y, verbose=0)
    assert model.evaluate(x, Y, verbose=0) == loss
    assert model.test_on_batch(x, Y) == loss
    eager = ops.convert_to_numpy(model(packed(x)))
    np.testing.assert_array_equal(ops.convert_to_numpy(model(x)), eager)
    np.testing.assert_array_equal(ops.convert_to_numpy(model(inputs=x)), eager)
    tensors = {name: ops.convert_to_tensor(v) for name, v in x.items()}
    np.testing.assert_array_equal(ops.convert_to_numpy(model(tensors)), eager)
    lists = x | {"price": x["price"][:, 0].tolist(), "app": x["app"].tolist()}
    np.testing.assert_array_equal(ops.convert_to_numpy(model(lists)), eager)


@pytest.mark.filterwarnings("ignore:Layer .* does not have")
def test_the_layers_of_a_model_are_searched_once(monkeypatch):
    searched = []
    search = keras_pss.models.Model._packs
    monkeypatch.setattr(
        keras_pss.models.Model,
        "_packs",
        lambda model: searched.append(model) or search(model),
    )
    model, x = model_of(), named()
    for given in (x, packed(x), x):
        model(given)
        model.predict(given, verbose=0)
        model.train_on_batch(given, Y)
    model.quantize("int8")
    wanted = ops.convert_to_numpy(model(packed(x)))
    np.testing.assert_array_equal(ops.convert_to_numpy(model(x)), wanted)
    assert len(searched) == 1
    assert searched[0] is model


def test_training_by_names_is_training_by_packed_inputs():
    histories = []
    x = named()
    for form in (named, lambda: packed(x)):
        keras.utils.set_random_seed(1)
        model, data = model_of("auto"), form()
        fitted = model.fit(
            data,
            Y,
            batch_size=4,
            shuffle=False,
            validation_data=(data, Y),
            verbose=0,
        )
        histories.append(fitted.history | {"b": model.train_on_batch(data, Y)})
    assert histories[0] == histories[1]


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return half(named(), index == 0), Y[: SIZE // 2]


def generator():
    for index in range(2):
        yield half(named(), index == 0), Y[: SIZE // 2]


def tf_dataset():
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((named(), Y)).batch(SIZE // 2)


def loader():
    import torch

    rows = [
        ({name: v[row] for name, v in named().items()}, Y[row])
        for row in range(SIZE)
    ]
    return torch.utils.data.DataLoader(rows, SIZE // 2)


SOURCES = {"PyDataset": Batches, "generator": generator, "tf.data": tf_dataset}
if keras.backend.backend() == "torch":
    SOURCES["DataLoader"] = loader


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_batches_may_have_names(kind):
    model = model_of()
    wanted = model.predict(packed(named()), verbose=0)
    if kind != "DataLoader":
        found = model.predict(SOURCES[kind](), verbose=0)
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    model.fit(SOURCES[kind](), shuffle=False, verbose=0)
    assert not np.allclose(model.predict(named(), verbose=0), wanted)
    model.evaluate(SOURCES[kind](), verbose=0)


def test_names_are_kept_by_files_and_copies(tmp_path):
    model, x = model_of(), named()
    wanted = model.predict(x, verbose=0)
    model.save(tmp_path / "model.keras")
    after = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(after.predict(x, verbose=0), wanted)
    after.fit(x, Y, verbose=0)
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    np.testing.assert_array_equal(twin.predict(x, verbose=0), wanted)


def test_names_may_be_the_inputs_of_an_outer_model():
    model, x = model_of(), named()
    inputs = {
        name: keras.Input(v.shape[1:], dtype=v.dtype, name=name)
        for name, v in packed(x).items()
        if name.startswith("tags")
    }
    for name in ("site", "app"):
        inputs[name] = keras.Input((), dtype="int32", name=name)
    inputs["price"] = keras.Input((), name="price")
    inputs["vector"] = keras.Input((2,), name="vector")
    outer = keras_pss.models.Model(inputs, model(inputs))
    found = outer.predict(x, verbose=0)
    np.testing.assert_allclose(found, model.predict(x, verbose=0), atol=1e-6)


def without(*names):
    return {k: v for k, v in named().items() if k not in names}


WRONG = {
    r"'dense' or 'price', 'vector'; 'categorical' or 'site', 'app'; 'tags'; "
    r"'tags_weights'\. Received: missing=\['app'\], unknown=\[\]": (
        lambda: without("app")
    ),
    r"missing=\['price', 'tags'\], unknown=\['cost'\]": (
        lambda: without("price", "tags") | {"cost": named()["price"]}
    ),
    r"missing=\[\], unknown=\['site'\]": (
        lambda: packed(named()) | {"site": named()["site"]}
    ),
    r"missing=\['site', 'app'\]": (
        lambda: {k: v for k, v in packed(named()).items() if k != "categorical"}
    ),
    r"Feature 'vector' must be .* shape \(batch, 2\)\. .*\(12, 3\)": (
        lambda: named() | {"vector": np.zeros((SIZE, 3))}
    ),
    r"Feature 'site' must be .* \(batch,\) or \(batch, 1\)\. .*\(12, 2\)": (
        lambda: named() | {"site": np.zeros((SIZE, 2), "int32")}
    ),
    r"Input 'app' takes integers that int32 can represent.*4294967301": (
        lambda: named() | {"app": np.full(SIZE, 2**32 + 5)}
    ),
    r"Input 'app' takes integers.*first 1.5": (
        lambda: named() | {"app": np.full(SIZE, 1.5)}
    ),
    r"Input 'app' takes integers.*dtype=float32": (
        lambda: named() | {"app": np.full(SIZE, 2**24, "float32")}
    ),
    r"Input 'site' takes integers.*dtype=<U": (
        lambda: named() | {"site": np.full(SIZE, "google")}
    ),
}


@pytest.fixture(scope="module")
def refusing():
    """A model for inputs that are refused before it sees them."""
    return model_of()


@pytest.mark.parametrize("message", WRONG)
@pytest.mark.parametrize("method", ["predict", "__call__", "fit"])
def test_wrong_names_and_values(refusing, message, method):
    arguments = {"fit": {"y": Y, "verbose": 0}, "predict": {"verbose": 0}}
    with pytest.raises(ValueError, match=f"(?s){message}"):
        getattr(refusing, method)(WRONG[message](), **arguments.get(method, {}))


@pytest.mark.tf_only
def test_wrong_names_in_a_dataset():
    import tensorflow as tf

    model = model_of()
    data = tf.data.Dataset.from_tensor_slices((without("app"), Y)).batch(4)
    with pytest.raises(ValueError, match=r"missing=\['app'\]"):
        model.fit(data, shuffle=False, verbose=0)
    x = named() | {"app": np.full(SIZE, 2**32 + 5)}
    data = tf.data.Dataset.from_tensor_slices((x, Y)).batch(4)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="takes integers that int32"
    ):
        model.fit(data, shuffle=False, verbose=0)


def test_names_that_two_collections_read_in_two_ways_are_not_packed():
    ids = keras.Input((2,), dtype="int32", name="categorical")
    one = keras_pss.EmbeddingCollection({"a": 5, "b": 6}, 4, "full")
    two = keras_pss.EmbeddingCollection({"b": 6, "a": 5}, 4, "full")
    given = {"categorical": ids}
    rows = keras.layers.Concatenate(axis=1)([one(given), two(given)])
    model = keras_pss.models.Model(given, rows)
    x = np.array([[1, 2]], "int32")
    assert model.predict({"categorical": x}, verbose=0).shape == (1, 4, 4)
