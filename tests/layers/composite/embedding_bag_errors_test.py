"""Bags that do not fit: errors, and NaN where compiled code cannot raise."""

import keras
import numpy as np
import pytest
from bags import (
    BACKEND,
    LISTED,
    LISTED_WEIGHTS,
    MASK,
    PADDED,
    SPLITS,
    WEIGHTS,
    close,
    expected,
    make,
)
from methods import DIM, WIDTH

import keras_pss
from keras_pss.layers.composite.embedding_bag import EmbeddingBag


@pytest.mark.tf_only
@pytest.mark.parametrize(
    ("jit", "combiner"), [(False, "mean"), (True, "mean"), (True, "sqrtn")]
)
def test_graphs_of_unknown_lengths(jit, combiner):
    import tensorflow as tf

    bag = EmbeddingBag(
        keras_pss.MixedDimensionEmbedding(DIM, WIDTH, inner_dim=3), combiner
    )
    list_of = {d: tf.TensorSpec((None,), d) for d in ("int32", "float32")}
    listed = tf.function(
        lambda i, w, s: bag(i, weights=w, row_splits=s),
        jit_compile=jit,
        input_signature=[list_of[d] for d in ("int32", "float32", "int32")],
    )
    found = listed(LISTED, LISTED_WEIGHTS, SPLITS)
    np.testing.assert_allclose(
        found, expected(bag.embedding, combiner), **close
    )
    some = int(SPLITS[3])
    found = listed(LISTED[:some], LISTED_WEIGHTS[:some], SPLITS[:4])
    np.testing.assert_allclose(
        found, expected(bag.embedding, combiner)[:3], **close
    )
    matrix = [tf.TensorSpec((None, None), d) for d in ("int32", "float32")]
    padded = tf.function(
        lambda i, w: bag(i, weights=w, mask=i >= 0),
        jit_compile=jit,
        input_signature=matrix,
    )
    ids = np.where(MASK, PADDED, -1)
    found = padded(ids, WEIGHTS)
    np.testing.assert_allclose(
        found, expected(bag.embedding, combiner), **close
    )
    ragged = tf.RaggedTensor.from_row_splits(LISTED, SPLITS)
    found = tf.function(bag, jit_compile=jit)(ragged)
    wanted = expected(bag.embedding, combiner, weighted=False)
    np.testing.assert_allclose(found, wanted, **close)
    if not jit:  # the lengths are compared when they are known
        with pytest.raises(tf.errors.InvalidArgumentError, match="one entry"):
            padded(ids[:, :4], WEIGHTS[:, :1])


@pytest.mark.tf_only
def test_what_is_wrong_stops_a_graph_and_is_nan_under_xla():
    import tensorflow as tf

    bag = make("mean")
    bag.build()
    graph = tf.function(lambda i, s: bag(i, row_splits=s))
    xla = tf.function(lambda i, s: bag(i, row_splits=s), jit_compile=True)
    ids = tf.constant([1, 2, 3])
    for splits in [0, 3, 2, 3], [1, 1, 1, 3], [0, 0, 0, 2], [0, -9, 99, 3]:
        with pytest.raises(
            tf.errors.InvalidArgumentError, match=r"row_splits.*must start"
        ):
            graph(ids, tf.constant(splits))
        assert np.isnan(xla(ids, tf.constant(splits))).all()
    wrong, splits = tf.constant([1, DIM, 3]), tf.constant([0, 1, 2, 3])
    with pytest.raises(tf.errors.InvalidArgumentError, match="input_dim"):
        graph(wrong, splits)
    lost = np.isnan(xla(wrong, splits)).all(axis=1)
    np.testing.assert_array_equal(lost, [False, True, False])
    # Nor does a weight of 0 make the id a valid one.
    weighted = tf.function(
        lambda i: bag(i, weights=[[0.0, 1.0], [0.0, 0.0]]), jit_compile=True
    )
    assert np.isnan(weighted(tf.constant([[DIM, 1], [-1, 1]]))).all()
    ragged = tf.RaggedTensor.from_row_splits([1, 2, 3], [0, 1, 3])
    other = tf.RaggedTensor.from_row_splits([1.0, 2.0, 3.0], [0, 2, 3])
    signature = [
        tf.RaggedTensorSpec((None, None), dtype, 1)
        for dtype in ("int32", "float32")
    ]
    joined = tf.function(
        lambda i, w: bag(i, weights=w), input_signature=signature
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="one entry"):
        joined(ragged, other)


@pytest.mark.skipif(BACKEND != "jax", reason="jax.jit")
def test_what_is_wrong_is_nan_under_jit():
    import jax

    bag = make("mean")
    bag.build()
    function = jax.jit(lambda i, s: bag(i, row_splits=s))
    ids = np.array([1, 2, 3])
    assert np.isfinite(function(ids, np.array([0, 0, 1, 3]))).all()
    for splits in [0, 3, 2, 3], [1, 1, 1, 3], [0, 0, 0, 2], [0, -9, 99, 3]:
        assert np.isnan(function(ids, np.array(splits))).all()


@pytest.mark.parametrize("wrong", ["max", None, 3])
def test_combiner_must_be_known(wrong):
    with pytest.raises(
        ValueError, match=r"combiner.* must be one of 'sum'.*Re"
    ):
        make(wrong)


def test_only_embeddings_of_single_ids_are_wrapped():
    for wrong in keras.layers.Embedding(3, 4), "tt":
        with pytest.raises(ValueError, match="`embedding` must be a compress"):
            EmbeddingBag(wrong)


@pytest.mark.parametrize(
    ("ids", "arguments", "message"),
    [
        (
            PADDED[:, :2],
            {"row_splits": SPLITS},
            r"needs dense ids of shape \(nnz,\).*\(6, 2\)",
        ),
        (LISTED, {"row_splits": [0, 2]}, r"end at the number.*\[0 2\], ids="),
        (LISTED, {"row_splits": [1, len(LISTED)]}, "must start at 0"),
        (LISTED, {"row_splits": [0, 5, 4, len(LISTED)]}, "never decrease"),
        (LISTED, {"row_splits": [[0, 1]]}, r"shape \(batch \+ 1,\).*\(1, 2\)"),
        (LISTED, {"row_splits": np.zeros(0, "int32")}, r"start of each.*\(0,"),
        (LISTED, {"row_splits": [0.0, 1.0]}, "must be integers.*float32"),
        (PADDED[0, 0], {}, r"Pass dense ids of shape \(\.\.\., L\).*\(\)"),
        (
            np.zeros((2, 3), "int32"),
            {"weights": np.zeros((2, 1), "float32")},
            r"`weights`.*one entry for each id.*\(2, 3\), dense.*\(2, 1\)",
        ),
        (
            np.zeros((2, 3), "int32"),
            {"mask": np.ones(2, bool)},
            r"`mask`.*one entry for each id.*\(2,\)",
        ),
        (
            np.zeros((2, 3), "int32"),
            {"weights": np.ones((2, 3), bool)},
            "`weights` .*wrong dtype.*bool",
        ),
        (
            np.zeros((2, 3), "int32"),
            {"mask": np.ones((2, 3), "int32")},
            "`mask` .*wrong dtype.*int32",
        ),
        (np.array([[1, DIM]]), {}, rf"\[0, {DIM}\).*the first {DIM}"),
    ],
)
def test_what_does_not_fit_is_refused(ids, arguments, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        make()(np.asarray(ids), **arguments)
