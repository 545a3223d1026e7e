"""The host definition of pss1 against its golden vectors."""

import json
from pathlib import Path

import numpy as np
import pytest

from keras_pss.ops.hash_families import pss1

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "golden" / "pss1.json").read_text()
)


@pytest.mark.parametrize(
    "vector", GOLDEN["vectors"], ids=lambda v: f"id={v['id']}"
)
def test_golden_vectors(vector):
    where = vector["seed"], vector["table"]
    assert list(pss1.key(*where, vector["chunk"])) == vector["key"]
    ids = np.array([vector["id"]], np.int64)
    chunks = (vector["chunk"],)
    assert pss1.words(ids, *where, chunks)[0, 0] == vector["word"]
    signs = pss1.words(ids, *where, chunks, purpose=1)
    assert signs[0, 0] == vector["sign_word"]
    for size, start in zip(GOLDEN["sizes"], vector["starts"], strict=True):
        assert pss1.starts(ids, size, *where, chunks)[0, 0] == start


def test_signs_are_the_bits_of_the_sign_words():
    ids = np.arange(50)
    got = pss1.signs(ids, 40, seed=3, table=2, chunks=(0, 5))
    assert got.shape == (50, 2, 40)
    for word in range(2):
        bits = pss1.words(ids, 3, 2, (0, 5), purpose=1 + word)
        for i in range(32 if word == 0 else 8):
            top = (bits << np.uint32(i)) >> np.uint32(31)
            expected = 1 - 2 * top.astype(np.int8)
            np.testing.assert_array_equal(got[..., 32 * word + i], expected)


def test_narrow_ids_are_zero_extended():
    ids = np.array([0, 7, 2**31 - 1])
    for dtype in ("int32", "uint32", "int64", "uint64"):
        np.testing.assert_array_equal(
            pss1.words(ids.astype(dtype), 1, 2), pss1.words(ids, 1, 2)
        )
