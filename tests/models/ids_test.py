"""However an id reaches a model: its own row, or an error."""

import keras
import numpy as np
import pytest

import keras_pss
from keras_pss.models import Model

BACKEND = keras.backend.backend()
MODELS = (
    "DLRM",
    "DCN",
    "DCNv2",
    "DeepFM",
    "AutoInt",
    "XDeepFM",
    "FiBiNET",
    "NeuralCF",
)
DIMS = (1000, 500, 12)
GOOD = np.array([[7, 5, 3], [5, 5, 5]])
LABELS = np.ones((2, 1), "float32")


def tables(dim=4, **kwargs):
    return keras_pss.EmbeddingCollection(DIMS, dim, budget="10x", **kwargs)


def model_of(name="DCN", embeddings=None):
    parts = [tables() if embeddings is None else embeddings]
    if name in ("DeepFM", "XDeepFM", "FiBiNET"):
        parts.append(tables(1, name="wide"))
    if name == "NeuralCF":
        parts.append(tables(name="mlp_embeddings"))
    widths = {"hidden_units": (3,)}
    if name == "DLRM":
        widths = {"bottom_units": (3,), "top_units": (3,)}
    model = getattr(keras_pss.models, name)(*parts, num_dense=2, **widths)
    model.compile("sgd", "binary_crossentropy")
    return model


def batch(ids):
    return {"dense": np.zeros((len(ids), 2), "float32"), "categorical": ids}


class Batches(keras.utils.PyDataset):
    def __init__(self, ids):
        super().__init__()
        self.ids = ids

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return batch(self.ids), LABELS


def generator(ids):
    # A first batch of int32 must not set the dtype of those that follow.
    yield batch(GOOD.astype("int32")), LABELS
    yield batch(ids), LABELS


def dataset(ids):
    import tensorflow as tf

    return tf.data.Dataset.from_tensors((batch(ids), LABELS))


def loader(ids):
    import torch

    rows = [
        ({"dense": np.zeros(2, "float32"), "categorical": row}, label)
        for row, label in zip(ids, LABELS, strict=True)
    ]
    return torch.utils.data.DataLoader(rows, batch_size=2)


def tensors(ids):
    return keras.tree.map_structure(keras.ops.convert_to_tensor, batch(ids))


def fit(model, *args, **kwargs):
    return model.fit(*args, shuffle=False, verbose=0, **kwargs)


# What is known before a batch begins.
AT_ONCE = {
    "call": lambda m, ids: m(batch(ids)),
    "predict": lambda m, ids: m.predict(batch(ids), verbose=0),
    "evaluate": lambda m, ids: m.evaluate(batch(ids), LABELS, verbose=0),
    "evaluate, named": lambda m, ids: m.evaluate(
        x=batch(ids), y=LABELS, verbose=0
    ),
    "fit": lambda m, ids: fit(m, batch(ids), LABELS),
    "predict_on_batch": lambda m, ids: m.predict_on_batch(batch(ids)),
    "train_on_batch": lambda m, ids: m.train_on_batch(batch(ids), LABELS),
    "test_on_batch": lambda m, ids: m.test_on_batch(batch(ids), LABELS),
    "PyDataset": lambda m, ids: fit(m, Batches(ids)),
    "validation PyDataset": lambda m, ids: fit(
        m, Batches(GOOD), validation_data=Batches(ids)
    ),
    "validation_data": lambda m, ids: fit(
        m, batch(GOOD), LABELS, validation_data=(batch(ids), LABELS)
    ),
    "generator": lambda m, ids: fit(m, generator(ids)),
}
# TensorFlow's own structures, which a graph looks at.
IN_GRAPHS = {
    "fit, tf.data": lambda m, ids: fit(m, dataset(ids)),
    "predict, tf.data": lambda m, ids: m.predict(
        dataset(ids).map(lambda x, y: x), verbose=0
    ),
}
WRONG = {
    "2^32 + 5": GOOD + 2**32,
    "2^31 + 5": GOOD.astype("uint32") + np.uint32(2**31),
    "2^64 - 3": GOOD.astype("uint64") - np.uint64(8),
    "negative": -GOOD,
    "fraction": GOOD + 0.7,
    "small fraction": GOOD + 1e-9,
    "NaN": GOOD * np.nan,
    "bool": GOOD > 3,
}


def errors():
    if BACKEND == "torch":
        return (ValueError,)
    tf = pytest.importorskip("tensorflow")
    return (ValueError, tf.errors.InvalidArgumentError)


def is_refused(function):
    """Whether it is an error, or NaN where compiled code cannot raise."""
    try:
        found = function()
    except errors() as error:
        message = str(error)
        # The last is Keras' own on PyTorch, which has no uint64.
        known = "takes integers that", "must be integers", "dtype for PyTorch"
        assert any(part in message for part in known), message
        return True
    if hasattr(found, "history"):
        found = list(found.history.values())[-1]
    return bool(np.isnan(np.asarray(found)).any())


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("way", AT_ONCE)
def test_a_wrong_id_is_refused(way, wrong):
    assert is_refused(lambda: AT_ONCE[way](model_of(), WRONG[wrong]))


@pytest.mark.parametrize("wrong", ["2^32 + 5", "2^64 - 3", "fraction", "NaN"])
@pytest.mark.parametrize("way", IN_GRAPHS)
def test_a_wrong_id_is_refused_in_a_dataset(way, wrong):
    pytest.importorskip("tensorflow")
    assert is_refused(lambda: IN_GRAPHS[way](model_of(), WRONG[wrong]))


@pytest.mark.parametrize("wrong", ["2^32 + 5", "fraction"])
def test_a_wrong_id_is_refused_in_a_torch_loader(wrong):
    pytest.importorskip("torch")
    assert is_refused(lambda: fit(model_of(), loader(WRONG[wrong])))
    assert not is_refused(lambda: fit(model_of(), loader(GOOD)))


@pytest.mark.parametrize("name", MODELS)
def test_every_model_refuses_wrong_ids(name):
    model = model_of(name)
    assert type(model) is Model
    for wrong in WRONG:
        if wrong == "negative" and BACKEND == "jax":
            continue  # not known before the call: NaN, as tested above
        with pytest.raises(ValueError, match=r"Received: "):
            model(batch(WRONG[wrong]))
        if wrong != "negative":
            with pytest.raises(ValueError, match="takes integers that"):
                model.predict(batch(WRONG[wrong]), verbose=0)


def test_right_ids_of_any_dtype_are_the_same_rows():
    model = model_of()
    expected = model.predict(batch(GOOD.astype("int32")), verbose=0)
    for dtype in (
        *("int8", "int16", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64"),
    ):
        ids = GOOD.astype(dtype)
        for found in model.predict(batch(ids), verbose=0), model(batch(ids)):
            np.testing.assert_array_equal(
                keras.ops.convert_to_numpy(found), expected
            )
        if dtype != "uint64" and not (BACKEND == "torch" and "uint" in dtype):
            found = keras.ops.convert_to_numpy(model(tensors(ids)))
            np.testing.assert_array_equal(found, expected)


def test_open_vocabularies_and_filters():
    open_tables = keras_pss.EmbeddingCollection(
        [None, 500, None], 4, budget=400
    )
    filtered = keras_pss.FrequencyFilter(tables(), [2000, 700, 12])
    for embeddings in open_tables, filtered:
        model = model_of(embeddings=embeddings)
        for wrong in "2^32 + 5", "fraction", "bool", "NaN":
            with pytest.raises(ValueError, match="takes integers that"):
                model.predict(batch(WRONG[wrong]), verbose=0)


@pytest.mark.tf_only
def test_a_compiled_graph_gives_nan():
    import tensorflow as tf

    model = model_of()
    compiled = tf.function(lambda x: model(x), jit_compile=True)
    ids = tf.constant([[7, 5, 3], [5, 2**32 + 5, 5]], tf.int64)
    found = compiled(batch(ids)).numpy()
    np.testing.assert_array_equal(np.isnan(found[:, 0]), [False, True])


def test_a_file_gives_an_exact_model_again(tmp_path):
    model = model_of()
    expected = model.predict(batch(GOOD), verbose=0)
    model.save(tmp_path / "m.keras")
    copies = [
        keras.saving.load_model(tmp_path / "m.keras"),
        Model.from_config(model.get_config()),
        keras.models.clone_model(model),
    ]
    for copy in copies:
        assert type(copy) is Model
        with pytest.raises(ValueError, match="takes integers that"):
            copy.predict(batch(GOOD + 2**32), verbose=0)
    found = copies[0].predict(batch(GOOD), verbose=0)
    np.testing.assert_array_equal(found, expected)


def test_a_plain_model_becomes_exact():
    ids = keras.Input((3,), dtype="int32", name="ids")
    plain = keras.Model({"ids": ids}, tables()(ids))
    sequential = keras.Sequential([keras.Input((3,), dtype="int32"), tables()])
    for model, x in (plain, {"ids": GOOD}), (sequential, GOOD):
        is_list = isinstance(model, keras.Sequential)
        found = (
            Model(model.inputs, model.outputs)
            if is_list
            else Model(model.input, model.output)
        )
        np.testing.assert_array_equal(
            found.predict(x, verbose=0), model.predict(x, verbose=0)
        )
        assert found.layers[-1] is model.layers[-1]
        wrong = keras.tree.map_structure(lambda a: a + 2**32, x)
        with pytest.raises(ValueError, match="takes integers that"):
            found.predict(wrong, verbose=0)


def test_other_inputs_stay_as_keras_takes_them():
    x = keras.Input((2,), name="x")
    optional = keras.Input((1,), dtype="int32", name="optional", optional=True)

    @keras.saving.register_keras_serializable("test")
    class First(keras.layers.Layer):
        def call(self, x, optional=None):
            return x

    model = Model([x, optional], First()(x, optional))
    values = np.array([[1.5, -2.5]], "float32")
    for last in None, np.array([[7]]):
        found = keras.ops.convert_to_numpy(model([values, last]))
        np.testing.assert_array_equal(found, values)
    with pytest.raises(ValueError, match="Input 'optional' takes integers"):
        model([values, np.array([[7.5]])])


@pytest.mark.tf_only
def test_ragged_and_sparse_ids():
    import tensorflow as tf

    layer = keras_pss.ROBEEmbedding(100, 4, memory_size=50)
    bag = keras_pss.EmbeddingBag(layer)
    for form in "ragged", "sparse":
        ids = keras.Input((None,), dtype="int32", **{form: True})
        model = Model(ids, bag(ids))
        x = tf.ragged.constant([[1, 2], [3]], dtype=tf.int64)
        x = x if form == "ragged" else tf.sparse.from_dense([[1, 2], [3, 0]])
        expected = layer(np.array([1, 2, 3]))
        expected = np.stack([expected[0] + expected[1], expected[2]])
        np.testing.assert_allclose(model(x), expected, rtol=1e-6)
        wide = tf.cast(x, tf.int64)
        wrong = (
            wide + 2**32
            if form == "ragged"
            else wide.with_values(wide.values + 2**32)
        )
        for function in model, lambda x, m=model: m.predict(x, verbose=0):
            with pytest.raises(errors(), match="takes integers that"):
                function(wrong)
