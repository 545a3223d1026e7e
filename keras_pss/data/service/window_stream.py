"""The pipeline that an input server runs: every K-th window of a log.

`record_batches` shuffles an epoch in windows of shards. Here a window is read
by one server alone, with the same order of rows, and cut where the global
batches end. A batch that has rows of two windows comes in two pieces.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from keras_pss.data.pipelines.record_batches import (
    WINDOW_ROWS,
    Records,
    epoch_seed,
    read_shards,
    rows_of_shards,
    window_seed,
)
from keras_pss.data.pipelines.shards import Shard, own_rows

if TYPE_CHECKING:
    import tensorflow as tf

_ENDLESS = 1 << 62


class PiecePlace(NamedTuple):
    """Which rows a piece has, as sent beside them.

    Attributes:
        window: Number of the window, counted over all epochs.
        batch: Number of the global batch, counted over all epochs.
        begin: First row of the piece in its global batch.
        end: Row after the last one in its global batch.
        rows: Number of rows of the global batch.
        ends_window: 1 if it is the last piece of the window, else 0.
    """

    window: int
    batch: int
    begin: int
    end: int
    rows: int
    ends_window: int


@dataclass(frozen=True)
class Windows:
    """The windows and global batches of a shuffled split.

    Args:
        records: The shards.
        batch_size: Number of rows of all batches except an epoch's last.
        seed: Seed of the shuffling.
        window_rows: As of `record_batches`. Default: 1,048,576.
    """

    records: Records
    batch_size: int
    seed: int
    window_rows: int = WINDOW_ROWS

    @property
    def shards(self) -> int:
        """Number of shards of a window."""
        return max(1, self.window_rows // self.records.rows_per_shard)

    @property
    def count(self) -> int:
        """Number of windows of an epoch."""
        return -(-len(self.records.shards) // self.shards)

    @property
    def batches(self) -> int:
        """Number of batches of an epoch."""
        return -(-self.records.rows // self.batch_size)

    @property
    def most_pieces(self) -> int:
        """At most so many pieces has a window."""
        rows = min(self.shards * self.records.rows_per_shard, self.records.rows)
        return rows // self.batch_size + 2

    def rows_of(self, batch: int) -> int:
        """Number of rows of a batch, counted over all epochs."""
        before = batch % self.batches * self.batch_size
        return min(self.batch_size, self.records.rows - before)

    def bounds(self, window: "tf.Tensor") -> tuple[Any, ...]:
        """Paths of a window's shards, and its first and last row.

        Args:
            window: Number of the window over all epochs, int64 scalar.

        Returns:
            The paths, string (shards,); the numbers of its first row and of
            the row after its last in the order of the epoch, int64; and the
            seed of the order of its rows.
        """
        import tensorflow as tf

        index = window % self.count
        order, lengths, mixed = self._epoch(window // self.count)
        first, last = index * self.shards, (index + 1) * self.shards
        begin = tf.reduce_sum(lengths[:first])
        end = tf.reduce_sum(lengths[:last])
        names = tf.constant(self.records.shards)
        paths = tf.gather(names, order[first:last])
        return paths, begin, end, window_seed(mixed, index)

    def find(self, batch: int) -> tuple[int, int]:
        """The window with the first row of a batch, and the piece's index."""
        import tensorflow as tf

        epoch, rest = divmod(batch, self.batches)
        with tf.device("CPU:0"):
            _, lengths, _ = self._epoch(tf.constant(epoch, tf.int64))
        ends = np.cumsum(lengths.numpy())
        row = rest * self.batch_size
        index = int(np.searchsorted(ends, row, "right")) // self.shards
        begin = int(ends[index * self.shards - 1]) if index else 0
        piece = rest - begin // self.batch_size
        return epoch * self.count + index, piece

    def _epoch(self, number: "tf.Tensor") -> tuple[Any, ...]:
        """The order of an epoch's shards, their rows, and its seed."""
        import tensorflow as tf

        mixed = epoch_seed(self.seed, number)
        order = tf.random.experimental.stateless_shuffle(
            tf.range(len(self.records.shards)), mixed
        )
        return order, tf.gather(rows_of_shards(self.records), order), mixed


def window_stream(
    windows: Windows,
    element: Callable[["tf.Tensor"], Any],
    shard: Shard,
    *,
    first: int,
    step: int,
    piece: int,
    ahead: int,
) -> "tf.data.Dataset":
    """Pieces of the windows `first`, `first + step`, ... without end.

    Args:
        windows: The windows of all epochs.
        element: Function from int32 records (B, words) to an element.
        shard: Index of a trainer and number of trainers: only its `own_rows`
            of each batch are sent.
        first: Number of the first window.
        step: Difference between the numbers of windows.
        piece: Number of pieces of the first window to leave out.
        ahead: Number of pieces to prepare before they are asked for.

    Returns:
        Elements `(element, records, place)`. If the piece has all rows that
        are sent of its batch, they are in `element`, and `records` has no
        rows; else they are in `records`, int32, to be joined and decoded
        together, and `element` has no rows. `place` is a `PiecePlace`, int64.
    """
    import tensorflow as tf

    size, words = windows.batch_size, windows.records.words

    def pieces(window: "tf.Tensor") -> "tf.data.Dataset":
        paths, begin, end, seed = windows.bounds(window)
        content = read_shards(paths, words)
        rows = tf.shape(content)[0]
        whole = tf.debugging.assert_equal(
            tf.cast(rows, tf.int64),
            end - begin,
            f"Shards of the {windows.records.split} rows have lost or gained "
            "rows",
        )
        with tf.control_dependencies([whole] if whole is not None else []):
            rows = tf.identity(rows)
        order = tf.random.experimental.stateless_shuffle(tf.range(rows), seed)
        skipped = tf.where(window == first, tf.constant(piece, tf.int64), 0)
        start, stop = begin // size, -(-end // size)

        def cut(batch: "tf.Tensor") -> Any:
            before = batch * size
            n = tf.minimum(before + size, windows.records.rows) - before
            low = tf.maximum(begin - before, 0)
            high = tf.minimum(end - before, n)
            own, own_end = own_rows(n, *shard)
            complete = (low <= own) & (own_end <= high)
            taken = tf.clip_by_value((own, own_end), low, high)
            shift = before - begin
            found = tf.gather(
                content, order[taken[0] + shift : taken[1] + shift]
            )
            decoded = tf.where(complete, tf.shape(found)[0], 0)
            number = batch + window // windows.count * windows.batches
            ends = tf.cast(batch + 1 == stop, tf.int64)
            place = tf.stack([window, number, low, high, n, ends])
            return found[:decoded], found[decoded:], place

        return tf.data.Dataset.range(start + skipped, stop).map(cut)

    # One element with dynamic sharding: whatever the number of a service's
    # workers, one of them runs the stream, and none starts it again.
    one = tf.data.Dataset.range(1)
    numbers = one.flat_map(
        lambda _: tf.data.Dataset.range(first, _ENDLESS, step)
    )
    sent = numbers.flat_map(pieces).map(
        lambda found, records, place: (element(found), records, place),
        num_parallel_calls=2,
    )
    options = tf.data.Options()
    options.autotune.enabled = False
    return sent.prefetch(ahead).with_options(options)
