"""Gradients of the kernels against those of the `keras.ops` path."""

import keras
import numpy as np
import pytest
from keras import ops
from kernels import BACKEND, both_ways, looked_up, numbers

import keras_pss
from keras_pss import native
from keras_pss.native import dispatch as native_kernels
from keras_pss.ops.methods import robe


def gradient_of(function, value):
    """Gradient of a scalar function of one array."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        x = tf.constant(value)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x).numpy()
    import jax

    return np.asarray(jax.grad(function)(jax.numpy.asarray(value)))


CASES = {
    "block": {"block_size": 4},
    "uneven": {"block_size": 5},
    "whole": {"block_size": 12},
    "shared": {"block_size": 24},
    "fold": {"block_size": 720},
    "sign": {"block_size": 6, "sign": True},
    "scaled": {"block_size": 4, "scales": (0.5, 2.0, 1.0)},
}


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_the_definition(case):
    tables = robe.Tables(
        memory_size=720, output_dim=12, table=(0, 1, 2), **CASES[case]
    )
    ids = ops.convert_to_tensor(
        np.random.default_rng(1).integers(0, 50, (300, 3)).astype("int32")
    )
    upstream = ops.convert_to_tensor(numbers(300, 3, 12))
    memory = numbers(720, seed=2)

    def loss(x):
        return ops.sum(looked_up(tables, x, ids) * upstream)

    found, wanted = both_ways(lambda: gradient_of(loss, memory))
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(found, wanted, atol=1e-6 * scale)


def test_second_derivatives(calls):
    tables = robe.Tables(memory_size=60, output_dim=6, block_size=3)
    ids = ops.convert_to_tensor(np.arange(20, dtype="int32"))

    def slope(x):
        """Of the sum of cubes along ones, itself differentiable."""
        if BACKEND == "tensorflow":
            import tensorflow as tf

            with tf.GradientTape() as tape:
                tape.watch(x)
                y = ops.sum(looked_up(tables, x, ids) ** 3)
            return ops.sum(tape.gradient(y, x))
        import jax

        cubes = jax.grad(lambda z: ops.sum(looked_up(tables, z, ids) ** 3))
        return ops.sum(cubes(x))

    memory = numbers(60)
    found, wanted = both_ways(lambda: gradient_of(slope, memory))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert calls["robe_lookup"] > 0


@pytest.mark.parametrize("jit", [False, True])
def test_training_is_the_same(jit):
    """Weights after some steps, by kernels and by the definition."""

    def trained():
        keras.utils.set_random_seed(1)
        model = keras.Sequential(
            [
                keras.Input((3,), dtype="int32"),
                keras_pss.EmbeddingCollection(
                    [500, 400, 3], 8, budget="10x", options={"sign": True}
                ),
                keras.layers.Flatten(),
                keras.layers.Dense(1),
            ]
        )
        model.compile("adam", "mse", jit_compile=jit)
        random = np.random.default_rng(0)
        x = random.integers(0, [500, 400, 3], (512, 3)).astype("int32")
        model.fit(x, np.sin(x.sum(1)), batch_size=64, epochs=2, verbose=0)
        return model.get_weights(), model.evaluate(x, x[:, 0], verbose=0)

    found, wanted = both_ways(trained)
    for x, y in zip(found[0], wanted[0], strict=True):
        np.testing.assert_allclose(x, y, atol=2e-6)
    assert found[1] == pytest.approx(wanted[1], rel=1e-5)


def test_gradients_of_bags():
    tables = robe.Tables(90, 8, 4, sign=True)
    splits = ops.convert_to_tensor(np.array([0, 3, 3, 11, 24], "int32"))
    ids = ops.convert_to_tensor(np.arange(24, dtype="int32") % 7)
    memory = ops.convert_to_tensor(numbers(90))
    upstream = ops.convert_to_tensor(numbers(4, 8, seed=5))
    index = np.repeat(np.arange(4), [3, 0, 8, 13])
    found = native_kernels.kernels()

    def by_kernel(memory, weights):
        return found.robe_lookup(
            memory, ids, tables.keys, (), splits, weights,
            output_dim=8, block_size=4,
        )  # fmt: skip

    def by_definition(memory, weights):
        with native.disabled():
            rows = looked_up(tables, memory, ids)
        rows = rows * ops.expand_dims(weights, -1)
        return ops.segment_sum(rows, ops.convert_to_tensor(index), 4)

    weights = numbers(24, seed=4)
    for number, value in (0, numbers(90)), (1, weights):
        slopes = []
        for function in (by_kernel, by_definition):

            def loss(x, function=function, number=number):
                args = [memory, ops.convert_to_tensor(weights)]
                args[number] = x
                return ops.sum(function(*args) * upstream)

            slopes.append(gradient_of(loss, value))
        np.testing.assert_allclose(*slopes, atol=1e-5)
