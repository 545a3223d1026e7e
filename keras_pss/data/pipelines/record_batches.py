"""Batches of fixed-length records, which every prepared folder consists of.

Records are int32 words of the same number; what they mean is left to the
caller. TensorFlow is imported when a pipeline is created.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keras_pss.data.pipelines.shards import Shard, check_shard, own_rows

if TYPE_CHECKING:
    import tensorflow as tf

WINDOW_ROWS = 1 << 20  # rows shuffled together

_BLOCK_ROWS = 1 << 14  # rows emitted from a window at a time
# Enough to hide the reading of the first rows of an epoch.
_BATCHES_AHEAD = 16


@dataclass(frozen=True)
class Records:
    """The shards of a split.

    Args:
        split: Name of the split, for messages.
        shards: Paths of the files, in order.
        words: Number of int32 words of a record.
        rows: Number of rows of all shards.
        rows_per_shard: Number of rows of all shards except the last.
    """

    split: str
    shards: tuple[str, ...]
    words: int
    rows: int
    rows_per_shard: int


def record_batches(
    records: Records,
    element: Callable[["tf.Tensor"], Any],
    *,
    batch_size: int,
    shuffle: bool,
    seed: int,
    drop_remainder: bool,
    repeat: bool,
    skip: int,
    shard: Shard | None = None,
    window_rows: int = WINDOW_ROWS,
) -> "tf.data.Dataset":
    """Batches of records, shuffled within windows of shards.

    Args:
        records: The shards to read.
        element: Function from int32 records (B, words) to an element.
        batch_size: Number of rows of all batches except an epoch's last.
        shuffle: Whether each epoch has another order, given by the seed.
        seed: Seed of the shuffling.
        drop_remainder: Whether to drop a last batch with fewer rows.
        repeat: Whether to repeat epochs without end.
        skip: Number of batches to skip at the start, which requires
            `repeat`. Windows of which all rows are skipped are not read.
        shard: Index of a process and number of processes. Elements are then
            those of the process's rows of each batch, followed by the number
            of rows of the whole batch. Default: None, whole batches.
        window_rows: Number of rows that are shuffled together, in whole
            shards. Default: 1,048,576.

    Returns:
        A prefetched dataset whose `cardinality()` is known.

    Raises:
        ValueError: `batch_size` is below 1, `skip` is negative or positive
            without `repeat`, `shard` is wrong, or there is no batch to repeat.
    """
    import tensorflow as tf

    check_batch_size(batch_size)
    if skip < 0 or (skip and not repeat):
        raise ValueError(
            "`skip` must be at least 0, and 0 without `repeat`. "
            f"Received: skip={skip}, repeat={repeat}"
        )
    if shard is not None:
        check_shard(shard)
    in_window = 1
    if shuffle:
        in_window = max(1, window_rows // records.rows_per_shard)
    count = records.rows // batch_size
    if records.rows % batch_size and not drop_remainder:
        count += 1
    whole = tf.constant(batch_size, tf.int64)

    def epoch(number: "tf.Tensor", skip: Any = 0) -> "tf.data.Dataset":
        """Batches of records in the order of epoch `number`."""
        mixed = epoch_seed(seed, number)
        order = tf.range(len(records.shards))
        if shuffle:
            order = tf.random.experimental.stateless_shuffle(order, mixed)
        ends = tf.cumsum(tf.gather(rows_of_shards(records), order))
        names = tf.gather(tf.constant(records.shards), order)
        windows = tf.data.Dataset.from_tensor_slices((names, ends))
        windows = windows.batch(in_window).enumerate()
        first = skip * batch_size
        if repeat:
            over = ends[in_window - 1 :: in_window] <= first
            windows = windows.skip(tf.math.count_nonzero(over))

        def blocks(index: "tf.Tensor", window: Any) -> "tf.data.Dataset":
            found = read_shards(window[0], records.words)
            order = tf.range(tf.shape(found)[0])
            if shuffle:
                order = tf.random.experimental.stateless_shuffle(
                    order, window_seed(mixed, index)
                )
            begin = window[1][-1] - tf.size(order, tf.int64)
            return _blocks(found, kept(order, begin, first))

        found = windows.flat_map(blocks)
        if shard is None:
            return found.rebatch(batch_size, drop_remainder)
        begins = tf.range(skip, count, dtype=tf.int64) * whole
        totals = tf.minimum(whole, records.rows - begins)
        begin, end = own_rows(totals, *shard)
        # A batch of which this shard has no row is an empty one.
        none = tf.data.Dataset.from_tensors(
            tf.zeros((0, records.words), tf.int32)
        )
        parts = found.rebatch(end - begin).concatenate(none.repeat())
        rows = tf.data.Dataset.from_tensor_slices(totals)
        return tf.data.Dataset.zip((parts, rows))

    def kept(
        order: "tf.Tensor", begin: "tf.Tensor", first: "tf.Tensor"
    ) -> "tf.Tensor":
        """The rows of a window, from place `first` on, that are yielded.

        Args:
            order: The rows of the window, in the order of the epoch.
            begin: Place of the first one in the epoch.
            first: Place of the epoch's first row that is not skipped.
        """
        skipped = tf.maximum(first - begin, 0)
        order = order[skipped:]
        if shard is None:
            return order
        places = begin + skipped + tf.range(tf.size(order, tf.int64))
        in_batch = places % batch_size
        rows = tf.minimum(whole, records.rows - places + in_batch)
        low, high = own_rows(rows, *shard)
        own = tf.where((in_batch >= low) & (in_batch < high))
        return tf.gather(order, own[:, 0])

    def with_rows(own: "tf.Tensor", rows: "tf.Tensor") -> Any:
        found = element(own)
        return (*found, rows) if isinstance(found, tuple) else (found, rows)

    if repeat:
        if not count:
            raise ValueError(
                "`repeat` needs at least one whole batch per epoch. Received: "
                f"batch_size={batch_size}, {records.rows} {records.split} rows"
            )
        first, rest = divmod(skip, count)
        left = tf.constant(rest, tf.int64)
        numbers = tf.data.Dataset.counter(first)
        batches = numbers.flat_map(
            lambda number: epoch(number, tf.where(number == first, left, 0))
        )
    else:
        # Each iteration over the dataset draws another epoch.
        numbers = tf.data.Dataset.random(seed, rerandomize_each_iteration=True)
        batches = numbers.take(1).flat_map(epoch)
    made = element if shard is None else with_rows
    batches = batches.map(made, num_parallel_calls=2)
    batches = batches.apply(
        tf.data.experimental.assert_cardinality(
            tf.data.INFINITE_CARDINALITY if repeat else count
        )
    )
    return prefetched(batches)


def check_batch_size(batch_size: int) -> None:
    """Raises ValueError if `batch_size` is below 1."""
    if batch_size < 1:
        raise ValueError(
            "`batch_size` must be at least 1. "
            f"Received: batch_size={batch_size}."
        )


def prefetched(batches: "tf.data.Dataset") -> "tf.data.Dataset":
    """Prefetches batches during training steps, without autotuning.

    TensorFlow's autotuning thread doubles its sleep time up to a minute, and
    deleting an iterator waits for it: after `model.fit`, up to as long as the
    training itself took.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(_BATCHES_AHEAD).with_options(options)


def epoch_seed(seed: int, number: "tf.Tensor") -> "tf.Tensor":
    """Seed of the order of the shards in epoch `number`, an int64 scalar.

    It is hashed, so that neighboring seeds and epochs have unrelated orders.
    """
    import tensorflow as tf

    return tf.random.experimental.stateless_fold_in([seed, 0], number)


def window_seed(mixed: "tf.Tensor", index: "tf.Tensor") -> "tf.Tensor":
    """Seed of the order of the rows of a window.

    Args:
        mixed: The result of `epoch_seed`.
        index: Index of the window in its epoch, an int64 scalar.
    """
    import tensorflow as tf

    return tf.random.experimental.stateless_fold_in(mixed, index + 1)


def read_shards(names: "tf.Tensor", words: int) -> "tf.Tensor":
    """Reads the records of some shards, int32 (rows, words)."""
    import tensorflow as tf

    shape = (None, words)
    parts = tf.TensorArray(
        tf.int32, tf.size(names), infer_shape=False, element_shape=shape
    )

    def read(index: Any, parts: Any) -> Any:
        data = tf.io.decode_raw(tf.io.read_file(names[index]), tf.int32)
        return index + 1, parts.write(index, tf.reshape(data, (-1, words)))

    _, parts = tf.while_loop(
        lambda index, _: index < tf.size(names), read, (0, parts)
    )
    return tf.ensure_shape(parts.concat(), shape)


def rows_of_shards(records: Records) -> "tf.Tensor":
    """Number of rows of each shard, int64 (shards,)."""
    import tensorflow as tf

    before = len(records.shards) - 1
    whole = tf.fill([before], tf.cast(records.rows_per_shard, tf.int64))
    last = records.rows - before * records.rows_per_shard
    return tf.concat([whole, [tf.cast(last, tf.int64)]], 0)


def _blocks(records: "tf.Tensor", order: "tf.Tensor") -> "tf.data.Dataset":
    """Blocks of records in a given order."""
    import tensorflow as tf

    count = tf.size(order, tf.int64)
    starts = tf.data.Dataset.range(0, count, _BLOCK_ROWS)
    return starts.map(
        lambda start: tf.gather(records, order[start : start + _BLOCK_ROWS])
    )
