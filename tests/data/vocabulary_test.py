"""Vocabularies against `collections.Counter`, hashes against pss1."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_pss.data import criteo
from keras_pss.data.encoders.lookup import _SPREAD, Lookup
from keras_pss.data.encoders.vocabulary_encoder import (
    by_frequency,
    count_values,
)
from keras_pss.ops.hash_families import pss1

edges = st.sampled_from([0, 1, 2**31, 2**32 - 1, 0x9E3779B1])
values = st.one_of(st.integers(0, 20), edges, st.integers(0, 2**32 - 1))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(values, max_size=30), max_size=8), st.integers(1, 4))
def test_counts_equal_counter(chunks, min_count):
    arrays = [np.array(chunk, np.uint32) for chunk in chunks]
    counter = Counter(value for chunk in chunks for value in chunk)
    counted = count_values(arrays)
    assert counted[0].tolist() == sorted(counter)
    assert dict(zip(*map(np.ndarray.tolist, counted), strict=True)) == counter
    kept, counts = by_frequency(counted, min_count)
    expected = sorted(
        (v for v, n in counter.items() if n >= min_count),
        key=lambda v: (-counter[v], v),
    )
    assert kept.tolist() == expected
    dropped = sum(n for n in counter.values() if n < min_count)
    assert counts.tolist() == [dropped, *(counter[v] for v in expected)]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sets(values), min_size=1, max_size=4), st.data())
def test_lookup_equals_a_dictionary(columns, data):
    keys = [np.array(list(column), np.uint32) for column in columns]
    row = st.tuples(
        *(
            st.one_of(values, st.sampled_from(sorted(column) or [0]))
            for column in columns
        )
    )
    rows = data.draw(st.lists(row, max_size=20))
    raw = np.array(rows, np.uint32).reshape(-1, len(columns))
    maps = [{int(v): i + 1 for i, v in enumerate(column)} for column in keys]
    expected = [
        [m.get(v, 0) for m, v in zip(maps, row, strict=True)] for row in rows
    ]
    assert Lookup(keys)(raw).tolist() == expected


def test_lookup_of_values_in_one_bucket():
    inverse = pow(int(_SPREAD), -1, 2**32)
    # Values that the permutation makes 0, 2, 4, ...: all in the first bucket.
    keys = np.arange(0, 2000, 2, dtype=np.uint32) * np.uint32(inverse)
    other = np.arange(1, 2001, 2, dtype=np.uint32) * np.uint32(inverse)
    lookup = Lookup([keys])
    np.testing.assert_array_equal(
        lookup(keys[:, None])[:, 0], 1 + np.arange(1000)
    )
    assert not lookup(other[:, None]).any()


def test_hash_ids_are_pss1(rows, tmp_path):
    for seed, buckets in ((0, None), (7, 100)):
        encoder = criteo.HashEncoder(seed, buckets)
        ids = encoder(rows.categories)
        for column in range(26):
            expected = pss1.starts(
                rows.categories[:, column],
                buckets or 2**31 - 1,
                seed=seed,
                table=column,
            )[:, 0]
            np.testing.assert_array_equal(ids[:, column], expected)
        encoder.save(tmp_path / "encoder.npz")
        again = criteo.load_encoder(tmp_path / "encoder.npz")
        assert again.config() == encoder.config()
        assert again.cardinalities == (buckets and [buckets] * 26)
        np.testing.assert_array_equal(again(rows.categories), ids)


def test_vocabulary_round_trip(prepared, rows, tmp_path):
    encoder = prepared.encoder()
    path = tmp_path / "own copy"
    encoder.save(path)
    again = criteo.load_encoder(path)
    assert again.config() == {"policy": "vocabulary", "min_count": 2}
    assert again.cardinalities == prepared.cardinalities
    np.testing.assert_array_equal(
        again(rows.categories), encoder(rows.categories)
    )


def test_a_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "encoder.npz"
    criteo.HashEncoder(seed=3).save(path)

    def fail(file, **arrays):
        file.write(b"half")
        raise OSError(28, "full")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="full"):
        criteo.HashEncoder(seed=4).save(path)
    assert criteo.load_encoder(path).config()["seed"] == 3
    assert list(tmp_path.iterdir()) == [path]


def test_unknown_values_are_id_zero(prepared):
    unknown = np.full((3, 26), 0x01234567, np.uint32)
    assert not prepared.encoder()(unknown).any()


def test_encoder_errors(tmp_path):
    encoder = criteo.HashEncoder()
    with pytest.raises(ValueError, match=r"uint32 of shape.*int64 of shape"):
        encoder(np.zeros((2, 26), np.int64))
    with pytest.raises(ValueError, match=r"\(n, 26\).*shape \(2, 3\)"):
        encoder(np.zeros((2, 3), np.uint32))
    with pytest.raises(ValueError, match=r"hash_buckets=0\. Pass None"):
        criteo.HashEncoder(buckets=0)
    other = tmp_path / "x.npz"
    for content in (b"", b"hello", b"PK\x03\x04 broken"):
        other.write_bytes(content)
        with pytest.raises(ValueError, match=r"encoder's `save`.*x\.npz"):
            criteo.load_encoder(other)
    np.savez(other, config=np.array('{"policy": "hash", "hash": "pss2"}'))
    with pytest.raises(ValueError, match="Upgrade keras_pss"):
        criteo.load_encoder(other)
