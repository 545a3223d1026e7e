"""Columns on disk between the passes of a preparation."""

import numpy as np
import pytest

from keras_pss.data.storage.columns.staged_file import StagedFile

ROWS = 5_000


@pytest.mark.parametrize("width", [None, 1, 3])
@pytest.mark.parametrize("dtype", ["int8", "uint32", "float32", "int64"])
def test_rows_come_back(tmp_path, width, dtype):
    shape = (ROWS,) if width is None else (ROWS, width)
    draw = np.random.RandomState(0)
    values = draw.randint(0, 100, shape).astype(dtype)
    file = StagedFile(tmp_path / "a", dtype, width)
    for start in range(0, ROWS, 700):
        file.append(values[start : start + 700])
    for rows in (
        range(ROWS),
        range(17, 18),
        range(3, 3),
        np.array([], np.int64),
        np.array([0, 1, 5]),
        np.array([7, ROWS - 1]),  # far apart
        np.flatnonzero(draw.random_sample(ROWS) < 0.5),
    ):
        found = file.read(rows)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, values[np.asarray(rows, int)])
    np.testing.assert_array_equal(
        np.concatenate(list(file.blocks(range(5, ROWS)))), values[5:]
    )
    file.remove()
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("count", [0, 10])
def test_integers_become_floats(tmp_path, count):
    file = StagedFile(tmp_path / "a", "int32")
    file.append(np.arange(count))
    file.widen("float32")
    file.append(np.array([2.5, 1e10]))
    found = file.read(range(count + 2))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.float32([*range(count), 2.5, 1e10]))


def test_rows_that_are_not_there(tmp_path):
    file = StagedFile(tmp_path / "a", "int32")
    file.append(np.arange(3))
    with pytest.raises(EOFError, match="no rows 2 to 5"):
        file.read(range(2, 5))
