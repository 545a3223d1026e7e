"""Rounding to a grid against NumPy, and the laws that training relies on."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from keras import ops

from keras_pss.ops import rounding
from keras_pss.ops.hash_families import pss1

every_storage = pytest.mark.parametrize("storage", rounding.STORAGES)
LARGEST = {"int8": 127, "int4": 7}
# One shape, since JAX compiles each operation anew for another one.
TABLES = arrays.arrays(
    np.float32,
    (4, 5),
    elements=st.floats(-(2.0**99), 2.0**99, width=32, allow_subnormal=False),
)


def nearest(x, storage):
    return ops.convert_to_numpy(rounding.nearest(x, storage))


def stochastic(x, storage, seed=0):
    return ops.convert_to_numpy(rounding.stochastic(x, storage, seed))


def table(rows, width, spread=2.0):
    """Normal numbers, of a scale of its own for each row."""
    random = np.random.RandomState(rows + width)
    scale = np.exp(spread * random.normal(size=(rows, 1)))
    return (random.normal(size=(rows, width)) * scale).astype("float32")


def same_bits(a, b):
    # Zero has two signs, which are one number.
    np.testing.assert_array_equal(
        (a + 0.0).view("int32"), (b + 0).view("int32")
    )


def reference(x, storage, seed):
    """Stochastic rounding, written down once more with 64-bit integers."""
    rows, width = x.shape
    bits = x.view(np.uint32).astype(np.uint64)
    above = (
        np.arange(rows) + int(x.view(np.int32).sum(dtype=np.int32))
    ) % 2**32

    def drawn(low, size, column):
        wide = (above.astype(np.uint64) << np.uint64(32)) | low
        return pss1.starts(wide, size, seed, column)[:, 0]

    noise = np.stack(
        [drawn(bits[:, j], 2**24, j) / 2**24 for j in range(width)], axis=1
    )
    if storage == "float16":
        step = 2.0 ** np.maximum(np.floor(np.log2(np.abs(x) + 1e-45)) - 10, -24)
        exact = x / step
        return (np.floor(exact) + (noise < exact % 1)) * step
    peak = np.abs(x).max(axis=1)
    low = peak.view(np.uint32).astype(np.uint64)
    quotient = (peak * np.float32(1 / LARGEST[storage])).view(np.int32)
    scale = quotient + drawn(low, 256, width)
    scale = (scale >> 8 << 8).astype(np.int32).view(np.float32)[:, None]
    exact = x * (np.float32(1) / scale)
    codes = np.floor(exact) + (noise < exact - np.floor(exact))
    codes = np.where(np.abs(x) == peak[:, None], np.inf * x, codes)
    return np.clip(codes, -LARGEST[storage], LARGEST[storage]) * scale


@every_storage
def test_every_backend_gives_these_bits(storage):
    x = table(60, 8)
    for seed in (0, 3):
        expected = reference(x, storage, seed).astype("float32")
        same_bits(stochastic(x, storage, seed), expected)


@every_storage
def test_compiled_code_gives_the_same_bits(storage):
    x = table(60, 8)
    expected = stochastic(x, storage)
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        for jit in (False, True):
            function = tf.function(
                lambda x: rounding.stochastic(x, storage), jit_compile=jit
            )
            same_bits(function(x).numpy(), expected)
            same_bits(function(expected).numpy(), expected)
    elif backend == "jax":
        import jax

        function = jax.jit(lambda x: rounding.stochastic(x, storage))
        same_bits(np.asarray(function(x)), expected)
        same_bits(np.asarray(function(expected)), expected)


@every_storage
@settings(max_examples=15, deadline=None)
@given(x=TABLES, seed=st.integers(0, 9))
def test_a_row_on_the_grid_stays_bit_for_bit(storage, x, seed):
    on_grid = nearest(x, storage)
    same_bits(nearest(on_grid, storage), on_grid)
    same_bits(stochastic(on_grid, storage, seed), on_grid)
    drawn = stochastic(x, storage, seed)
    same_bits(stochastic(drawn, storage, seed + 1), drawn)
    same_bits(nearest(drawn, storage), drawn)


@every_storage
def test_a_row_on_the_grid_stays_under_any_noise(storage):
    """Ten thousand draws: what untouched rows see in as many steps."""
    on_grid = nearest(table(1, 12), storage)
    many = table(60_000, 12)
    many[:10_000] = on_grid
    same_bits(stochastic(many, storage)[:10_000], many[:10_000])


@every_storage
def test_the_expected_result_is_the_number_itself(storage):
    row = table(1, 12)
    grid = nearest(row, storage)
    # Numbers just above the grid, where nearest would always go back.
    near = grid + np.float32(1e-3) * np.abs(row).max() / 7
    for x in (row, near):
        many = np.repeat(x, 60_000, axis=0)
        drawn = stochastic(many, storage).astype(float)
        error = drawn.std(axis=0) / np.sqrt(len(many))
        # 5 standard errors, and the last bit of a division of codes.
        allowed = 5 * error + 1e-6 * np.abs(x[0]).max()
        assert (np.abs(drawn.mean(axis=0) - x[0]) < allowed).all()
        assert (drawn != many).any(axis=0).mean() > 0.8
        # Each number has at most two neighbours, per scale of its row.
        scales = 1 if storage == "float16" else 2
        for values in drawn.T:
            assert len(np.unique(values)) <= 2 * scales


@pytest.mark.parametrize("storage", ["int8", "int4"])
def test_codes_are_integers_below_the_largest(storage):
    x = table(60, 8)
    for rounded in (nearest(x, storage), stochastic(x, storage)):
        peak = np.abs(rounded).max(axis=1, keepdims=True)
        codes = rounded * (LARGEST[storage] / peak.astype(float))
        np.testing.assert_allclose(codes, np.rint(codes), atol=1e-4)
        assert np.abs(codes).max() <= LARGEST[storage] + 1e-4
        np.testing.assert_allclose(
            peak[:, 0], np.abs(x).max(axis=1), rtol=2.0**-14
        )
    step = np.abs(x).max(axis=1, keepdims=True) / LARGEST[storage]
    assert (np.abs(nearest(x, storage) - x) <= 0.51 * step).all()
    assert (np.abs(stochastic(x, storage) - x) <= 1.01 * step).all()


def test_float16_numbers_are_those_of_the_dtype():
    x = table(60, 8)
    x[30:] *= np.float32(1e-6)
    same_bits(nearest(x, "float16"), x.astype("float16").astype("float32"))
    drawn = stochastic(x, "float16")
    halves = drawn.astype("float16")
    same_bits(halves.astype("float32"), drawn)
    up = np.nextafter(halves, np.float16(np.inf)).astype("float32")
    down = np.nextafter(halves, np.float16(-np.inf)).astype("float32")
    assert ((down < x) & (x < up)).all()
    x[0, :4] = [1e6, -1e6, 65504.0, 65519.0]
    expected = [65504, -65504, 65504, 65504]
    for rounded in (nearest, stochastic):
        np.testing.assert_array_equal(rounded(x, "float16")[0, :4], expected)


@every_storage
def test_rows_of_zeros_and_of_the_tiniest_numbers(storage):
    x = np.zeros((60, 8), "float32")
    x[1, :3] = [1e-36, -1e-37, 1e-38]
    x[2, :2] = [3.0, -1.5]
    drawn = stochastic(x, storage)
    same_bits(drawn[0], x[0])
    assert np.abs(drawn[1]).max() < 1e-29
    assert drawn[2, 0] == pytest.approx(3, rel=2.0**-14)
    assert not nearest(x, storage)[0].any()


@every_storage
def test_what_diverged_stays_visible(storage):
    x = table(60, 8)
    x[1, 2] = np.nan
    assert np.isnan(stochastic(x, storage)[1, 2])
    assert np.isfinite(stochastic(x, storage)[0]).all()


@every_storage
def test_the_noise_of_a_number_follows_all_of_the_table(storage):
    """A number that comes back must not be rounded the same way for ever."""
    x = table(60, 8)
    other = x.copy()
    other[-1, -1] += 1
    drawn, again, changed = (stochastic(a, storage) for a in (x, x, other))
    same_bits(drawn, again)
    moved = (drawn != changed)[:-1].mean()
    # A third for fractions that are uniform; more where a scale changed.
    assert 0.2 < moved < 0.6
    assert 0.2 < (stochastic(x, storage, 1) != drawn).mean() < 0.6


@every_storage
@pytest.mark.parametrize("width", [1, 7, 8])
def test_packing_is_exact_on_the_grid(storage, width):
    x = stochastic(table(60, 8), storage)
    x = stochastic(np.ascontiguousarray(np.tile(x, 2)[:, :width]), storage)
    packed = rounding.pack(x, storage)
    held = sum(a.nbytes for a in packed.values())
    assert held == rounding.packed_bytes(60, width, storage)
    for name, (shape, dtype) in rounding.packed_form(
        60, width, storage
    ).items():
        assert packed[name].shape == shape
        assert packed[name].dtype == dtype
    variables = {
        name: keras.Variable(a, dtype=a.dtype.name, trainable=False)
        for name, a in packed.items()
    }
    index = np.array([[3, 59], [0, 3]], "int32")
    rows = rounding.unpack_rows(
        variables["table"], variables.get("scale"), index, storage, width
    )
    assert rows.shape == (2, 2, width)
    same_bits(ops.convert_to_numpy(rows), x[index])


@every_storage
def test_packing_rounds_to_the_nearest(storage):
    x = table(60, 8)
    packed = rounding.pack(x, storage)
    other = rounding.pack(nearest(x, storage), storage)
    for name in packed:
        np.testing.assert_array_equal(packed[name], other[name])
