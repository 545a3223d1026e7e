"""Signatures of models whose inputs have names of any kind."""

import keras
import numpy as np
import pytest

import keras_pss
from keras_pss.serving.signature_names import signature_names

pytestmark = pytest.mark.tf_only
NAMES = ["site id", "größe", "größe_weights", "A", "a", "x.y", "x_y", "-1"]


def test_names_are_unique_whatever_their_case():
    assert signature_names(NAMES) == {
        "site id": "site_id",
        "größe": "gr__e",
        "größe_weights": "gr__e_weights",
        "A": "A",
        "a": "a_1",
        "x.y": "x_y",
        "x_y": "x_y_1",
        "-1": "input_1",
    }


def test_an_export_has_an_input_for_each_name(tmp_path):
    import tensorflow as tf

    inputs = {name: keras.Input((1,), name=name) for name in NAMES}
    total = keras.layers.Concatenate()(list(inputs.values()))
    model = keras_pss.models.Model(inputs, total)
    keras_pss.serving.export_saved_model(model, tmp_path / "1")
    loaded = tf.saved_model.load(tmp_path / "1")
    names = signature_names(NAMES)
    given = {
        name: tf.constant([[float(place)]]) for place, name in enumerate(NAMES)
    }
    by_signature = {names[name]: x for name, x in given.items()}
    (found,) = loaded.signatures["serving_default"](**by_signature).values()
    np.testing.assert_array_equal(found, [np.arange(len(NAMES))])
    np.testing.assert_array_equal(loaded.serve(given), found)


def test_plain_names_are_kept(tmp_path):
    import tensorflow as tf

    tables = keras_pss.EmbeddingCollection(
        {"Genre": 20},
        4,
        "full",
        features={"Genres": keras_pss.FeatureConfig("Genre", 3)},
        dense=["Price"],
    )
    model = keras_pss.models.DCN(tables, hidden_units=(4,))
    keras_pss.serving.export_saved_model(model, tmp_path / "1")
    serve = tf.saved_model.load(tmp_path / "1").signatures["serving_default"]
    assert set(serve.structured_input_signature[1]) == {"dense", "Genres"}
