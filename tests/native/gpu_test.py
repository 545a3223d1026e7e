"""CUDA kernels against the `keras.ops` path on the same GPU, and the CPU.

They need a GPU and `keras-pss build-ops --cuda`, and run where
`KERAS_PSS_NATIVE=gpu` is set. With `KERAS_PSS_GPU_TESTS=dry`, the kernels of
the CPU are compared in their place: this tries the tests' own code.
"""

import os
import subprocess
import sys
from functools import partial

import keras
import numpy as np
import pytest
from keras import ops
from kernels import BACKEND, both_ways, looked_up, numbers

import keras_pss
from keras_pss import native
from keras_pss.ops import gather
from keras_pss.ops.methods import robe, tensor_train

DRY = os.environ.get("KERAS_PSS_GPU_TESTS") == "dry"


def _has_gpu():
    if BACKEND == "jax":
        import jax

        return jax.default_backend() == "gpu"
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.get_visible_devices("GPU"))
    return False


ON_GPU = os.environ.get("KERAS_PSS_NATIVE") == "gpu" and _has_gpu()
pytestmark = pytest.mark.skipif(
    not (ON_GPU or (DRY and BACKEND != "torch")),
    reason="needs a GPU and KERAS_PSS_NATIVE=gpu",
)


@pytest.fixture(autouse=True)
def _in_float32():
    """GPUs multiply matrices in TF32 unless they are told otherwise."""
    if BACKEND == "jax":
        import jax

        with jax.default_matmul_precision("highest"):
            yield
        return
    import tensorflow as tf

    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    yield
    tf.config.experimental.enable_tensor_float_32_execution(before)


def rows_and_slopes(function, values, upstream):
    """`function(values)`, and the gradient of its product with `upstream`."""
    if BACKEND == "jax":
        import jax

        arrays = [jax.numpy.asarray(value) for value in values]
        rows, pull = jax.vjp(lambda *x: function(x), *arrays)
        upstream = jax.numpy.asarray(upstream.reshape(rows.shape), rows.dtype)
        return rows, list(pull(upstream))
    import tensorflow as tf

    x = [tf.convert_to_tensor(value) for value in values]
    with tf.GradientTape() as tape:
        tape.watch(x)
        rows = function(x)
    upstream = tf.cast(upstream.reshape(rows.shape), rows.dtype)
    slopes = tape.gradient(rows, x, upstream)
    return rows, [tf.convert_to_tensor(slope) for slope in slopes]


def on_cpu(compute):
    """What the kernels of the CPU compute."""
    if BACKEND == "jax":
        import jax

        with jax.default_device(jax.devices("cpu")[0]):
            return compute()
    import tensorflow as tf

    with tf.device("CPU"):
        return compute()


def as_numbers(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def assert_close(found, wanted, step):
    found, wanted = as_numbers(found), as_numbers(wanted)
    scale = max(np.abs(wanted).max(initial=0), 1e-30)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=step * scale)


def compare(compute, steps):
    """Kernels against the keras.ops path and the CPU, rows and gradients."""
    here, plain = both_ways(compute)
    cpu = on_cpu(compute)
    for wanted in plain, cpu:
        assert_close(here[0], wanted[0], steps[0])
        for x, y in zip(here[1], wanted[1], strict=True):
            assert_close(x, y, steps[1])
    return here, cpu


TABLES = {
    "blocks": robe.Tables(5000, 16, 8, table=(0, 1), seed=1),
    "signs": robe.Tables(5000, 16, 16, table=(0, 1), seed=1, sign=True),
    "long blocks": robe.Tables(5000, 8, 64, table=(0, 1), seed=1),
    "single": robe.Tables(5000, 40, 1, table=(0, 1), seed=1, sign=True),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("tables", TABLES)
def test_robe(tables, dtype):
    own = TABLES[tables]
    ids = np.random.default_rng(0).integers(0, 3000, (900, 2))
    upstream = numbers(900 * 2, own.output_dim)

    def compute():
        return rows_and_slopes(
            lambda x: looked_up(own, x[0], ops.convert_to_tensor(ids)),
            [ops.cast(numbers(5000), dtype)],
            upstream,
        )

    exact = dtype == "float32"
    here, cpu = compare(compute, (1e-6, 2e-6) if exact else (1e-2, 2e-2))
    np.testing.assert_array_equal(as_numbers(here[0]), as_numbers(cpu[0]))


SHAPES = {
    "train": ((200, 200, 250), (2, 2, 4), (1, 35, 34, 1), 20_000),
    "ring": ((40, 30, 50), (2, 2, 4), (9, 9, 9, 9), 3000),
    "two cores": ((300, 400), (4, 8), (1, 40, 1), 3000),
    "four cores": ((20, 21, 22, 23), (2, 2, 2, 2), (1, 16, 32, 16, 1), 3000),
    "large ranks": ((30, 40, 50), (4, 4, 4), (1, 150, 140, 1), 500),
    "one id": ((20, 30), (2, 2), (1, 3, 1), 1),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_tensor_trains(shape):
    row_shape, column_shape, ranks, count = SHAPES[shape]
    if DRY:
        count = min(count, 500)
    shapes = tensor_train.core_shapes(row_shape, column_shape, ranks)
    random = np.random.default_rng(0)
    rows = int(np.prod(row_shape))
    # Half of the ids are frequent ones.
    ids = random.integers(0, rows, count)
    ids[::2] = random.zipf(1.2, len(ids[::2])) * 7919 % rows
    cores = [
        numbers(p, left * q * right, seed=k) / np.float32(np.sqrt(left))
        for k, (p, left, q, right) in enumerate(shapes)
    ]
    upstream = numbers(count, int(np.prod(column_shape)))

    def product(cores):
        return tensor_train.rows(
            shapes,
            ops.convert_to_tensor(ids.astype("int32")),
            cores,
            lambda k, digits: gather.rows(cores[k], digits),
        )

    # Sums of many terms in float32, in another order.
    compare(partial(rows_and_slopes, product, cores, upstream), (2e-6, 1e-5))


def test_no_ids_and_ids_outside_of_the_table():
    shapes = tensor_train.core_shapes((5, 4, 6), (2, 2, 3), (1, 3, 5, 1))
    cores = [
        numbers(p, left * q * right, seed=k)
        for k, (p, left, q, right) in enumerate(shapes)
    ]
    kernels = native.dispatch.kernels()
    found = kernels.tensor_train_lookup(
        ops.convert_to_tensor(np.array([-5, 0, 119, 120, 2**31 - 1], "int32")),
        [ops.convert_to_tensor(core) for core in cores],
        shapes,
    )
    found = as_numbers(found)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[3], found[2])
    np.testing.assert_array_equal(found[4], found[2])
    none, slopes = rows_and_slopes(
        lambda x: kernels.tensor_train_lookup(
            ops.zeros((0,), "int32"), list(x), shapes
        ),
        cores,
        np.zeros((0, 12), "float32"),
    )
    assert none.shape == (0, 12)
    assert all(not as_numbers(slope).any() for slope in slopes)


@pytest.mark.tf_only
def test_rows_of_tables():
    """Kernels that TensorFlow alone has: gathered rows, dense gradients."""
    from keras_pss.native import tensorflow_kernels as kernels

    ids = np.random.default_rng(0).integers(0, 50, 3000)
    upstream = numbers(3000, 20)

    def gathered(x):
        if native.available():
            return kernels.gather_rows(x[0], ops.convert_to_tensor(ids))
        return ops.take(x[0], ops.convert_to_tensor(ids), axis=0)

    compare(
        partial(rows_and_slopes, gathered, [numbers(50, 20)], upstream),
        (0, 2e-6),
    )
    if ON_GPU:  # on the CPU it is an error
        outside = kernels.gather_rows(numbers(50, 20), np.array([0, 50, -1]))
        assert np.isnan(as_numbers(outside)[1:]).all()


@pytest.mark.parametrize(
    "embedding",
    [
        partial(keras_pss.ROBEEmbedding, memory_size=4096, sign=True),
        partial(keras_pss.TTEmbedding, rank=8),
        partial(keras_pss.TensorRingEmbedding, rank=4),
    ],
)
def test_training_is_the_same(embedding):
    def trained():
        keras.utils.set_random_seed(1)
        model = keras.Sequential(
            [
                keras.Input((3,), dtype="int32"),
                embedding(5000, 8),
                keras.layers.Flatten(),
                keras.layers.Dense(1),
            ]
        )
        # On GPUs, TensorFlow has the kernels outside of XLA alone.
        model.compile("adam", "mse", jit_compile=BACKEND == "jax")
        x = np.random.default_rng(0).integers(0, 5000, (512, 3))
        model.fit(x, np.sin(x.sum(1)), batch_size=128, epochs=2, verbose=0)
        return model.get_weights()

    for x, y in zip(*both_ways(trained), strict=True):
        np.testing.assert_allclose(x, y, atol=2e-4)


GRADIENTS = """
import hashlib, numpy as np, keras, keras_pss
from keras import ops
from keras_pss import native
assert native.available()
keras.utils.set_random_seed(0)
ids = np.random.default_rng(0).zipf(1.2, COUNT) % 100_000
for layer in (
    keras_pss.ROBEEmbedding(100_000, 16, memory_size=1 << 14, block_size=8),
    keras_pss.TTEmbedding(100_000, 16, rank=16),
    keras_pss.TensorRingEmbedding(100_000, 8, rank=5),
):
    layer.build()
    values = [v.value for v in layer.trainable_variables]
    up = np.random.default_rng(1).normal(size=(len(ids), layer.output_dim))
    up = up.astype("float32")
    if keras.backend.backend() == "jax":
        import jax
        call = jax.jit(lambda values: jax.vjp(
            lambda v: layer.stateless_call(v, [], ids)[0], values)[1](up)[0])
        compute = lambda: call(values)
    else:
        import tensorflow as tf
        def compute():
            with tf.GradientTape() as tape:
                rows = layer(ids)
            return tape.gradient(rows, values, tf.constant(up))
    for _ in range(4):
        found = [np.asarray(ops.convert_to_numpy(x)) for x in compute()]
        print(hashlib.sha256(b"".join(x.tobytes() for x in found)).hexdigest())
"""


def test_gradients_have_the_same_bits_on_request():
    run = subprocess.run(
        [sys.executable, "-c", f"COUNT = {500 if DRY else 20_000}" + GRADIENTS],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_PSS_DETERMINISTIC": "1"},
    )
    assert run.returncode == 0, run.stderr[-2000:]
    lines = run.stdout.split()
    assert len(lines) == 12
    assert [len(set(lines[k : k + 4])) for k in (0, 4, 8)] == [1, 1, 1]
