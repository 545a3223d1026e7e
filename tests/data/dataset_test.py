"""Pipelines of Criteo's log against the records that they read."""

import numpy as np
import pytest
import tensorflow as tf

from keras_pss.data import criteo, file_dataset
from keras_pss.data.pipelines.log_dataset import element_of
from keras_pss.data.pipelines.record_batches import Records, record_batches

pytestmark = pytest.mark.tf_only


def records(prepared, split="train"):
    return np.concatenate(
        [np.fromfile(p, "<i4").reshape(-1, 40) for p in prepared.shards(split)]
    )


def table(dataset):
    """Elements as one array (rows, 40) of float64, dense as it comes."""
    parts = [
        np.column_stack([label, x["dense"], x["categorical"]])
        for x, label in dataset.as_numpy_iterator()
    ]
    return np.concatenate(parts).astype(np.float64)


def expected(records):
    rows = records.astype(np.float64)
    rows[:, 1:14] = np.log1p(rows[:, 1:14]).astype(np.float32)
    return rows


def ordered(rows):
    """Rows sorted by their ids and label, which tell all but a few apart."""
    return rows[np.lexsort(np.column_stack([rows[:, :1], rows[:, 14:]]).T)]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("batch_size", [100, 1009, 100_000])
def test_unshuffled_equals_records(prepared, split, batch_size):
    data = criteo.dataset(prepared, split, batch_size=batch_size, shuffle=False)
    np.testing.assert_allclose(
        table(data), expected(records(prepared, split)), rtol=1e-6
    )
    sizes = [len(label) for _, label in data.as_numpy_iterator()]
    assert len(sizes) == data.cardinality()
    assert all(size == batch_size for size in sizes[:-1])


def test_shuffling_keeps_the_rows_and_repeats_by_seed(prepared):
    plain = expected(records(prepared))
    first = criteo.dataset(prepared, batch_size=128, seed=1)
    epochs = [table(first), table(first)]
    for epoch in epochs:
        np.testing.assert_allclose(ordered(epoch), ordered(plain), atol=1e-4)
        assert not np.array_equal(epoch, plain)
    assert not np.array_equal(*epochs)
    again = criteo.dataset(prepared, batch_size=128, seed=1)
    np.testing.assert_array_equal(table(again), epochs[0])
    np.testing.assert_array_equal(table(again), epochs[1])
    other = criteo.dataset(prepared, batch_size=128, seed=2)
    assert not np.array_equal(table(other), epochs[0])


def test_only_training_rows_are_shuffled_by_default(prepared):
    data = criteo.dataset(prepared, "test", batch_size=128)
    np.testing.assert_allclose(
        table(data), expected(records(prepared, "test")), rtol=1e-6
    )


def positions(prepared, dataset):
    """For each row of the pipeline its position in the records."""
    ids = records(prepared)[:, 14:]
    place = {row.tobytes(): i for i, row in enumerate(ids)}
    assert len(place) > 0.99 * len(ids)
    found = table(dataset)[:, 14:].astype(np.int32)
    return np.array([place[row.tobytes()] for row in found])


def test_one_window_is_shuffled_exactly(prepared):
    """Mean displacement of a uniform permutation is a third of the rows."""
    count = prepared.rows("train")
    where = positions(prepared, criteo.dataset(prepared, seed=4))
    moved = np.abs(where - np.arange(count)).mean() / count
    assert moved == pytest.approx(1 / 3, abs=0.03)
    # Each quarter of the epoch holds a quarter of each quarter.
    shares = np.histogram2d(where, np.arange(count), bins=4)[0] * 16 / count
    np.testing.assert_allclose(shares, 1, atol=0.25)


def test_windows_mix_some_shards(prepared):
    shards = tuple(map(str, prepared.shards("train")))
    assert len(shards) > 2
    data = record_batches(
        Records("train", shards, 40, prepared.rows("train"), 700),
        element_of(prepared),
        batch_size=90,
        shuffle=True,
        seed=4,
        drop_remainder=False,
        repeat=False,
        skip=0,
        window_rows=1400,
    )
    np.testing.assert_allclose(
        ordered(table(data)), ordered(expected(records(prepared))), atol=1e-4
    )
    # Two shards of 700 rows are used up before the next ones begin.
    first, second = (positions(prepared, data)[:500] // 700 for _ in "ab")
    assert len(set(first)) == len(set(second)) == 2


def test_drop_remainder_and_repeat(prepared):
    count = prepared.rows("train")
    data = criteo.dataset(prepared, batch_size=1000, drop_remainder=True)
    assert data.cardinality() == count // 1000 == len(list(data))
    endless = criteo.dataset(prepared, batch_size=1000, repeat=True)
    assert endless.cardinality() == tf.data.INFINITE_CARDINALITY
    assert len(list(endless.take(10))) == 10


def test_no_tuner_is_waited_for(prepared, log):
    # An iterator's end waits for TensorFlow's tuner, up to a minute.
    for data in (
        criteo.dataset(prepared, repeat=True),
        criteo.dataset(prepared, "test").map(lambda x, y: y),
        file_dataset(log, prepared, batch_size=128),
    ):
        assert data.options().autotune.enabled is False


def test_batches_of_a_file_equal_prepared_records(prepared, log):
    plain = np.concatenate([records(prepared, s) for s in prepared.splits])
    for batch_size in (7, 128, 10_000):
        data = file_dataset(log, prepared, batch_size=batch_size)
        for _ in range(2):
            np.testing.assert_allclose(table(data), expected(plain), rtol=1e-6)
        sizes = [len(label) for _, label in data.as_numpy_iterator()]
        assert set(sizes[:-1]) <= {batch_size}


def test_rejects_of_a_file(prepared, log, tmp_path):
    path = tmp_path / "a.tsv"
    path.write_bytes(b"x\n" + log.read_bytes())
    seen = []
    data = file_dataset(path, prepared, batch_size=500, on_rejects=seen.extend)
    assert len(table(data)) == 3000
    assert [(r.line, r.raw) for r in seen] == [(1, b"x")]
    strict = file_dataset(path, prepared, batch_size=500, strict=True)
    with pytest.raises(tf.errors.OpError, match=r"a\.tsv:1: wrong number of"):
        list(strict)


def test_rejects_are_logged_unless_taken(prepared, log, tmp_path, caplog):
    path = tmp_path / "a.tsv"
    path.write_bytes(b"x\ny\n" + log.read_bytes())
    assert len(list(file_dataset(path, prepared, batch_size=3000))) == 1
    (record,) = caplog.records
    message = (
        f"2 broken rows left out: {path}:1: wrong number of fields (expected "
        "40, found 1)"
    )
    assert (record.levelname, record.getMessage()) == ("WARNING", message)


def test_files_without_good_rows_have_no_batches(prepared, tmp_path):
    broken, empty = tmp_path / "a.tsv", tmp_path / "b.tsv"
    broken.write_bytes(b"x\n" * 5)
    empty.touch()
    for sources in (broken, empty, [empty, broken]):
        assert not list(file_dataset(sources, prepared, batch_size=3))


def test_sources_may_be_a_generator(prepared, log):
    sources = log.parent.glob("*.tsv")
    data = file_dataset(sources, prepared, batch_size=1000)
    assert [len(list(data)) for _ in range(2)] == [3, 3]


def test_rows_without_labels(prepared, log, tmp_path):
    path = tmp_path / "a.tsv"
    rows = log.read_bytes().splitlines()
    path.write_bytes(b"\n".join(row[2:] for row in rows))
    bare = file_dataset(path, prepared, batch_size=500, labelled=False)
    whole = file_dataset(log, prepared, batch_size=500)
    for x, (features, _) in zip(bare, whole, strict=True):
        for name, values in features.items():
            np.testing.assert_array_equal(x[name], values)


def test_errors_of_files(prepared, log, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"that exist"):
        file_dataset(tmp_path / "x", prepared, batch_size=1)
    with pytest.raises(ValueError, match=r"batch_size=0"):
        file_dataset(log, prepared, batch_size=0)
    comma = tmp_path / "comma.csv"
    comma.write_bytes(log.read_bytes().replace(b"\t", b","))
    with pytest.raises(ValueError, match="40 columns separated by commas"):
        file_dataset(comma, prepared)
