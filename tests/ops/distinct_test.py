"""Rows computed once for each distinct id are the rows of all ids."""

import keras
import numpy as np
import pytest

import keras_pss
from keras_pss.ops.methods import distinct

LAYERS = {
    "fpd": lambda: keras_pss.FPDEmbedding(5_000, 4, rank=3, terms=2),
    "deep_hash": lambda: keras_pss.DeepHashEmbedding(
        5_000, 4, hidden_units=(8,), num_hashes=16
    ),
    "tt": lambda: keras_pss.TTEmbedding(5_000, 4, rank=3),
}
CASES = {
    "repeated": np.arange(3_000) % 50,
    "distinct": np.random.default_rng(0).permutation(5_000)[:3_000],
    # Those that repeat come after the ids that decide, and the reverse.
    "late": np.r_[np.arange(2_500), np.zeros(500)],
    "early": np.r_[np.zeros(2_048), np.arange(952)],
    "one": np.array([7]),
    "none": np.array([]),
}


@pytest.mark.tf_only
@pytest.mark.parametrize("case", CASES)
def test_the_function_gets_each_id_once_if_many_repeat(case):
    import tensorflow as tf

    ids = tf.constant(CASES[case].astype(np.int32))
    asked = tf.Variable(-1)

    def doubled(ids):
        asked.assign(tf.size(ids))
        return 2 * tf.cast(ids, "float32")[:, None]

    found = tf.function(lambda ids: distinct.each_once(doubled, ids))(ids)
    np.testing.assert_array_equal(found, doubled(ids))
    whole = len(CASES[case])
    tf.function(lambda ids: distinct.each_once(doubled, ids))(ids)
    many = case in ("repeated", "early")
    assert int(asked) == (len(set(CASES[case])) if many else whole)


@pytest.mark.tf_only
def test_gradients_of_both_orders_are_those_of_all_ids():
    import tensorflow as tf

    ids = tf.constant(CASES["repeated"].astype(np.int64))
    table = tf.Variable(np.random.default_rng(0).normal(size=(50, 3)))

    @tf.function
    def gradients(once):
        def rows(ids):
            return tf.gather(table, ids) ** 3

        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                found = distinct.each_once(rows, ids) if once else rows(ids)
                loss = tf.reduce_sum(tf.sin(found))
            first = tf.convert_to_tensor(inner.gradient(loss, table))
            total = tf.reduce_sum(first**2)
        return first, tf.convert_to_tensor(outer.gradient(total, table))

    for mine, other in zip(gradients(True), gradients(False), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-12, atol=1e-12)


@pytest.mark.tf_only
@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("kind", LAYERS)
def test_layers_give_the_same_rows_and_gradients(monkeypatch, kind, jit):
    import tensorflow as tf

    with keras_pss.native.disabled():
        keras.utils.set_random_seed(0)
        layer = LAYERS[kind]()
        layer.build()
        up = np.random.default_rng(1).normal(size=(3_000, 4)).astype("f")

        def both(ids):
            with tf.GradientTape() as tape:
                rows = layer(ids)
                loss = tf.reduce_sum(rows * up)
            weights = [v.value for v in layer.trainable_variables]
            return rows, tape.gradient(loss, weights)

        ids = tf.constant(CASES["repeated"].astype(np.int32))
        calls = []
        once = distinct.each_once

        def seen(function, ids):
            calls.append(function)
            return once(function, ids)

        path = "keras_pss.layers.base.compressed_embedding.each_once"
        monkeypatch.setattr(path, seen)
        spec = [tf.TensorSpec((None,), "int32")]
        rows, found = tf.function(both, jit_compile=jit, input_signature=spec)(
            ids
        )
        assert calls
        monkeypatch.setattr(path, lambda function, ids: function(ids))
        wanted, gradients = both(ids)
    np.testing.assert_allclose(rows, wanted, atol=1e-6)
    for mine, other in zip(found, gradients, strict=True):
        np.testing.assert_allclose(mine, other, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("kind", LAYERS)
def test_backends_without_dynamic_shapes_compute_all(kind):
    layer = LAYERS[kind]()
    ids = CASES["repeated"].astype(np.int32)
    once = keras.ops.convert_to_numpy(layer(ids[:50]))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(layer(ids)),
        np.tile(once, (60, 1)),
        atol=1e-6,
    )
