"""Streams of windows join to the batches of one process; no server runs."""

import numpy as np
import pytest
import tensorflow as tf

from keras_pss.data.pipelines.record_batches import Records, record_batches
from keras_pss.data.pipelines.shards import own_rows
from keras_pss.data.service import input_stream
from keras_pss.data.service.addresses import parse_addresses
from keras_pss.data.service.failures import InputLost
from keras_pss.data.service.joined_batches import joined_batches
from keras_pss.data.service.window_stream import Windows, window_stream

pytestmark = pytest.mark.tf_only

ROWS, IN_FILE, SEED = 53, 10, 3


def element(records):
    return {"id": records[:, 0]}, tf.cast(records[:, 1], tf.float32)


@pytest.fixture
def records(tmp_path):
    """Six files of rows that hold their number twice; three windows."""
    rows = np.repeat(np.arange(ROWS, dtype="<i4"), 2).reshape(-1, 2)
    paths = [tmp_path / str(begin) for begin in range(0, ROWS, IN_FILE)]
    for path in paths:
        begin = int(path.name)
        rows[begin : begin + IN_FILE].tofile(path)
    return Records("train", tuple(map(str, paths)), 2, ROWS, IN_FILE)


def joined(records, batch_size, servers, *, skip=0, shard=(0, 1), **options):
    """Batches from streams that run here, with one `change` to each."""
    windows = Windows(records, batch_size, SEED, 2 * IN_FILE)
    change = options.pop("change", lambda stream, server: stream)

    def sent(server, window, piece):
        stream = window_stream(
            windows,
            element,
            shard,
            first=window,
            step=len(servers),
            piece=piece,
            ahead=2,
        )
        return change(stream, server)

    return joined_batches(
        windows,
        sent,
        element,
        shard,
        skip=skip,
        servers=servers,
        timeout=options.pop("timeout", 5),
        on_lost=options.pop("on_lost", print),
        with_rows=True,
    )


@pytest.mark.parametrize(
    ("batch_size", "skip", "servers", "shard"),
    [
        (8, 9, "ab", (1, 3)),
        pytest.param(7, 10, "abcd", (0, 1), marks=pytest.mark.slow),
        pytest.param(60, 1, "a", (1, 2), marks=pytest.mark.slow),
    ],
)
def test_batches_are_those_of_one_process(
    records, monkeypatch, batch_size, skip, servers, shard
):
    """Also if a server is lost in the middle of a window."""
    monkeypatch.setattr(input_stream, "answers", lambda *_: True)
    lost = []

    def change(stream, server):
        return stream.take(2) if server == "a" and not lost else stream

    found = joined(
        records,
        batch_size,
        servers,
        skip=skip,
        shard=shard,
        change=change,
        on_lost=lost.append,
    )
    expected = record_batches(
        records,
        element,
        batch_size=batch_size,
        shuffle=True,
        seed=SEED,
        drop_remainder=False,
        repeat=True,
        skip=skip,
        window_rows=2 * IN_FILE,
    )
    steps = 2 * -(-ROWS // batch_size) + 1
    for (features, label, rows), (whole, labels) in zip(
        found, expected.take(steps), strict=False
    ):
        begin, end = own_rows(len(labels), *shard)
        assert rows == len(labels)
        np.testing.assert_array_equal(features["id"], whole["id"][begin:end])
        np.testing.assert_array_equal(label, labels[begin:end])
    found.close()
    assert lost == ["grpc://a: its stream ended"]


def test_rows_that_are_missing_or_repeated_are_an_error(records, monkeypatch):
    twice = joined(
        records, 7, "a", change=lambda stream, _: stream.take(1).repeat(2)
    )
    with pytest.raises(AssertionError, match=r"expected \(window, batch, row"):
        list(twice)
    monkeypatch.setattr(input_stream, "answers", lambda *_: False)
    with pytest.raises(InputLost, match="grpc://a: its stream ended"):
        list(
            joined(
                records,
                7,
                "a",
                timeout=0,
                change=lambda stream, _: stream.take(0),
            )
        )
    with open(records.shards[2], "ab") as file:
        file.write(bytes(8))
    with pytest.raises(ValueError, match=r"Copy the folder.*gained rows.*//a"):
        list(joined(records, 7, "a"))


def test_addresses():
    text = "grpc://host0:5050, host1:1,[::1]:22"
    assert parse_addresses(text) == ("host0:5050", "host1:1", "[::1]:22")
    for wrong in ("", [], "host", "http://a:1", "a:0", "a:70000", "a:1,a:1"):
        with pytest.raises(ValueError, match=r"grpc://host1:5050\. Received: "):
            parse_addresses(wrong)
