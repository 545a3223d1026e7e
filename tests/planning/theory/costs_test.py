"""Cache lines by real addresses; parameters and FLOPs of real tensor trains."""

import keras
import numpy as np
import pytest

import keras_pss
from keras_pss.ops.methods import robe
from keras_pss.planning import theory


def addresses(memory_size, width, block):
    """Where the numbers of 20,000 rows lie, `(n, width)`."""
    tables = robe.Tables(memory_size, width, block)
    ids = keras.ops.arange(20_000, dtype="int32")
    return keras.ops.convert_to_numpy(robe.positions(tables, ids))


def most_lines(at, line):
    """The largest number of distinct lines that a row's numbers lie in."""
    lines = np.sort(at // line, axis=1)
    return int((np.diff(lines, axis=1) > 0).sum(axis=1).max()) + 1


@pytest.mark.parametrize("line", [8, 16])
@pytest.mark.parametrize("block", [2, 4, 5, 8, 16, 24, 32])
def test_lines_of_blocks_at_real_addresses(line, block):
    # A memory of whole lines: a row that wraps reads no line more.
    at = addresses(64 * 1024, 32, block)
    bound = theory.memory_fetches(32, line, block)
    assert most_lines(at, line) <= bound
    blocks = np.split(at, range(block, 32, block), axis=1)
    # Each block reads as many lines as the bound allows it, in some row.
    found = sum(most_lines(part, line) for part in blocks)
    assert found == bound - (block >= 32)


def test_a_row_that_wraps_reads_a_line_more():
    found = most_lines(addresses(16 * 40 + 3, 32, 64), 16)
    assert found == theory.memory_fetches(32, 16, 64) == 32 // 16 + 2


def test_lines_of_single_numbers_and_of_an_uncompressed_table():
    assert most_lines(addresses(10**6, 32, 1), 16) == 32
    assert theory.memory_fetches(32, 16, 1) == 32
    # Rows that begin anywhere, as in a table that is not aligned.
    starts = np.arange(16)
    found = (starts + 31) // 16 - starts // 16 + 1
    assert theory.memory_fetches(32, 16) == found.max() == 3


def test_table_1_of_robe():
    for d, b in ((128, 16), (64, 64), (32, 8)):
        assert theory.memory_fetches(d, b) == d // b + 1
        assert theory.memory_fetches(d, b, 1) == d
        for z in (2, 4, 8, 16, 32, 64, 128, 256):
            found = theory.memory_fetches(d, b, z)
            if z >= d:
                assert found == d // b + 2
            elif z < b:
                assert found == 2 * d // z
            else:
                assert found == d // b + d // z


@pytest.mark.parametrize(
    "options",
    [
        {"rank": 4},
        {"rank": 64},
        {"rank": 3, "num_cores": 2},
        {"rank": 8, "num_cores": 4},
        {"rank": [5, 7], "row_shape": [20, 30, 40]},
        {"rank": 16, "row_shape": "min_params"},
    ],
)
def test_tensor_trains_count_as_the_layer_does(options):
    layer = keras_pss.TTEmbedding(20_000, 16, **options)
    layer.build()
    arguments = (layer.row_shape, layer.column_shape, options["rank"])
    assert theory.tt_parameters(*arguments) == layer.count_params()
    assert theory.tt_flops(*arguments) == layer.lookup_flops()


def test_table_2_of_tt_rec():
    columns = (2, 2, 4)
    for rows, sizes in {
        (200, 220, 250): (135040, 495360, 1891840),
        (200, 200, 209): (122176, 449152, 1717504),
        (166, 175, 188): (106944, 393088, 1502976),
        (50, 52, 55): (31744, 116736, 446464),
    }.items():
        found = [theory.tt_parameters(rows, columns, r) for r in (16, 32, 64)]
        assert tuple(found) == sizes


def test_flops_are_those_of_the_matrix_products():
    shapes = [(1, 2, 5), (5, 3, 7), (7, 4, 1)]
    product, flops = np.ones((1, 1)), 0
    for left, q, right in shapes:
        core = np.ones((left, q * right))
        if len(product) > 1:  # the first slice is read as it is
            flops += 2 * len(product) * left * q * right
        product = (product @ core).reshape(-1, right)
    assert theory.tt_flops((9, 9, 9), (2, 3, 4), [5, 7]) == flops


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("memory_fetches", (0, 16), "`output_dim`.*=0"),
        ("memory_fetches", (16, 1.5), "`line_size`.*=1.5"),
        ("memory_fetches", (16, 16, -1), "`block_size`.*=-1"),
        ("tt_parameters", ([9], [4], 2), "two or more cores"),
        ("tt_parameters", ([9, 9], [4], 2), "one factor for each"),
        ("tt_flops", ([9, 9], [4, 2], [2, 2]), r"1 ranks.*\[2, 2\]"),
        ("tt_flops", ([9, 9], [4, 2], 0), "`rank`.*=0"),
    ],
)
def test_errors_name_the_argument(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(theory, function)(*arguments)
