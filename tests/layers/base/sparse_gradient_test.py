"""Sparse gradients: fewer numbers, the same training."""

import keras
import numpy as np
import pytest
import replicas
from keras import ops

import keras_pss
from keras_pss.ops import sparse_gradient

# Elsewhere there are dense gradients alone.
pytestmark = pytest.mark.tf_only

# Frequent ids occur many times in a batch.
IDS = (np.random.RandomState(0).zipf(1.3, (64, 5)) % 50).astype("int32")
TARGET = np.random.RandomState(1).normal(size=(64, 5, 8)).astype("float32")


def trained(make, optimizer, gradient, jit=False, reads=1):
    keras.utils.set_random_seed(3)
    layer = make(gradient)
    ids = keras.Input((5,), dtype="int32")
    rows = layer(ids)
    for _ in range(reads - 1):
        rows = rows * ops.cos(layer(ids))
    model = keras.Model(ids, rows)
    model.compile(optimizer(), "mse", jit_compile=jit)
    for _ in range(4):
        model.train_on_batch(IDS, TARGET)
    return [ops.convert_to_numpy(weight) for weight in layer.weights]


def full(gradient):
    return keras_pss.FullEmbedding(50, 8, gradient=gradient)


OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.5),
    "momentum": lambda: keras.optimizers.SGD(0.5, momentum=0.9),
    "adagrad": lambda: keras.optimizers.Adagrad(0.1),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01),
    "adam": lambda: keras.optimizers.Adam(0.01),
    "ftrl": lambda: keras.optimizers.Ftrl(0.1),
    "lion": lambda: keras.optimizers.Lion(0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_sees_the_sum_over_duplicates(name):
    sparse = trained(full, OPTIMIZERS[name], "sparse")
    dense = trained(full, OPTIMIZERS[name], "dense")
    for mine, theirs in zip(sparse, dense, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda g: keras_pss.HashedEmbedding(50, 8, num_buckets=9, gradient=g),
        lambda g: keras_pss.HashedEmbedding(
            50, 8, num_buckets=9, num_hashes=2, weighted=True, gradient=g
        ),
        lambda g: keras_pss.QREmbedding(50, 8, num_buckets=7, gradient=g),
        lambda g: keras_pss.ROBEEmbedding(50, 8, memory_size=90, gradient=g),
        lambda g: keras_pss.TTEmbedding(50, 8, rank=3, gradient=g),
        lambda g: keras_pss.MEMComEmbedding(50, 8, num_buckets=9, gradient=g),
        lambda g: keras_pss.EmbeddingCollection(
            [50] * 5, 8, "qr", "2x", gradient=g
        ),
    ],
    ids=["hash", "hash_embeddings", "qr", "robe", "tt", "memcom", "collection"],
)
def test_every_method_trains_as_with_a_dense_gradient(make):
    sparse = trained(make, OPTIMIZERS["adagrad"], "sparse")
    dense = trained(make, OPTIMIZERS["adagrad"], "dense")
    for mine, theirs in zip(sparse, dense, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["adagrad", "sgd"])
def test_a_table_that_is_read_twice_in_a_step(name):
    """The entries of two sparse gradients would be joined unsummed."""
    sparse = trained(full, OPTIMIZERS[name], "sparse", reads=2)
    dense = trained(full, OPTIMIZERS[name], "dense", reads=2)
    np.testing.assert_allclose(sparse[0], dense[0], rtol=1e-5, atol=1e-6)


def test_under_xla():
    sparse = trained(full, OPTIMIZERS["adagrad"], "sparse", jit=True)
    dense = trained(full, OPTIMIZERS["adagrad"], "dense")
    np.testing.assert_allclose(sparse[0], dense[0], rtol=1e-5, atol=1e-6)


def test_the_gradient_holds_what_the_batch_reads():
    import tensorflow as tf

    layer = full("sparse")
    layer.build()
    kinds = []

    @tf.function
    def gradient(ids):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(ids) ** 2)
        found = tape.gradient(loss, layer.weights[0].value)
        kinds.append(type(found))
        return found.indices, found.values, tf.convert_to_tensor(found)

    indices, values, dense = gradient(tf.constant([3, 5, 3, 3]))
    assert kinds == [tf.IndexedSlices]
    np.testing.assert_array_equal(indices, [3, 5, 3, 3])
    # The sum stands at the first entry of a row, and nothing at the others.
    row = layer.materialize(np.array([3, 5], "int32"))
    np.testing.assert_allclose(values[0], 6 * row[0], rtol=1e-6)
    np.testing.assert_allclose(values[1], 2 * row[1], rtol=1e-6)
    np.testing.assert_array_equal(values[2:], np.zeros((2, 8)))
    np.testing.assert_allclose(dense[3], 6 * row[0], rtol=1e-6)


def test_auto_is_sparse_for_large_tables_alone():
    small, large = full("auto"), keras_pss.FullEmbedding(2**21, 8)
    for layer in (small, large):
        layer.build()
    assert not sparse_gradient.pays(small.embeddings_table)
    assert sparse_gradient.pays(large.embeddings_table)
    assert large.gradient == "auto"


@pytest.mark.slow
def test_replicas_train_as_one():
    replicas.check("""
found = []
for devices in ["CPU:0", "CPU:1"], ["CPU:0"]:
    keras.utils.set_random_seed(1)
    with tf.distribute.MirroredStrategy(devices).scope():
        layer = keras_pss.FullEmbedding(60, 4, gradient="sparse")
        model = keras.Sequential([keras.Input((), dtype="int32"), layer])
        optimizer = keras.optimizers.Adagrad(0.1)
        model.compile(optimizer, "mse", jit_compile=False)
    model.fit(ids, np.ones((160, 4)), batch_size=16, shuffle=False, verbose=0)
    found.append(layer.materialize())
np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-6)
""")


def test_an_unknown_mode_is_an_error():
    with pytest.raises(ValueError, match=r"'dense', 'sparse'.*'thin'"):
        full("thin")
