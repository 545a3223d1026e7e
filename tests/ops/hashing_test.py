"""The graph's hashes against their definitions on the host, bit for bit."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_pss.ops import hashing
from keras_pss.ops.hash_families import pss1, universal

GOLDEN = Path(__file__).parents[1] / "golden"
# Sizes where a limb of the 64-bit product changes sign or carries.
SIZES = (1, 2, 3, 100, 32767, 32768, 65535, 65536, 65537, 540_200, 2**30 - 1)
SIZES += (2**30, 2**30 + 1, 2**31 - 32769, 2**31 - 32768, 2**31 - 1)
EDGES = [0, 1, 2**15, 2**16 - 1, 2**24 + 1, 2**31 - 1]


def graph_starts(ids, size, **where):
    ids = ops.convert_to_tensor(np.asarray(ids))
    return ops.convert_to_numpy(hashing.starts(ids, size, **where))


def test_golden_vectors_in_the_graph():
    golden = json.loads((GOLDEN / "pss1.json").read_text())
    tested = 0
    for vector in golden["vectors"]:
        if not 0 <= vector["id"] < 2**31:
            continue
        ids = np.array([vector["id"]], np.int32)
        for size, start in zip(golden["sizes"], vector["starts"], strict=True):
            found = graph_starts(
                ids,
                size,
                seed=vector["seed"],
                table=vector["table"],
                chunks=vector["chunk"] + 1,
            )
            assert found[0, -1] == start
            tested += 1
    assert tested >= 50


@pytest.mark.parametrize("family", hashing.FAMILIES)
def test_columns_may_have_sizes_of_their_own(family):
    random = np.random.RandomState(1)
    ids = random.randint(0, 2**31 - 1, (200, len(SIZES))).astype("int32")
    where = {"seed": 3, "chunks": 2, "family": family}
    tables = [7 + column for column in range(len(SIZES))]
    found = graph_starts(ids, SIZES, table=tables, **where)
    for column, size in enumerate(SIZES):
        alone = graph_starts(ids[:, column], size, table=7 + column, **where)
        np.testing.assert_array_equal(found[:, column], alone)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("family", hashing.FAMILIES)
def test_starts_equal_the_host(size, family):
    random = np.random.RandomState(size % 2**31)
    ids = np.concatenate([EDGES, random.randint(0, 2**31, 500)])
    found = graph_starts(
        ids.astype("int32"), size, seed=3, table=5, chunks=3, family=family
    )
    assert found.min() >= 0
    assert found.max() < size
    if family == "pss1":
        expected = pss1.starts(ids, size, 3, 5, range(3))
    else:
        expected = np.stack(
            [universal.starts(ids, size, 3, 5, c) for c in range(3)], -1
        )
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=50, deadline=None)
@given(
    ids=st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5),
    size=st.integers(1, 2**31 - 1),
    seed=st.integers(0, 2**64 - 1),
    table=st.integers(0, 2**31 - 1),
)
def test_starts_of_any_id_size_and_key(ids, size, seed, table):
    ids = np.array(ids, np.int32)
    np.testing.assert_array_equal(
        graph_starts(ids, size, seed=seed, table=table, chunks=2),
        pss1.starts(ids, size, seed, table, (0, 1)),
    )


@pytest.mark.parametrize("family", hashing.FAMILIES)
def test_wide_ids_use_both_words(family):
    if keras.backend.backend() == "jax":
        # JAX has no 64-bit integers by default; 32-bit ids must be unharmed.
        ids = np.array(EDGES, np.int32)
    else:
        ids = np.array([*EDGES, 2**32, 2**40 + 7, 2**62 + 3, 2**63 - 1])
    found = graph_starts(ids, 1000, seed=1, family=family)[:, 0]
    host = pss1.starts(ids, 1000, 1)[:, 0]
    if family == "universal":
        host = universal.starts(ids, 1000, 1)
    np.testing.assert_array_equal(found, host)


@pytest.mark.parametrize("family", hashing.FAMILIES)
def test_one_table_number_a_column(family):
    ids = np.random.RandomState(0).randint(0, 1000, (7, 3)).astype("int32")
    where = {"seed": 2, "chunks": 4, "family": family}
    found = graph_starts(ids, 97, table=(4, 0, 9), **where)
    assert found.shape == (7, 3, 4)
    for column, table in enumerate((4, 0, 9)):
        single = graph_starts(ids[:, column], 97, table=table, **where)
        np.testing.assert_array_equal(found[:, column], single)


def test_signs_equal_the_host():
    ids = np.array([*EDGES, *range(200)], np.int32)
    found = hashing.signs(ops.convert_to_tensor(ids), 70, seed=4, table=1)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(found), pss1.signs(ids, 70, 4, 1)[:, 0]
    )


def test_universal_constants_are_the_papers():
    # The first four draws of RandomState(1024).randint(0, P, 50).
    c = universal.constants(0)
    assert (c.add, c.chunk, c.id, c.table) == (
        634_329_019,
        1_825_252_241,
        871_205_356,
        80_759_397,
    )
    golden = json.loads((GOLDEN / "universal.json").read_text())
    for row in golden["vectors"]:
        where = {"table": row["table"], "chunk": row["chunk"]}
        assert universal.starts(row["id"], row["size"], **where) == row["start"]
        found = graph_starts(
            np.array([row["id"]], np.int32),
            row["size"],
            seed=0,
            table=row["table"],
            chunks=row["chunk"] + 1,
            family="universal",
        )
        assert found[0, -1] == row["start"]


def test_errors_teach():
    with pytest.raises(ValueError, match=r"seed.*must be in \[0.*seed=-1"):
        universal.constants(-1)


def test_ids_that_collide_once_do_not_collide_again():
    """Distinct vectors of ids in four chunks: all of them, as if random."""
    ids = np.arange(20_000, dtype=np.int32)
    found = graph_starts(ids, 500, seed=0, chunks=4)
    assert len(np.unique(found, axis=0)) == len(ids)
    assert len(np.unique(found[:, 0])) == 500
