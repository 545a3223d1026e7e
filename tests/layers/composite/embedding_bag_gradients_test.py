"""Gradients of bags, of the tables and of the weights, and a fit."""

import gradients
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
    every_combiner,
    make,
    pooled,
    some,
    value,
)
from keras import ops
from methods import WIDTH, every_class

from keras_pss.layers.composite.embedding_bag import EmbeddingBag


class Called:
    """A bag with all of its arguments but the ids, as gradients.py asks."""

    def __init__(self, bag, **arguments):
        self.bag, self.arguments = bag, arguments

    def __getattr__(self, name):
        return getattr(self.bag, name)

    def __call__(self, ids):
        return self.bag(ids, **self.arguments)

    def stateless_call(self, values, others, ids):
        return self.bag.stateless_call(values, others, ids, **self.arguments)


def factors(combiner):
    """d bag / d row of each id, and its bag."""
    index = np.repeat(np.arange(6), np.diff(SPLITS))
    one = np.ones((len(LISTED), 1))
    norm = pooled(one, LISTED_WEIGHTS, SPLITS, "sum")[index, 0]
    if combiner == "sqrtn":
        squares = pooled(one, LISTED_WEIGHTS**2, SPLITS, "sum")
        norm = np.sqrt(squares)[index, 0]
    if combiner == "sum":
        norm = np.ones(len(LISTED))
    norm[norm == 0] = np.inf
    return LISTED_WEIGHTS / norm, norm, index


@every_class
def test_gradient_of_the_tables_is_that_of_the_single_rows(method):
    """Which the contract compares with the finite differences."""
    embedding = method.make()
    embedding.build()
    upstream = np.random.RandomState(1).normal(size=(6, WIDTH))
    upstream = upstream.astype("float32")
    padded = PADDED, {"weights": WEIGHTS, "mask": MASK}
    listed = LISTED, {"weights": LISTED_WEIGHTS, "row_splits": SPLITS}
    for combiner, (ids, arguments) in ("mean", padded), ("sqrtn", listed):
        factor, _, index = factors(combiner)
        each = (factor[:, None] * upstream[index]).astype("float32")
        wanted = gradients.weight_gradients(embedding, LISTED, each)
        bag = EmbeddingBag(embedding, combiner)
        bag.build()
        called = Called(bag, **arguments)
        found = gradients.weight_gradients(called, ids, upstream)
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-6)


def gradient(function, x):
    """d function / dx of a scalar function, on the backend at hand."""
    if BACKEND == "jax":
        import jax

        return np.asarray(jax.grad(function)(ops.convert_to_tensor(x)))
    x = ops.convert_to_tensor(x)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            result = function(x)
        return tape.gradient(result, x).numpy()
    import torch

    x.requires_grad_()
    return value(torch.autograd.grad(function(x), x)[0])


@every_combiner
@pytest.mark.parametrize("method", some("full", "tt_default", "deep_hash"))
def test_gradient_of_the_weights_equals_the_formula(method, combiner):
    bag = EmbeddingBag(method.make(), combiner)
    rows = bag.embedding.materialize()[LISTED].astype("float64")
    upstream = np.random.RandomState(1).normal(size=(6, WIDTH))
    upstream = upstream.astype("float32")
    given = ops.convert_to_tensor(upstream)
    _, norm, index = factors(combiner)
    w = LISTED_WEIGHTS.astype("float64")
    # d (num / norm) = (E_i - pooled * d norm / d w_i) / norm
    slope = {"sum": 0 * w, "mean": 0 * w + 1, "sqrtn": w / norm}[combiner]
    means = pooled(rows, w, SPLITS, combiner)[index]
    each = (rows - slope[:, None] * means) / norm[:, None]
    wanted = (each * upstream[index]).sum(axis=1)

    def padded(weights):
        return ops.sum(bag(PADDED, weights=weights, mask=MASK) * given)

    def listed(weights):
        found = bag(LISTED, weights=weights, row_splits=SPLITS)
        return ops.sum(found * given)

    found = gradient(listed, LISTED_WEIGHTS)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    # Padding may carry anything, and gets nothing.
    found = gradient(padded, np.where(MASK, WEIGHTS, np.nan))
    np.testing.assert_array_equal(found[~MASK], 0)
    np.testing.assert_allclose(found[MASK], wanted, rtol=1e-5, atol=1e-6)


def test_fit_trains_weights_and_tables_through_a_compiled_step():
    """jax.jit on JAX, XLA on TensorFlow."""
    ids = keras.Input((5,), dtype="int32")
    weights = keras.layers.Dense(5, "softplus")(ids)
    bag = make("mean")
    model = keras.Model(ids, bag(ids, weights=weights))
    before = [value(w).copy() for w in model.trainable_weights]
    jit = {"jit_compile": True} if BACKEND == "tensorflow" else {}
    model.compile(keras.optimizers.Adam(0.01), "mse", **jit)
    data = np.where(MASK, PADDED, 3), np.ones((6, WIDTH))
    losses = model.fit(*data, epochs=12, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    for weight, start in zip(model.trainable_weights, before, strict=True):
        assert np.abs(value(weight) - start).max() > 0
