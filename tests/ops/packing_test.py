"""Packed tables against NumPy: every number, whatever the shape and form."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_pss.ops.packing import BLOCK_SIZE, Int4, Int8, OwnGrid

SHAPES = [(1, 1), (7, 1), (200, 1), (5, 3), (40, 2), (11, 12), (3, 64)]
SHAPES += [(6, 130), (4, 257), (129, 16)]
if keras.backend.backend() == "jax":
    # It compiles each shape: one of each kind will do, since all that is done
    # are the same gathers and shifts of integers.
    SHAPES = [(7, 1), (5, 3), (11, 12), (6, 130)]
BLOCKS = [-1, 1, 5, 16, 64, BLOCK_SIZE, 1000]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def table_of(shape):
    """Numbers whose size differs from row to row and along a row."""
    random = np.random.RandomState(sum(shape))
    sizes = np.exp(random.normal(size=(shape[0], 1)))
    sizes = sizes * np.linspace(1, 3, shape[1])
    return (random.normal(size=shape) * sizes).astype("float32")


def peaks(table, block):
    """The largest magnitude among the numbers that share each one's scale."""
    rows, width = table.shape
    joined = 64 if block == -1 else min(64, block)
    if width == 1:
        groups = np.arange(rows) // joined
    else:
        groups = np.arange(rows) // (
            1 if block == -1 else max(1, joined // width)
        )
    columns = np.arange(width) // (width if block == -1 else block)
    found = np.zeros_like(table)
    for g in set(groups):
        for c in set(columns):
            own = np.ix_(groups == g, columns == c)
            found[own] = np.abs(table[own]).max()
    return found


def read(packing, table):
    """The whole table, read by rows, and once more by single numbers."""
    rows, width = table.shape
    held = {k: ops.convert_to_tensor(v) for k, v in packing.pack(table).items()}
    index = np.arange(rows, dtype="int32").reshape(1, rows, 1)
    by_rows = ops.convert_to_numpy(packing.rows(held, width, index))
    assert by_rows.shape == (1, rows, 1, width)
    by_rows = by_rows.reshape(table.shape)
    places = np.arange(table.size, dtype="int32").reshape(table.shape)
    numbers = ops.convert_to_numpy(packing.elements(held, width, places))
    np.testing.assert_array_equal(numbers, by_rows)
    return by_rows


@every_shape
@pytest.mark.parametrize("block", BLOCKS)
def test_int4_is_off_by_half_a_step_of_its_block(shape, block):
    table = table_of(shape)
    found = read(Int4(block), table)
    step = peaks(table, block) / 7
    assert (np.abs(found - table) <= step / 2 * (1 + 1e-5)).all()
    codes = found / step
    np.testing.assert_allclose(codes, np.rint(codes), atol=1e-4)


@every_shape
def test_int8_is_off_by_half_a_step_of_its_rows(shape):
    table = table_of(shape)
    found = read(Int8(), table)
    group = max(1, 64 // shape[1])
    for begin in range(0, len(table), group):
        part = slice(begin, begin + group)
        step = np.abs(table[part]).max() / 127
        assert np.abs(found[part] - table[part]).max() <= step / 2 * (1 + 1e-5)
    held = {k: ops.convert_to_tensor(v) for k, v in Int8().pack(table).items()}
    whole = ops.convert_to_numpy(Int8().whole(held, shape[1]))
    np.testing.assert_array_equal(whole, found)


@every_shape
@pytest.mark.parametrize(
    "packing",
    [Int8(), *map(Int4, BLOCKS), *map(OwnGrid, ("float16", "int8", "int4"))],
    ids=str,
)
def test_the_form_is_what_packing_gives(packing, shape):
    packed = packing.pack(table_of(shape))
    form = packing.form(*shape, "float32")
    assert {k: (v.shape, str(v.dtype)) for k, v in packed.items()} == form


def test_int4_is_half_of_int8_and_no_row_is_torn():
    size = {
        packing: sum(
            v.nbytes for v in packing.pack(table_of((640, 1))).values()
        )
        for packing in (Int8(), Int4())
    }
    assert size == {Int8(): 640 + 4 * 10, Int4(): 320 + 4 * 10}
    packed = Int4().pack(table_of((10, 5)))
    assert packed["table"].shape == (10, 3)  # half a byte a row is idle


def test_zeros_and_constants_are_exact():
    for packing in (Int8(), Int4(), Int4(-1), Int4(3)):
        for value in (0, -2.5):
            table = np.full((9, 7), value, "float32")
            np.testing.assert_allclose(read(packing, table), table, rtol=1e-6)


def test_large_tables_are_packed_in_parts(monkeypatch):
    table = table_of((129, 16))
    whole = {p: p.pack(table) for p in (Int8(), Int4(), Int4(5))}
    monkeypatch.setattr("keras_pss.ops.packing._PART", 64)
    for packing, expected in whole.items():
        for name, values in packing.pack(table).items():
            np.testing.assert_array_equal(values, expected[name])
