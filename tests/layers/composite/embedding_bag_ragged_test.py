"""Bags that are ragged or sparse tensors, of TensorFlow and of JAX."""

import keras
import numpy as np
import pytest
from bags import (
    BACKEND,
    LISTED,
    LISTED_WEIGHTS,
    MASK,
    SPLITS,
    close,
    every_combiner,
    expected,
    make,
)
from methods import WIDTH, every_class

from keras_pss.layers.composite.embedding_bag import EmbeddingBag


@every_class
@pytest.mark.tf_only
def test_ragged_bags_equal_the_pooled_table(method):
    import tensorflow as tf

    embedding = method.make()
    ids = tf.RaggedTensor.from_row_splits(LISTED, SPLITS)
    weights = ids.with_values(LISTED_WEIGHTS)
    found = EmbeddingBag(embedding, "sqrtn")(ids, weights=weights)
    np.testing.assert_allclose(found, expected(embedding, "sqrtn"), **close)


@every_combiner
@pytest.mark.tf_only
def test_ragged_and_sparse_bags_without_weights(combiner):
    import tensorflow as tf

    bag = make(combiner)
    wanted = expected(bag.embedding, combiner, weighted=False)
    for ids in (
        tf.RaggedTensor.from_row_splits(LISTED, SPLITS),
        tf.SparseTensor(np.argwhere(MASK), LISTED, MASK.shape),
    ):
        np.testing.assert_allclose(bag(ids), wanted, **close)


@every_combiner
@pytest.mark.tf_only
def test_sparse_bags_are_those_of_tensorflow(combiner):
    """In any order of the entries, with one that says 0, in a graph."""
    import tensorflow as tf

    bag = make(combiner)
    bag.build()
    places = np.array([[2, 1], [0, 3], [0, 0], [2, 9]])
    ids = tf.SparseTensor(places, [5, 0, 9, 5], (4, 10))
    weights = tf.SparseTensor(places, [0.5, 2.0, 1.0, 1.5], (4, 10))
    table = bag.embedding.embeddings_table.value
    # TensorFlow's own wants them in order, and drops a last empty bag.
    wanted = tf.nn.safe_embedding_lookup_sparse(
        tf.convert_to_tensor(table),
        tf.sparse.reorder(ids),
        tf.sparse.reorder(weights),
        combiner=combiner,
    )
    signature = [
        tf.SparseTensorSpec((None, None), "int32"),
        tf.SparseTensorSpec((None, None), "float32"),
    ]
    graph = tf.function(
        lambda i, w: bag(i, weights=w), input_signature=signature
    )
    np.testing.assert_allclose(graph(ids, weights), wanted, **close)
    np.testing.assert_allclose(bag(ids, weights=weights), wanted, **close)


@pytest.mark.skipif(BACKEND != "jax", reason="JAX's sparse arrays")
@every_combiner
def test_sparse_bags_of_jax(combiner):
    import jax
    from jax.experimental.sparse import BCOO

    bag = make(combiner)
    # An entry outside of the shape is one that was not needed.
    places = np.vstack([np.argwhere(MASK), [MASK.shape]])
    ids, weights = (
        BCOO((np.append(x, x.dtype.type(0)), places), shape=MASK.shape)
        for x in (LISTED, LISTED_WEIGHTS)
    )
    bag.build()
    compiled = jax.jit(lambda i, w: bag(i, weights=w))
    wanted = expected(bag.embedding, combiner)
    np.testing.assert_allclose(compiled(ids, weights), wanted, **close)
    np.testing.assert_allclose(bag(ids, weights=weights), wanted, **close)
    wanted = expected(bag.embedding, combiner, weighted=False)
    np.testing.assert_allclose(bag(ids), wanted, **close)
    with pytest.raises(ValueError, match="pools ids over their last axis"):
        bag(BCOO.fromdense(np.eye(3, dtype="int32"), n_batch=1))


@pytest.mark.tf_only
def test_functional_ragged_and_sparse_inputs():
    import tensorflow as tf

    bag = make("mean")
    for kind, data in (
        ("ragged", tf.RaggedTensor.from_row_splits(LISTED, SPLITS)),
        ("sparse", tf.SparseTensor(np.argwhere(MASK), LISTED, MASK.shape)),
    ):
        ids = keras.Input((None,), dtype="int32", **{kind: True})
        output = bag(ids)
        assert output.shape == (None, WIDTH)
        assert not output.ragged
        assert not output.sparse
        found = keras.Model(ids, output).predict(data, verbose=0)
        wanted = expected(bag.embedding, "mean", weighted=False)
        np.testing.assert_allclose(found, wanted, **close)
        weights = keras.Input((None,), **{kind: True})
        assert bag(ids, weights=weights).shape == (None, WIDTH)
        with pytest.raises(ValueError, match="must have one entry for each"):
            bag(ids, weights=keras.Input((None,)))


@pytest.mark.tf_only
def test_ragged_and_sparse_arguments_that_do_not_fit_are_refused():
    import tensorflow as tf

    bag = make()
    ragged = tf.RaggedTensor.from_row_splits([1, 2, 3], [0, 1, 3])
    for splits in [0, 2, 3], [0, 1, 2, 3]:
        other = tf.RaggedTensor.from_row_splits([1.0, 2.0, 3.0], splits)
        with pytest.raises(ValueError, match=r"`weights`.*one entry for each"):
            bag(ragged, weights=other)
    with pytest.raises(ValueError, match=r"ragged ids.*dense weights"):
        bag(ragged, weights=np.ones((2, 2), "float32"))
    with pytest.raises(ValueError, match="needs dense ids"):
        bag(ragged, row_splits=[0, 3])
    deep = tf.RaggedTensor.from_row_splits(ragged, [0, 2])
    with pytest.raises(ValueError, match=r"\(batch, None\)"):
        bag(deep)
    sparse = tf.SparseTensor([[0, 0], [1, 2]], [1, 2], (2, 3))
    for places in ([[0, 0], [1, 1]], [[0, 0]]):
        values = tf.ones(len(places))
        other = tf.SparseTensor(places, values, (2, 3))
        with pytest.raises(ValueError, match=r"`weights`.*one entry for each"):
            bag(sparse, weights=other)
