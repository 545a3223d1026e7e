"""Models that take ids exactly: from a file, of plain ones, other inputs."""

import keras
import numpy as np
import pytest
from id_models import GOOD, batch, errors, model_of, tables

import keras_pss
from keras_pss.models import Model


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
