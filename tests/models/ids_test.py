"""However an id reaches a model: its own row, or an error."""

import keras
import numpy as np
import pytest
from id_models import (
    BACKEND,
    GOOD,
    SLOW_BUT_ON_TORCH,
    batch,
    errors,
    model_of,
    tables,
)

import keras_pss
from keras_pss.models import Model

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


LABELS = np.ones((2, 1), "float32")


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


# Generators here have one batch, which JAX trains on where it cannot raise.
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
# One check knows what is wrong; the ways differ in how they come to it.
@pytest.mark.parametrize(
    ("way", "wrong"),
    [
        *(
            (way, wrong)
            for way in ("call", "fit", "generator")
            for wrong in WRONG
        ),
        *(
            (way, wrong)
            for way in AT_ONCE
            if way not in ("call", "fit", "generator")
            for wrong in ("2^32 + 5", "fraction")
        ),
    ],
)
def test_a_wrong_id_is_refused(way, wrong):
    assert is_refused(lambda: AT_ONCE[way](model_of(), WRONG[wrong]))


@pytest.mark.parametrize("wrong", ["2^32 + 5", "2^64 - 3", "fraction", "NaN"])
@pytest.mark.parametrize("way", IN_GRAPHS)
def test_a_wrong_id_is_refused_in_a_dataset(way, wrong):
    pytest.importorskip("tensorflow")
    assert is_refused(lambda: IN_GRAPHS[way](model_of(), WRONG[wrong]))


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(wrong, marks=SLOW_BUT_ON_TORCH)
        for wrong in ("2^32 + 5", "fraction")
    ],
)
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
            # Matrix products of a graph and of eager calls may differ.
            np.testing.assert_allclose(
                keras.ops.convert_to_numpy(found), expected, rtol=1e-6
            )
        if dtype != "uint64" and not (BACKEND == "torch" and "uint" in dtype):
            found = keras.ops.convert_to_numpy(model(tensors(ids)))
            np.testing.assert_allclose(found, expected, rtol=1e-6)


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
