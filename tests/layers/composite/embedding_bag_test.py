"""Bags of every form over every method, against NumPy pooling of the table."""

import keras
import numpy as np
import pytest
from bags import (
    BACKEND,
    COMBINERS,
    LISTED,
    LISTED_WEIGHTS,
    MASK,
    PADDED,
    SPLITS,
    WEIGHTS,
    close,
    every_combiner,
    expected,
    make,
    pooled,
    value,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from methods import DIM, WIDTH, every_row

import keras_pss
from keras_pss.layers.composite.embedding_bag import EmbeddingBag


def compiled(function):
    """On JAX, where each small operation would be compiled for itself."""
    if BACKEND != "jax":
        return function
    import jax

    return jax.jit(function)


@every_row
def test_weighted_bags_equal_the_pooled_table(method):
    embedding = method.make()
    wanted = [expected(embedding, combiner) for combiner in COMBINERS]
    bags = [EmbeddingBag(embedding, combiner) for combiner in COMBINERS]

    def padded(ids, weights, mask):
        return [bag(ids, weights=weights, mask=mask) for bag in bags]

    def listed(ids, weights, splits):
        return [bag(ids, weights=weights, row_splits=splits) for bag in bags]

    for found in (
        compiled(padded)(PADDED, WEIGHTS, MASK),
        compiled(listed)(LISTED, LISTED_WEIGHTS, SPLITS),
    ):
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(value(one), other, **close)


@every_combiner
def test_bags_without_weights_equal_the_pooled_table(combiner):
    bag = make(combiner)
    table = bag.embedding.materialize()
    wanted = expected(bag.embedding, combiner, weighted=False)
    for found in (
        bag(PADDED, mask=MASK),
        bag(LISTED, row_splits=SPLITS),
        bag(LISTED, row_splits=SPLITS.astype("int64")),
    ):
        np.testing.assert_allclose(value(found), wanted, **close)
    full = np.where(MASK, PADDED, 7)
    ones, splits = np.ones(30), np.arange(0, 31, 5)
    wanted = pooled(table[full.ravel()], ones, splits, combiner)
    np.testing.assert_allclose(value(bag(full)), wanted, **close)


@settings(max_examples=6 if BACKEND == "jax" else 50, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 6), max_size=9),
    combiner=st.sampled_from(COMBINERS),
    seed=st.integers(0, 2**31),
)
def test_any_list_of_bags_equals_a_loop(lengths, combiner, seed):
    random = np.random.RandomState(seed)
    size = sum(lengths)
    ids = random.randint(0, DIM, size).astype("int32")
    weights = random.randint(-3, 4, size).astype("float32")
    splits = np.concatenate([[0], np.cumsum(lengths)]).astype("int32")
    bag = make(combiner)
    table = bag.embedding.materialize()
    found = value(bag(ids, weights=weights, row_splits=splits))
    wanted = pooled(table[ids], weights, splits, combiner)
    assert found.shape == (len(lengths), WIDTH)
    np.testing.assert_allclose(found, wanted, **close)


@every_combiner
def test_empty_bags_are_zero(combiner):
    bag = make(combiner)
    none = np.zeros(0, "int32")
    for found in (
        bag(np.zeros((2, 0), "int32")),
        bag(none, row_splits=[0, 0, 0]),
        bag(none, weights=none.astype("float32"), row_splits=[0, 0, 0]),
        bag(PADDED[:2], mask=np.zeros((2, 5), bool)),
        bag(LISTED[:4], weights=[0.0] * 4, row_splits=[0, 4, 4]),
    ):
        np.testing.assert_array_equal(value(found), np.zeros((2, WIDTH)))
    assert bag(none, row_splits=[0]).shape == (0, WIDTH)
    assert bag(np.zeros((0, 3), "int32")).shape == (0, WIDTH)
    # Weights that cancel have no mean.
    found = value(bag(np.array([[1, 2]]), weights=[[1.0, -1.0]]))
    assert np.isfinite(found).all()
    assert (found == 0).all() == (combiner == "mean")


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
@every_combiner
def test_mixed_precision_pools_in_float32(dtype, combiner):
    bag = make(combiner, dtype=dtype)
    table = bag.embedding.materialize()
    ids = np.arange(3000, dtype="int32").reshape(2, 1500) % DIM
    found = bag(ids)
    assert keras.backend.standardize_dtype(found.dtype) == dtype[6:]
    spec = bag.compute_output_spec(keras.KerasTensor((2, 1500), "int32"))
    assert spec.dtype == dtype[6:]
    # Rounded once, after the last sum.
    wanted = pooled(
        table[ids.ravel()], np.ones(3000), np.array([0, 1500, 3000]), combiner
    )
    epsilon = {"mixed_float16": 2**-11, "mixed_bfloat16": 2**-8}[dtype]
    found = value(ops.cast(found, "float32"))
    np.testing.assert_allclose(found, wanted, rtol=epsilon, atol=1e-6)


def test_a_linear_map_is_applied_once_a_bag(monkeypatch):
    bag = EmbeddingBag(keras_pss.MixedDimensionEmbedding(DIM, 12, inner_dim=3))
    bag.build()
    seen = []
    project = bag.embedding.project
    monkeypatch.setattr(
        bag.embedding,
        "project",
        lambda latent: [seen.append(latent.shape), project(latent)][1],
    )
    bag(LISTED, row_splits=SPLITS)
    bag(PADDED, mask=MASK)
    assert [tuple(shape) for shape in seen] == [(6, 3), (6, 3)]


def test_the_embedding_sees_the_ids_of_training_steps(monkeypatch):
    bag = make()
    seen = []
    monkeypatch.setattr(
        bag.embedding, "observe", lambda *given: seen.append(given)
    )
    bag(PADDED, mask=MASK)
    bag(PADDED, mask=MASK, training=False)
    assert not seen
    bag(PADDED, mask=MASK, training=True)
    ((ids, mask),) = seen
    np.testing.assert_array_equal(value(mask), MASK)
    np.testing.assert_array_equal(value(ids)[MASK], LISTED)


class WithMask(keras.layers.Layer):
    """Hands ids on with a mask: negative ones are padding."""

    def call(self, inputs):
        return inputs + 0

    def compute_mask(self, inputs, previous_mask=None):
        return inputs >= 0

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, inputs.dtype)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_mask_of_the_layer_before_is_taken(weighted):
    bag = make("mean")
    ids = keras.Input((None,), dtype="int32")
    weights = keras.Input((None,))
    marker = WithMask(autocast=False, dtype="int32")
    marker.supports_masking = True
    arguments = {"weights": weights} if weighted else {}
    model = keras.Model([ids, weights], bag(marker(ids), **arguments))
    padded = np.where(MASK, PADDED, -1)
    found = model.predict([padded, WEIGHTS], verbose=0)
    np.testing.assert_allclose(
        found, expected(bag.embedding, "mean", weighted), **close
    )


def test_id_zero_is_padding_where_the_embedding_says_so():
    bag = make("mean", mask_zero=True)
    table = bag.embedding.materialize()
    rows = np.stack([table[[3, 4]].mean(axis=0), 0 * table[0], table[5]])
    padded = np.array([[3, 0, 4], [0, 0, 0], [5, 0, 0]])
    listed = np.array([3, 0, 4, 5, 0])
    for found in bag(padded), bag(listed, row_splits=[0, 3, 3, 5]):
        np.testing.assert_allclose(value(found), rows, **close)
    rows[2] = 0
    mask = np.array([[True] * 3, [True] * 3, [False] * 3])
    found = bag(padded, weights=np.ones((3, 3)), mask=mask)
    np.testing.assert_allclose(value(found), rows, **close)
    with pytest.raises(ValueError, match=r"integers in \[0, input_dim\)"):
        bag(np.array([[3, -1]]))


def test_leading_axes_and_integer_weights():
    bag = make()
    table = bag.embedding.materialize()
    ids = np.arange(24, dtype="int32").reshape(2, 3, 4)
    weights = (ids % 3).astype("int32")
    found = value(bag(ids, weights=weights))
    wanted = (table[ids] * weights[..., None]).sum(axis=2)
    np.testing.assert_allclose(found, wanted, **close)
    found = value(bag(ids[0, 0]))
    np.testing.assert_allclose(found, table[:4].sum(axis=0), **close)


def test_functional_shapes():
    bag = make()
    ids = keras.Input((None,), dtype="int32")
    weights = keras.Input((None,))
    assert bag(ids).shape == (None, WIDTH)
    assert bag(ids, weights=weights).shape == (None, WIDTH)
    cube = keras.Input((3, 4), dtype="int32")
    assert bag(cube).shape == (None, 3, WIDTH)
    values = keras.Input((), dtype="int32")
    splits = keras.Input((), dtype="int32")
    assert bag(values, row_splits=splits).shape == (None, WIDTH)
    splits = keras.Input(batch_shape=(5,), dtype="int32")
    assert bag(values, row_splits=splits).shape == (4, WIDTH)
    listed = keras.Model([values, splits], bag(values, row_splits=splits))
    found = listed([LISTED, SPLITS[[0, 1, 2, 3, 6]]])
    assert found.shape == (4, WIDTH)
    assert bag.compute_output_shape((None, 7)) == (None, WIDTH)
    assert bag.compute_mask(PADDED, MASK) is None
    with pytest.raises(ValueError, match="must have one entry for each id"):
        bag(keras.Input((3,), dtype="int32"), weights=keras.Input((4,)))
    with pytest.raises(ValueError, match="looks up integer ids"):
        bag(keras.Input((3,), dtype="bool"))


def test_reports_are_the_embeddings():
    embedding = keras_pss.TTEmbedding(DIM, WIDTH, rank=3)
    bag = EmbeddingBag(embedding)
    bag.build()
    assert bag.memory_report("sgd") == embedding.memory_report("sgd")
    assert bag.count_params() == embedding.count_params()
    assert bag.parts() == [embedding]
    assert bag.tables() == {}
    assert bag.lookup_bytes() == bag.lookup_flops() == 0
