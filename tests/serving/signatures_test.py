"""Signatures of exported models: their ids are as exact as the model's."""

import keras
import numpy as np
import pytest

import keras_pss
from keras_pss.serving.saved_model import export_saved_model

pytestmark = pytest.mark.tf_only
IDS = np.array([[5, 2**24 - 1]])


class Subclassed(keras.Model):
    def __init__(self, layer):
        super().__init__()
        self.embedding = layer

    def call(self, inputs):
        return self.embedding(inputs)


def robe(input_dim):
    return keras_pss.ROBEEmbedding(input_dim, 4, memory_size=50)


LAYERS = {
    "2^24 rows": lambda: robe(2**24),
    "2^24 + 1 rows": lambda: robe(2**24 + 1),
    "open": lambda: robe(None),
    "collection": lambda: keras_pss.EmbeddingCollection(
        [None, 2**25], 4, budget=100
    ),
}


def exported(model, path):
    signature = [keras.InputSpec(shape=(None, 2), dtype="int64")]
    model.export(
        path,
        format="tf_saved_model",
        verbose=False,
        input_signature=signature,
    )


def archived(model, path):
    import tensorflow as tf

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serve", model.call, [tf.TensorSpec((None, 2), "int64")]
    )
    archive.write_out(path, verbose=False)


def saved(model, path):
    import tensorflow as tf

    function = tf.function(lambda ids: model(ids))
    with keras_pss.native.disabled():
        concrete = function.get_concrete_function(
            tf.TensorSpec((None, 2), "int64")
        )
    tf.saved_model.save(model, path, signatures=concrete)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("write", [exported, archived, saved])
def test_an_integer_signature_is_exported(write, layer, tmp_path):
    import tensorflow as tf

    model = Subclassed(LAYERS[layer]())
    expected = model(IDS)
    path = str(tmp_path / "m")
    write(model, path)
    loaded = tf.saved_model.load(path)
    serve = loaded.signatures["serving_default"]
    (name,) = serve.structured_input_signature[1]
    (found,) = serve(**{name: tf.constant(IDS)}).values()
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("layer", ["2^24 + 1 rows", "open", "collection"])
def test_keras_float_signature_is_refused_when_it_is_called(layer, tmp_path):
    import tensorflow as tf

    model = Subclassed(LAYERS[layer]())
    model(IDS)
    path = str(tmp_path / "m")
    tf.saved_model.save(model, path)
    loaded = tf.saved_model.load(path)
    serve = loaded.signatures["serving_default"]
    (name,) = serve.structured_input_signature[1]
    with pytest.raises(tf.errors.InvalidArgumentError, match="are rounded to"):
        serve(**{name: tf.constant([[1.0, 2.0]])})


def test_a_float_signature_that_is_asked_for_is_refused_at_once(tmp_path):
    model = Subclassed(robe(2**25))
    model(IDS)
    with pytest.raises(ValueError, match=r"input_signature=\[keras.InputSpec"):
        model.export(tmp_path / "m", format="tf_saved_model", verbose=False)


@pytest.mark.parametrize("form", ["ragged", "sparse"])
def test_ragged_and_sparse_inputs_stay_so(form, tmp_path):
    import tensorflow as tf

    ids = keras.Input((None,), dtype="int32", name="ids", **{form: True})
    item = keras.Input((2,), dtype="int32", name="item")
    layer = robe(100)
    bags = keras_pss.EmbeddingBag(layer)(ids)
    outputs = keras.layers.Concatenate()(
        [bags, keras.layers.Flatten()(layer(item))]
    )
    model = keras_pss.models.Model({"ids": ids, "item": item}, outputs)
    path = export_saved_model(model, tmp_path / "m")
    loaded = tf.saved_model.load(str(path))
    x = tf.ragged.constant([[1, 2, 3], [4], []], dtype="int32")
    given = {
        "ids": x if form == "ragged" else x.to_sparse(),
        "item": tf.constant([[1, 2], [3, 4], [5, 6]]),
    }
    found = loaded.serve(given)
    np.testing.assert_array_equal(found, model(given))
    assert not found.numpy()[2, :4].any()  # an empty bag, no padding
    wrong = (
        {**given, "ids": given["ids"] * 0 + 100}
        if form == "ragged"
        else {
            **given,
            "ids": given["ids"].with_values(given["ids"].values + 100),
        }
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="must be integ"):
        loaded.serve(wrong)
    # An example cannot hold all of these.
    assert set(loaded.signatures) == {"serve", "serving_default"}


def test_an_exported_model_refuses_ids_that_it_would_have_to_cut(tmp_path):
    import tensorflow as tf

    tables = keras_pss.EmbeddingCollection([9, 9], 4, "full")
    model = keras_pss.models.NeuralCF(
        tables, keras_pss.EmbeddingCollection([9, 9], 4, "full")
    )
    ids = tf.constant([[1, 2], [3, 2**32 + 5]], tf.int64)
    path = export_saved_model(model, tmp_path / "narrow")
    with pytest.raises((TypeError, tf.errors.InvalidArgumentError)):
        tf.saved_model.load(str(path)).serve({"categorical": ids})
    signature = [
        {"categorical": keras.InputSpec(shape=(None, 2), dtype="int64")}
    ]
    wide = tmp_path / "wide"
    model.export(
        wide,
        format="tf_saved_model",
        verbose=False,
        input_signature=signature,
    )
    loaded = tf.saved_model.load(str(wide))
    right = tf.constant([[1, 2]], tf.int64)
    np.testing.assert_array_equal(
        loaded.serve({"categorical": right}), model({"categorical": right})
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="takes integers"):
        loaded.serve({"categorical": ids})
