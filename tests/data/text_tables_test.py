"""Tables that encode texts."""

from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import polars as pl
import pytest

from keras_pss.data.encoders import hashed_texts
from keras_pss.data.encoders.counted_texts import CountedTexts, by_frequency
from keras_pss.data.encoders.growing_codes import GrowingCodes
from keras_pss.data.encoders.hashed_texts import HashedTexts, hash_texts
from keras_pss.data.encoders.text_table import PADDING
from keras_pss.data.encoders.vocabulary import Vocabulary
from keras_pss.data.storage.columns.buckets import borders, bucket_ids

TEXTS = ["", "a", "b\0", "b", "é", "\U0001f600", "\n", "x" * 1000, "-1"]


def test_growing_codes_are_distinct_and_in_order():
    codes = GrowingCodes()
    first = codes(pl.Series(["b", "a", "b"]))
    second = codes(pl.Series(["c", "", "a"]))
    assert (first.tolist(), second.tolist()) == ([0, 1, 0], [2, 3, 1])
    assert codes.texts().to_list() == ["b", "a", "c", ""]
    many = pl.Series(range(300_000)).cast(pl.String)
    np.testing.assert_array_equal(GrowingCodes()(many), np.arange(len(many)))


def test_codes_of_several_threads():
    codes = GrowingCodes()
    draw = np.random.RandomState(0)
    parts = [
        pl.Series(draw.randint(0, 5_000, 20_000)).cast(pl.String)
        for _ in range(8)
    ]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(codes, parts))
    texts = codes.texts()
    assert texts.n_unique() == len(texts)
    for part, numbers in zip(parts, found, strict=True):
        assert (texts.gather(numbers) == part).all()


@pytest.mark.tf_only
@pytest.mark.parametrize("buckets", [1, 10, 1_000_003, None])
def test_hashes_are_those_of_keras(buckets):
    texts = pl.Series(TEXTS)
    size = buckets or 2**31 - 1
    layer = keras.layers.Hashing(size)
    wanted = np.array(layer(np.array(TEXTS)[:, None]))[:, 0]
    # NumPy drops a NUL at the end of a text.
    wanted[2] = hash_texts(pl.Series(["b\0"]), buckets)[0]
    table = HashedTexts(buckets)
    ids = table.ids(table.codes(texts))
    assert ids.dtype == np.int32
    np.testing.assert_array_equal(ids, wanted)
    if buckets is None:
        assert ids[2] != ids[3]
    np.testing.assert_array_equal(
        table.ids(table.codes(texts.reverse())), wanted[::-1]
    )
    padded = table.ids(np.array([[PADDING, ids[0]]], np.uint32))
    assert padded.tolist() == [[-1, ids[0]]]
    assert table.num_ids == buckets


def test_hashes_outlive_what_a_table_forgets(monkeypatch):
    monkeypatch.setattr(hashed_texts, "_MOST_KNOWN", 50)
    table = HashedTexts(1_000)
    numbers = np.random.RandomState(1).randint(0, 300, (20, 40))
    for part in numbers:
        texts = pl.Series(part).cast(pl.String)
        np.testing.assert_array_equal(
            table.ids(table.codes(texts)), hash_texts(texts, 1_000)
        )


def test_counted_texts():
    table = CountedTexts(min_count=2, max_values=2)
    lists = table.codes(pl.Series(["a", "b", "b", "c", "c"]))
    more = table.codes(pl.Series(["a", "rare", "test"]))
    padded = np.array([[lists[0], PADDING], [lists[1], lists[2]]], np.uint32)
    table.count([padded, lists[3:], more[:2]])
    assert table.vocabulary.values.to_list() == ["a", "b"]
    assert table.vocabulary.counts.tolist() == [3, 2, 2]
    assert table.num_ids == 3
    assert table.ids(padded).tolist() == [[1, -1], [2, 2]]
    assert table.ids(more).tolist() == [1, 0, 0]


def test_by_frequency_breaks_ties_by_text():
    texts = pl.Series(["b", "a", "\uffff", "\U00010000", "none"])
    counts = np.array([2, 2, 3, 3, 0])
    vocabulary, ids = by_frequency(texts, counts, 1, None)
    wanted = ["\uffff", "\U00010000", "a", "b"]
    assert vocabulary.values.to_list() == wanted
    assert ids.tolist() == [4, 3, 1, 2, 0]
    assert vocabulary.counts.tolist() == [0, 3, 3, 2, 2]


def test_a_vocabulary_encodes_texts():
    vocabulary = Vocabulary(pl.Series(TEXTS), np.arange(len(TEXTS) + 1))
    found = vocabulary(pl.Series([*TEXTS[::-1], "unknown", "a"]))
    assert found.dtype == np.int32
    assert found.tolist() == [*range(len(TEXTS), 0, -1), 0, 2]
    assert vocabulary(pl.Series([], dtype=pl.String)).tolist() == []
    nothing = Vocabulary(pl.Series([], dtype=pl.String), np.zeros(1))
    assert nothing(pl.Series(TEXTS)).tolist() == [0] * len(TEXTS)


def test_texts_with_equal_hashes_have_ids_of_their_own(monkeypatch):
    """Another seed tells them apart, and unknown ones never match."""
    whole = pl.Series.hash

    def coarse(self, seed=0):
        return whole(self, seed) % (4 if seed < 3 else 2**20)

    monkeypatch.setattr(pl.Series, "hash", coarse)
    texts = pl.Series([f"t{i}" for i in range(50)])
    vocabulary = Vocabulary(texts, np.zeros(51))
    assert vocabulary(texts).tolist() == list(range(1, 51))
    unknown = pl.Series([f"u{i}" for i in range(5_000)])
    assert not vocabulary(unknown).any()


def test_a_vocabulary_holds_each_text_once():
    vocabulary = Vocabulary(pl.Series(["a", "b", "a"]), np.zeros(4))
    with pytest.raises(ValueError, match=r"each text once.*3 texts.* 2 diff"):
        vocabulary(pl.Series(["a"]))


def test_borders_are_quantiles_of_known_numbers():
    numbers = np.array([3, np.nan, 1, 2, 4], np.float32)
    assert borders(numbers, 2).tolist() == [3]
    assert borders(numbers, 4).tolist() == [2, 3, 4]
    assert borders(np.array([np.nan], np.float32), 3).tolist() == [0, 0]
    # float32 cannot tell the two numbers apart.
    large = np.array([16777216, 16777217], np.float64).astype(np.float32)
    ids = bucket_ids(large, np.array([16777217], np.float32))
    assert ids.tolist() == [2, 2]


def test_buckets_of_one_number_are_equally_full():
    numbers = np.random.RandomState(0).normal(size=1_000).astype(np.float32)
    ids = bucket_ids(numbers, borders(numbers, 10))
    assert np.bincount(ids).tolist() == [0, *[100] * 10]
