"""Serialized examples that hold the inputs of a model."""

import keras
import numpy as np
import pytest

import keras_pss
from keras_pss.serving import export_saved_model

pytestmark = pytest.mark.tf_only


def example(**lists):
    import tensorflow as tf

    row = tf.train.Example()
    for name, values in lists.items():
        feature = row.features.feature[name]
        kind = feature.int64_list if name == "ids" else feature.float_list
        kind.value.extend(values)
    return row.SerializeToString()


@pytest.fixture
def model():
    ids = keras.Input((2,), dtype="int32", name="ids")
    dense = keras.Input((3,), name="dense")
    rows = keras_pss.ROBEEmbedding(100, 4, memory_size=50)(ids)
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(rows), dense])
    output = keras.layers.Dense(1, "sigmoid", name="out")(joined)
    return keras_pss.models.Model({"ids": ids, "dense": dense}, output)


def test_inputs_of_a_model(model, tmp_path):
    import tensorflow as tf

    export_saved_model(model, tmp_path / "1")
    served = tf.saved_model.load(tmp_path / "1").signatures
    ids = np.array([[1, 99], [5, 5]], "int32")
    dense = np.random.default_rng(0).random((2, 3), "float32")
    wanted = model.predict({"ids": ids, "dense": dense}, verbose=0)[:, 0]
    rows = [example(ids=i, dense=x) for i, x in zip(ids, dense, strict=True)]
    for found in (
        served["serve_examples"](examples=rows),
        served["serving_default"](ids=ids, dense=dense),
    ):
        assert list(found) == ["probability"]
        np.testing.assert_allclose(found["probability"], wanted, atol=1e-6)
    for match, row in (
        ("`ids` must hold int32", example(ids=[1, 2**32 + 5], dense=dense[0])),
        ("must be integers in", example(ids=[1, 100], dense=dense[0])),
        ("ids.*required", example(dense=dense[0])),
        ("dense.*required", example(ids=ids[0])),
        ("Values size: 3", example(ids=[1, 2, 3], dense=dense[0])),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=match):
            served["serve_examples"](examples=[row])


def test_the_output_has_another_name(model, tmp_path):
    import tensorflow as tf

    export_saved_model(model, tmp_path / "1", output_name="rating")
    served = tf.saved_model.load(tmp_path / "1").signatures["serving_default"]
    found = served(ids=np.ones((2, 2), "int32"), dense=np.ones((2, 3), "f4"))
    assert {name: x.shape for name, x in found.items()} == {"rating": (2,)}
