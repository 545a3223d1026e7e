"""What the papers prove about the sketches, on the hashes as they are."""

import numpy as np
import pytest

import keras_pss
from keras_pss.ops.hash_families import pss1


def projected(vectors, memory_size, block_size, seed):
    """ROBE's sketch of the rows of a (count, n) array: one table, n columns."""
    count, n = vectors.shape
    chunks = tuple(range(n // block_size))
    start = pss1.starts(np.array([0]), memory_size, seed, chunks=chunks)[0]
    place = (start[:, None] + np.arange(block_size)) % memory_size
    signs = pss1.signs(np.array([0]), n, seed=seed, table=0).ravel()
    memory = np.zeros((count, memory_size))
    for vector, target in zip(vectors * signs, memory, strict=True):
        np.add.at(target, place.ravel(), vector)
    return memory


def variance(x, y, memory_size):
    """V_1 of theorem 1: the variance with blocks of one element."""
    squares = (x**2).sum() * (y**2).sum() - (x**2 * y**2).sum()
    products = (x * y).sum() ** 2 - (x**2 * y**2).sum()
    return (squares + products) / memory_size


@pytest.mark.parametrize("block_size", [1, 4, 16])
def test_robes_theorem_1(block_size):
    """The inner product's mean is true, its variance falls with Z."""
    n, memory_size, count = 32, 24, 6000
    random = np.random.RandomState(0)
    x, y = random.normal(size=(2, n))
    found = np.empty(count)
    for seed in range(count):
        a, b = projected(np.stack([x, y]), memory_size, block_size, seed)
        found[seed] = a @ b
    blocks = (x.reshape(-1, block_size), y.reshape(-1, block_size))
    expected = variance(x, y, memory_size) - sum(
        variance(u, v, memory_size) for u, v in zip(*blocks, strict=True)
    )
    assert found.mean() == pytest.approx(
        x @ y, abs=4 * np.sqrt(expected / count)
    )
    # The standard error of a variance is about sqrt(2 / count) = 2 %, more
    # for heavier tails.
    assert found.var() == pytest.approx(expected, rel=0.1)
    if block_size > 1:
        assert expected < variance(x, y, memory_size)


def test_the_layer_is_that_sketch():
    """E = S'M, whose S projects: so it is the theorem's projection."""
    layer = keras_pss.ROBEEmbedding(
        1, 32, memory_size=24 + 8, block_size=4, sign=True, seed=5
    )
    layer.build()
    memory = np.random.RandomState(1).normal(size=(32, 1)).astype("float32")
    layer.memory_table.assign(memory)
    basis = projected(np.eye(32), 32, 4, seed=5)
    np.testing.assert_allclose(
        layer.materialize()[0], (basis @ memory)[:, 0], rtol=1e-6
    )


def test_the_sketchs_error_falls_as_the_root_of_its_size():
    """Inner products of columns of a table, theorem 6: epsilon ~ 1/sqrt(m)."""
    n, seeds = 500, 40
    table = np.random.RandomState(2).normal(size=(n, 8))
    table /= np.linalg.norm(table, axis=0)
    exact = table.T @ table
    errors = {}
    for buckets in (64, 256, 1024):
        squares = []
        for seed in range(seeds):
            layer = keras_pss.SketchEmbedding(
                n, 8, num_buckets=buckets, num_nonzeros=4, seed=seed
            )
            rows, values = layer.sketch(np.arange(n, dtype="int32"))
            sketch = np.zeros((buckets, n))
            columns = np.repeat(np.arange(n), 4)
            np.add.at(
                sketch,
                (np.asarray(rows).ravel(), columns),
                np.asarray(values).ravel(),
            )
            small = sketch @ table  # M = S E
            squares.append(np.mean((small.T @ small - exact) ** 2))
        errors[buckets] = np.sqrt(np.mean(squares))
    assert errors[64] / errors[256] == pytest.approx(2, rel=0.1)
    assert errors[256] / errors[1024] == pytest.approx(2, rel=0.1)
    # Each inner product of unit vectors has about this deviation.
    assert errors[256] == pytest.approx(np.sqrt(1 / 256), rel=0.2)
