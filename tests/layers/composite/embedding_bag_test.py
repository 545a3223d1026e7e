"""Bags of every form over every method, against NumPy pooling of the table."""

from itertools import pairwise

import gradients
import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from methods import DIM, METHODS, WIDTH, every_class, every_row

import keras_pss
from keras_pss.layers.composite.embedding_bag import EmbeddingBag

COMBINERS = ("sum", "mean", "sqrtn")
BACKEND = keras.backend.backend()
every_combiner = pytest.mark.parametrize("combiner", COMBINERS)
close = {"rtol": 1e-6, "atol": 1e-6}

RANDOM = np.random.RandomState(0)
# Padded bags; in the second-last all is padding, in the last weights are 0.
PADDED = RANDOM.randint(0, DIM, (6, 5)).astype("int32")
MASK = RANDOM.rand(6, 5) < 0.7
MASK[-2] = False
PADDED[~MASK] = RANDOM.choice([-1, DIM, 2**31 - 1], (~MASK).sum())
WEIGHTS = RANDOM.uniform(0.5, 2, (6, 5)).astype("float32")
WEIGHTS[-1] = 0
# The same bags as a list.
LISTED = PADDED[MASK]
LISTED_WEIGHTS = WEIGHTS[MASK]
SPLITS = np.concatenate([[0], np.cumsum(MASK.sum(axis=1))]).astype("int32")


def some(*ids):
    return [method for method in METHODS if method.id in ids]


def pooled(rows, weights, splits, combiner):
    """The definition, in float64, a bag at a time."""
    out = np.zeros((len(splits) - 1, rows.shape[1]))
    weights = np.asarray(weights, "float64")
    for bag, (begin, end) in enumerate(pairwise(splits)):
        w = weights[begin:end]
        norm = {"sum": 1.0, "mean": w.sum(), "sqrtn": np.sqrt((w**2).sum())}
        if norm[combiner] != 0:
            total = (w[:, None] * rows[begin:end]).sum(axis=0)
            out[bag] = total / norm[combiner]
    return out


def expected(layer, combiner, weighted=True):
    weights = LISTED_WEIGHTS if weighted else np.ones(len(LISTED))
    return pooled(layer.materialize(LISTED), weights, SPLITS, combiner)


def value(x):
    return ops.convert_to_numpy(x)


def make(combiner="sum", **kwargs):
    return EmbeddingBag(keras_pss.FullEmbedding(DIM, WIDTH, **kwargs), combiner)


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


def model_of(methods):
    """A model of three inputs with a bag of each method; and the bags."""
    inputs = {
        "ids": keras.Input((5,), dtype="int32", name="ids"),
        "weights": keras.Input((5,), name="weights"),
        "mask": keras.Input((5,), dtype="bool", name="mask"),
    }
    bags = {
        method.id: EmbeddingBag(method.make(), combiner, name=method.id)
        for method, combiner in zip(methods, 9 * COMBINERS, strict=False)
    }
    ids, *rest = inputs.values()
    outputs = {
        name: bag(ids, weights=rest[0], mask=rest[1])
        for name, bag in bags.items()
    }
    return keras.Model(inputs, outputs), bags


# One of each inner build: tables, a shared memory, a linear map, index tables,
# and a layer around another layer.
NESTED = some("full", "robe_shared", "mixed_dimension", "clustered", "hot_rows")
DATA = {"ids": PADDED, "weights": WEIGHTS, "mask": MASK}


def test_predict_and_saved_models_give_what_calls_give(tmp_path):
    """Compiled by jax.jit; a TensorFlow graph; plain calls on PyTorch."""
    model, bags = model_of(NESTED)
    before = model.predict(DATA, verbose=0)
    for name, bag in bags.items():
        found = value(bag(PADDED, weights=WEIGHTS, mask=MASK))
        np.testing.assert_allclose(before[name], found, **close)
    model.save(tmp_path / "model.keras")
    after = keras.saving.load_model(tmp_path / "model.keras")
    found = after.predict(DATA, verbose=0)
    for name in bags:
        np.testing.assert_array_equal(found[name], before[name], name)


@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have")
def test_int8_pools_the_packed_rows_and_survives_saving(tmp_path):
    model, bags = model_of(NESTED)
    exact = {k: bag.embedding.materialize() for k, bag in bags.items()}
    promised = {
        k: bag.memory_report().serving_bytes_int8 for k, bag in bags.items()
    }
    model.quantize("int8")
    before = model.predict(DATA, verbose=0)
    for name, bag in bags.items():
        table = bag.embedding.materialize()
        assert np.abs(table - exact[name]).max() > 0
        assert bag.memory_report().serving_bytes == promised[name]
        wanted = expected(bag.embedding, bag.combiner)
        np.testing.assert_allclose(before[name], wanted, **close)
    model.save(tmp_path / "model.keras")
    after = keras.saving.load_model(tmp_path / "model.keras")
    found = after.predict(DATA, verbose=0)
    for name in bags:
        np.testing.assert_array_equal(found[name], before[name], name)


@every_class
def test_config_round_trip(method):
    bag = EmbeddingBag(method.make(), "mean", name="bag")
    twin = EmbeddingBag.from_config(bag.get_config())
    assert twin.embedding is not bag.embedding
    bag.build()
    twin.build()
    for mine, other in zip(twin.weights, bag.weights, strict=True):
        mine.assign(other)
    np.testing.assert_array_equal(
        value(twin(PADDED, mask=MASK)), value(bag(PADDED, mask=MASK))
    )
    assert twin.get_config() == bag.get_config()


@pytest.mark.parametrize("order", ["single first", "bag first"])
def test_an_embedding_shared_with_other_layers_stays_shared(order, tmp_path):
    history = keras.Input((None,), dtype="int32")
    item = keras.Input((), dtype="int32")
    embedding = keras_pss.QREmbedding(DIM, WIDTH, num_buckets=7)
    bag = EmbeddingBag(embedding, "mean")
    calls = [lambda: embedding(item), lambda: bag(history)]
    if order == "bag first":
        calls.reverse()
    mean = EmbeddingBag(embedding, "sqrtn")(history)
    parts = [*(call() for call in calls), mean]
    model = keras.Model([history, item], keras.layers.concatenate(parts))
    data = [np.where(MASK, PADDED, 3), PADDED[:, 0] % DIM]
    before = model.predict(data, verbose=0)
    model.save(tmp_path / "model.keras")
    after = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(after.predict(data, verbose=0), before)
    assert len(after.weights) == len(model.weights) == 2


def test_int8_of_the_layer_itself():
    bag = make("mean")
    bag.build()
    with pytest.raises(NotImplementedError, match="quantization"):
        bag.quantize("float8")
    bag.quantize("int8")
    assert bag.embedding.quantization_mode == "int8"
    # A bag around a packed embedding is of its policy, and calls as ever.
    around = EmbeddingBag(bag.embedding, "mean")
    assert around.quantization_mode == "int8"
    twin = EmbeddingBag.from_config(around.get_config())
    twin.build()
    for mine, other in zip(twin.weights, bag.weights, strict=True):
        mine.assign(other)
    for layer in around, twin:
        found = value(layer(LISTED, row_splits=SPLITS))
        np.testing.assert_array_equal(
            found, value(bag(LISTED, row_splits=SPLITS))
        )
    # It is packed once, whoever asks for it.
    other = EmbeddingBag(bag.embedding)
    other.build()
    other.quantize("int8")
    np.testing.assert_array_equal(found, value(bag(LISTED, row_splits=SPLITS)))


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


@pytest.mark.tf_only
def test_exported_models_serve_every_form(tmp_path):
    import tensorflow as tf

    model, bags = model_of(NESTED)
    model.export(tmp_path / "padded", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "padded"))
    found = loaded.serve({k: tf.constant(v) for k, v in DATA.items()})
    wanted = model(DATA)
    for name in bags:
        np.testing.assert_allclose(found[name], wanted[name], **close)
    bag = bags["mixed_dimension"]
    archive = keras.export.ExportArchive()
    archive.track(bag)
    archive.add_endpoint(
        "listed",
        lambda ids, splits: bag(ids, row_splits=splits),
        [tf.TensorSpec((None,), "int32")] * 2,
    )
    # Keras' own signatures have no ragged tensors.
    spec = tf.RaggedTensorSpec((None, None), "int32")
    served = tf.function(lambda ids: bag(ids), input_signature=[spec])
    archive.add_endpoint("ragged", served)
    archive.write_out(str(tmp_path / "lists"), verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "lists"))
    splits = SPLITS.astype("int64")
    ragged = tf.RaggedTensor.from_row_splits(LISTED, splits)
    wanted = bag(ragged)
    for found in loaded.listed(LISTED, SPLITS), loaded.ragged(ragged):
        np.testing.assert_allclose(found, wanted, **close)


def test_reports_are_the_embeddings():
    embedding = keras_pss.TTEmbedding(DIM, WIDTH, rank=3)
    bag = EmbeddingBag(embedding)
    bag.build()
    assert bag.memory_report("sgd") == embedding.memory_report("sgd")
    assert bag.count_params() == embedding.count_params()
    assert bag.parts() == [embedding]
    assert bag.tables() == {}
    assert bag.lookup_bytes() == bag.lookup_flops() == 0


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
