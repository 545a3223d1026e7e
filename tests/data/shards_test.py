"""A process reads its rows of each global batch, in the order of all."""

import numpy as np
import pytest
import tensorflow as tf

from keras_pss.data.pipelines.record_batches import Records, record_batches
from keras_pss.data.pipelines.shards import (
    check_elements,
    check_shard,
    own_rows,
    shard_batches,
    whole_batches,
)

pytestmark = pytest.mark.tf_only

ROWS, IN_FILE = 53, 10


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """Six files of rows that hold their number twice."""
    folder = tmp_path_factory.mktemp("records")
    rows = np.repeat(np.arange(ROWS, dtype="<i4"), 2).reshape(-1, 2)
    paths = [folder / str(begin) for begin in range(0, ROWS, IN_FILE)]
    for path in paths:
        begin = int(path.name)
        rows[begin : begin + IN_FILE].tofile(path)
    return Records("train", tuple(map(str, paths)), 2, ROWS, IN_FILE)


def batches_of(numbers, **given):
    made = {"shuffle": True, "drop_remainder": False, "repeat": True, "skip": 0}
    return record_batches(
        numbers,
        lambda records: (records[:, 0], records[:, 1]),
        seed=3,
        window_rows=2 * IN_FILE,  # three windows
        **{**made, **given},
    )


def check_shards(numbers, shards, **given):
    """Shards of two epochs and a batch, and skipped batches, are right."""
    taken = -(-ROWS // given["batch_size"]) * 2 + 1
    whole = list(batches_of(numbers, **given).take(taken))
    for index, count in shards:
        own = batches_of(numbers, shard=(index, count), **given)
        own = list(own.take(taken))
        assert len(own) == len(whole)
        for batch, (mine, same, total) in zip(whole, own, strict=True):
            begin, end = own_rows(len(batch[0]), index, count)
            np.testing.assert_array_equal(mine, batch[0][begin:end])
            np.testing.assert_array_equal(same, batch[1][begin:end])
            assert total.dtype == tf.int64
            assert total == len(batch[0])
    later = given.get("skip", 0)
    if later:
        first = batches_of(numbers, **{**given, "skip": 0}).skip(later)
        for batch, other in zip(first.take(taken), whole, strict=True):
            np.testing.assert_array_equal(batch[0], other[0])


def test_shards_are_the_rows_of_whole_batches(numbers):
    """Of two rows, and of the one at the end, some shards have none."""
    check_shards(numbers, [(4, 5), (1, 3)], batch_size=2, skip=9)


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [
        {"batch_size": 8, "skip": 6},  # seven batches an epoch
        {"batch_size": 6, "skip": 13, "drop_remainder": True},
        {"batch_size": 60, "skip": 1},
        {"batch_size": 8, "shuffle": False, "repeat": False},
    ],
    ids=range(4),
)
def test_all_shards_of_all_orders(numbers, given):
    check_shards(numbers, [(0, 1), (1, 3), (4, 5)], **given)


def test_the_order_of_a_seed_stays(numbers):
    """A stopped run must go on with the batches that would have followed."""
    found = next(iter(batches_of(numbers, batch_size=6)))[0]
    assert found.numpy().tolist() == [10, 4, 3, 13, 11, 16]


def test_windows_before_the_first_batch_are_not_read(numbers, tmp_path):
    missing = [str(tmp_path / name) for name in "abcdef"]
    missing[4:] = numbers.shards[4:]
    records = Records("train", tuple(missing), 2, ROWS, IN_FILE)
    given = {"batch_size": 10, "shuffle": False, "skip": 4}
    rows, _ = next(iter(batches_of(records, **given)))
    assert rows.numpy().tolist() == list(range(40, 50))


def test_shards_of_batches_that_were_read_whole():
    features = {"ids": np.arange(14).reshape(7, 2)}
    whole = tf.data.Dataset.from_tensor_slices((features, np.arange(7)))
    whole = whole.batch(4)
    parts = [list(shard_batches(whole, (index, 3))) for index in range(3)]
    for batch, (features, labels) in enumerate(whole):
        own = [part[batch] for part in parts]
        assert [int(total) for *_, total in own] == [len(labels)] * 3
        joined = np.concatenate([each[1] for each in own])
        np.testing.assert_array_equal(joined, labels)
        joined = np.concatenate([each[0]["ids"] for each in own])
        np.testing.assert_array_equal(joined, features["ids"])
    again = list(whole_batches(shard_batches(whole, (0, 1))))
    for one, other in zip(again, whole, strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize(
    "shard", [(1, 1), (-1, 2), (0, 0), (True, 2), (0.0, 2), (0,), 3, "ab"]
)
def test_what_is_no_shard(numbers, shard):
    with pytest.raises(ValueError, match=r"pair \(index, count\).*Received: "):
        check_shard(shard)
    with pytest.raises(ValueError, match="`shard` must be a pair"):
        batches_of(numbers, batch_size=8, shard=shard)


def test_what_are_no_elements():
    pairs = tf.data.Dataset.from_tensors((np.zeros(2), np.zeros(2)))
    for wrong in (pairs, None):
        with pytest.raises(ValueError, match=r"function \(worker, workers\)"):
            check_elements(wrong)
    with pytest.raises(ValueError, match=r"pair \(features, labels\)"):
        shard_batches(pairs.map(lambda x, y: x), (0, 2))
