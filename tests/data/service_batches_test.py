"""Streams of windows join to the batches of one process; no server runs."""

import threading
import time
from queue import Empty
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from keras_pss.data.pipelines.record_batches import Records, record_batches
from keras_pss.data.pipelines.shards import own_rows
from keras_pss.data.service import input_stream, reading
from keras_pss.data.service.addresses import parse_addresses
from keras_pss.data.service.failures import InputLost
from keras_pss.data.service.joined_batches import joined_batches
from keras_pss.data.service.window_stream import Windows, window_stream

pytestmark = pytest.mark.tf_only

ROWS, IN_FILE, SEED = 53, 10, 3


def element(records):
    return {"id": records[:, 0]}, tf.cast(records[:, 1], tf.float32)


@pytest.fixture
def records(tmp_path, monkeypatch):
    """Six files of rows that hold their number twice; three windows."""
    # No stream is slow enough for a look at its server, which there is not.
    monkeypatch.setattr(input_stream, "_LOOK", 60.0)
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


def test_rows_that_are_missing_or_repeated_are_an_error(records):
    twice = joined(
        records, 7, "a", change=lambda stream, _: stream.take(1).repeat(2)
    )
    with pytest.raises(AssertionError, match=r"expected \(window, batch, row"):
        list(twice)
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


def test_a_server_that_goes_on_has_the_time_to_read_a_window(monkeypatch):
    """Server a answers and sends nothing, b sends its first piece late."""
    clock, lost = [0.0], []

    def wait(seconds):
        clock[0] += seconds

    class Slow:
        def __init__(self, make):
            self.seconds = make()

        def get(self, timeout):
            wait(timeout)
            self.seconds -= timeout
            if self.seconds > 0:
                raise Empty
            return piece

        def stop(self):
            pass

    piece = None, None, tf.constant([0, 0, 0, 7, 7, 1], tf.int64)
    fake = SimpleNamespace(monotonic=lambda: clock[0], sleep=wait)
    monkeypatch.setattr(input_stream, "time", fake)
    monkeypatch.setattr(input_stream, "answers", lambda *_: True)
    monkeypatch.setattr(input_stream, "Reading", Slow)
    stream = input_stream.InputStream(
        lambda server, *_: {"a": 99.0, "b": 4.0}[server],
        "ab",
        0,
        window=0,
        piece=0,
        step=1,
        timeout=5.0,
        on_lost=lost.append,
    )
    assert stream.next() is piece
    assert lost == ["grpc://a: it sent nothing for 6 s"]


def test_who_reads_when_python_exits_is_told(monkeypatch):
    exits = threading.Event()
    monkeypatch.setattr(reading, "_exits", exits)
    stream = reading.Reading(tf.data.Dataset.range(9).repeat)
    assert stream.get(60) == 0
    exits.set()
    assert stream.end(time.monotonic() + 60)
    assert not stream.end(time.monotonic())
    with pytest.raises(InputLost, match="when Python exits"):
        stream.get(60)


def test_addresses():
    text = "grpc://host0:5050, host1:1,[::1]:22"
    assert parse_addresses(text) == ("host0:5050", "host1:1", "[::1]:22")
    for wrong in ("", [], "host", "http://a:1", "a:0", "a:70000", "a:1,a:1"):
        with pytest.raises(ValueError, match=r"grpc://host1:5050\. Received: "):
            parse_addresses(wrong)
