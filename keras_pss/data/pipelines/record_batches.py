"""Batches of fixed-length records, which every prepared folder consists of.

Records are int32 words of the same number; what they mean is left to the
caller. TensorFlow is imported when a pipeline is created.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
            `repeat`. Whole epochs are skipped without reading them.
        window_rows: Number of rows that are shuffled together, in whole
            shards. Default: 1,048,576.

    Returns:
        A prefetched dataset whose `cardinality()` is known.

    Raises:
        ValueError: `batch_size` is below 1, `skip` is negative or positive
            without `repeat`, or there is no batch to repeat.
    """
    import tensorflow as tf

    check_batch_size(batch_size)
    if skip < 0 or (skip and not repeat):
        raise ValueError(
            "`skip` must be at least 0, and 0 without `repeat`. "
            f"Received: skip={skip}, repeat={repeat}"
        )
    in_window = 1
    if shuffle:
        in_window = max(1, window_rows // records.rows_per_shard)
    count = records.rows // batch_size
    if records.rows % batch_size and not drop_remainder:
        count += 1

    def epoch(number: "tf.Tensor") -> "tf.data.Dataset":
        """Batches of records in the order of epoch `number`."""
        mixed = epoch_seed(seed, number)
        names = tf.constant(records.shards)
        if shuffle:
            names = tf.random.experimental.stateless_shuffle(names, mixed)
        windows = tf.data.Dataset.from_tensor_slices(names).batch(in_window)
        if shuffle:
            blocks = windows.enumerate().flat_map(
                lambda index, window: _shuffled_window(
                    read_shards(window, records.words),
                    window_seed(mixed, index),
                )
            )
        else:
            blocks = windows.flat_map(
                lambda window: _window(read_shards(window, records.words))
            )
        return blocks.rebatch(batch_size, drop_remainder)

    if repeat:
        if not count:
            raise ValueError(
                "`repeat` needs at least one whole batch per epoch. Received: "
                f"batch_size={batch_size}, {records.rows} {records.split} rows"
            )
        first, rest = divmod(skip, count)
        numbers = tf.data.Dataset.counter(first)
        batches = numbers.flat_map(epoch).skip(rest)
    else:
        # Each iteration over the dataset draws another epoch.
        numbers = tf.data.Dataset.random(seed, rerandomize_each_iteration=True)
        batches = numbers.take(1).flat_map(epoch)
    batches = batches.map(element, num_parallel_calls=2)
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


def _window(records: "tf.Tensor") -> "tf.data.Dataset":
    import tensorflow as tf

    return _blocks(tf.shape(records)[0], lambda at: records[at[0] : at[1]])


def _shuffled_window(
    records: "tf.Tensor", seed: "tf.Tensor"
) -> "tf.data.Dataset":
    import tensorflow as tf

    count = tf.shape(records)[0]
    order = tf.random.experimental.stateless_shuffle(tf.range(count), seed)
    return _blocks(count, lambda at: tf.gather(records, order[at[0] : at[1]]))


def _blocks(count: "tf.Tensor", take: Any) -> "tf.data.Dataset":
    """Dataset of blocks `take((start, stop))` of `count` rows in total."""
    import tensorflow as tf

    starts = tf.data.Dataset.range(0, tf.cast(count, tf.int64), _BLOCK_ROWS)
    return starts.map(
        lambda start: take(
            (start, tf.minimum(start + _BLOCK_ROWS, tf.cast(count, tf.int64)))
        )
    )
