"""Joins the pieces of several streams to global batches, in their order."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from keras_pss.data.pipelines.shards import Shard, own_rows
from keras_pss.data.service.input_stream import InputStream
from keras_pss.data.service.window_stream import PiecePlace, Windows

if TYPE_CHECKING:
    import tensorflow as tf


def joined_batches(
    windows: Windows,
    sent: Callable[[str, int, int], "tf.data.Dataset"],
    decode: Callable[["tf.Tensor"], Any],
    shard: Shard,
    *,
    skip: int,
    servers: Sequence[str],
    timeout: float,
    on_lost: Callable[[str], None],
    with_rows: bool,
) -> Iterator[Any]:
    """Batches without end, each row of which was counted.

    Stream k of K has the windows w with w % K = k, so windows come from one
    stream after the other.

    Args:
        windows: The windows and batches of the log.
        sent: Function of `(address, window, piece)`; see `InputStream`.
        decode: Function from int32 records (B, words) to an element.
        shard: Index of this trainer and number of trainers.
        skip: Number of batches to leave out.
        servers: Addresses of the servers, as many as there are streams.
        timeout: As of `InputStream`.
        on_lost: As of `InputStream`.
        with_rows: Whether elements end with the number of rows of the global
            batch.

    Raises:
        AssertionError: If a server sends other rows than those that follow.
    """
    import tensorflow as tf

    count = len(servers)
    window, piece = windows.find(skip)
    streams = {
        first % count: InputStream(
            sent,
            servers,
            first % count,
            window=first,
            piece=piece if first == window else 0,
            step=count,
            timeout=timeout,
            on_lost=on_lost,
        )
        for first in range(window, window + count)
    }
    batch = skip
    try:
        while True:
            rows = windows.rows_of(batch)
            own = own_rows(rows, *shard)
            at, whole, parts = 0, None, []
            while at < rows:
                found, records, place = streams[window % count].next()
                got = PiecePlace(*place.numpy().tolist())
                _check(got, (window, batch, at, rows))
                if got.begin <= own[0] and own[1] <= got.end:
                    whole = found
                else:
                    parts.append(records)
                at = got.end
                window += got.ends_window
            if whole is None:
                whole = decode(tf.concat(parts, 0))
            _count(whole, own[1] - own[0], batch)
            if with_rows:
                whole = whole if isinstance(whole, tuple) else (whole,)
                whole = (*whole, tf.constant(rows, tf.int64))
            yield whole
            batch += 1
    finally:
        for stream in streams.values():
            stream.stop()


def _check(got: PiecePlace, expected: tuple[int, int, int, int]) -> None:
    if (got.window, got.batch, got.begin, got.rows) != expected:
        raise AssertionError(
            "An input server sent other rows than those that follow: expected "
            f"(window, batch, row, rows) {expected}, got {got}"
        )


def _count(element: Any, rows: int, batch: int) -> None:
    import tensorflow as tf

    found = int(tf.nest.flatten(element)[0].shape[0])
    if found != rows:
        raise AssertionError(
            f"Input servers sent {found} rows of batch {batch}, which has "
            f"{rows}"
        )
