"""tf.data pipelines of prepared folders and of TSV files.

An element is `({"dense": float32 (B, 13), "categorical": int32 (B, 26)},
label float32 (B,))`, with dense = log(1 + integer). TensorFlow is imported
when a pipeline is created, not with this module.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_pss.data.criteo import schema
from keras_pss.data.encoders.id_encoder import IdEncoder
from keras_pss.data.pipelines.tsv_batches import (
    OnRejects,
    check_batch_size,
    log_rejects,
    tsv_batches,
)
from keras_pss.data.readers.recognize import check_criteo
from keras_pss.data.readers.source import Sources, as_sources
from keras_pss.data.storage.prepared import Prepared, load
from keras_pss.data.storage.records import FIRST_ID

if TYPE_CHECKING:
    import tensorflow as tf

WINDOW_ROWS = 1 << 20  # rows shuffled together

_BLOCK_ROWS = 1 << 14  # rows emitted from a window at a time
# Enough to hide the reading of the first rows of an epoch.
_BATCHES_AHEAD = 16


def dataset(
    prepared: Prepared | str | Path,
    split: str = "train",
    *,
    batch_size: int = 2048,
    shuffle: bool | None = None,
    seed: int = 0,
    drop_remainder: bool = False,
    repeat: bool = False,
    skip: int = 0,
) -> "tf.data.Dataset":
    """Batches of one split of a prepared folder.

    Each epoch has another order, which the seed determines. The shards are
    read in random order. Consecutive shards with up to 1,048,576 rows
    (`WINDOW_ROWS`; at least one shard) form a window, whose rows are permuted
    uniformly. So a split that fits into one window is shuffled uniformly; in
    a larger split, rows mix within windows of shards that differ in each
    epoch. Memory: about 500 bytes per row of a window, and the prefetched
    batches.

    Args:
        prepared: The result of `criteo.prepare` or `criteo.load`, or the path
            of the folder.
        split: `"train"`, `"validation"` or `"test"`. Default: `"train"`.
        batch_size: Number of rows of all batches except an epoch's last.
            Default: 2048.
        shuffle: Whether to shuffle. Default: None, which shuffles the
            training split only.
        seed: Seed of the shuffling. Default: 0.
        drop_remainder: Whether to drop a last batch with fewer rows.
            Default: False.
        repeat: Whether to repeat epochs without end. The order of an epoch
            depends only on `seed` and the number of the epoch.
            Default: False.
        skip: Number of batches to skip at the start, which requires
            `repeat`. A run that stopped after `skip` batches resumes with the
            batches that would have followed. Whole epochs are skipped without
            reading them. Default: 0.

    Returns:
        A prefetched dataset whose `cardinality()` is known.

    Raises:
        ValueError: The split does not exist, `batch_size` is below 1, or
            `skip` is negative or positive without `repeat`.
    """
    import tensorflow as tf

    check_batch_size(batch_size)
    if skip < 0 or (skip and not repeat):
        raise ValueError(
            "`skip` must be at least 0, and 0 without `repeat`. "
            f"Received: skip={skip}, repeat={repeat}"
        )
    if not isinstance(prepared, Prepared):
        prepared = load(prepared)
    shards = [str(path) for path in prepared.shards(split)]
    num_rows = prepared.rows(split)
    if shuffle is None:
        shuffle = split == "train"
    in_window = 1
    if shuffle:
        in_window = max(1, WINDOW_ROWS // prepared.metadata["rows_per_shard"])
    count = num_rows // batch_size
    if num_rows % batch_size and not drop_remainder:
        count += 1

    def epoch(number: "tf.Tensor") -> "tf.data.Dataset":
        """Batches of records in the order of epoch `number`."""
        # Hashed, so that neighboring seeds and epochs have unrelated orders.
        mixed = tf.random.experimental.stateless_fold_in([seed, 0], number)
        names = tf.constant(shards)
        if shuffle:
            names = tf.random.experimental.stateless_shuffle(names, mixed)
        windows = tf.data.Dataset.from_tensor_slices(names).batch(in_window)
        if shuffle:
            blocks = windows.enumerate(1).flat_map(
                lambda index, window: _shuffled_window(
                    window,
                    tf.random.experimental.stateless_fold_in(mixed, index),
                )
            )
        else:
            blocks = windows.flat_map(_window)
        return blocks.rebatch(batch_size, drop_remainder)

    if repeat:
        if not count:
            raise ValueError(
                "`repeat` needs at least one whole batch per epoch. "
                f"Received: batch_size={batch_size}, {num_rows} {split} rows"
            )
        first, rest = divmod(skip, count)
        numbers = tf.data.Dataset.counter(first)
        batches = numbers.flat_map(epoch).skip(rest)
    else:
        # Each iteration over the dataset draws another epoch.
        numbers = tf.data.Dataset.random(seed, rerandomize_each_iteration=True)
        batches = numbers.take(1).flat_map(epoch)
    batches = batches.map(_features, num_parallel_calls=2)
    batches = batches.apply(
        tf.data.experimental.assert_cardinality(
            tf.data.INFINITE_CARDINALITY if repeat else count
        )
    )
    return prefetched(batches)


def tsv_dataset(
    sources: Sources,
    encoder: IdEncoder,
    *,
    batch_size: int,
    strict: bool = False,
    labelled: bool = True,
    on_rejects: OnRejects = log_rejects,
) -> "tf.data.Dataset":
    """Batches directly from TSV files, in order.

    Memory: a few blocks of the reader.

    Args:
        sources, encoder, batch_size, strict, labelled, on_rejects: As in
            `tsv_batches`.

    Returns:
        A prefetched dataset with elements like those of `dataset`. If
        `strict`, the error that TensorFlow raises for a broken row contains
        the message of `BrokenRowError`.
    """
    import tensorflow as tf

    check_batch_size(batch_size)
    # A missing file raises here rather than during training.
    paths = [source.path for source in as_sources(sources)]
    check_criteo(paths, labelled)

    def elements() -> Iterator[tuple[dict[str, Any], Any]]:
        for batch in tsv_batches(
            paths,
            encoder,
            batch_size=batch_size,
            strict=strict,
            labelled=labelled,
            on_rejects=on_rejects,
        ):
            features = {"dense": batch.dense, "categorical": batch.categorical}
            yield features, batch.labels

    dense = tf.TensorSpec((None, schema.NUM_INTEGERS), tf.float32)
    categorical = tf.TensorSpec((None, schema.NUM_CATEGORIES), tf.int32)
    signature = (
        {"dense": dense, "categorical": categorical},
        tf.TensorSpec((None,), tf.float32),
    )
    made = tf.data.Dataset.from_generator(elements, output_signature=signature)
    return prefetched(made)


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


def _read(names: "tf.Tensor") -> "tf.Tensor":
    """Reads the records of some shards, int32 (rows, 40)."""
    import tensorflow as tf

    shape = (None, schema.NUM_COLUMNS)
    parts = tf.TensorArray(
        tf.int32, tf.size(names), infer_shape=False, element_shape=shape
    )

    def read(index: Any, parts: Any) -> Any:
        data = tf.io.decode_raw(tf.io.read_file(names[index]), tf.int32)
        return index + 1, parts.write(
            index, tf.reshape(data, (-1, schema.NUM_COLUMNS))
        )

    _, parts = tf.while_loop(
        lambda index, _: index < tf.size(names), read, (0, parts)
    )
    return tf.ensure_shape(parts.concat(), shape)


def _window(names: "tf.Tensor") -> "tf.data.Dataset":
    import tensorflow as tf

    records = _read(names)
    return _blocks(tf.shape(records)[0], lambda at: records[at[0] : at[1]])


def _shuffled_window(
    names: "tf.Tensor", seed: "tf.Tensor"
) -> "tf.data.Dataset":
    import tensorflow as tf

    records = _read(names)
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


def _features(
    records: "tf.Tensor",
) -> tuple[dict[str, "tf.Tensor"], "tf.Tensor"]:
    import tensorflow as tf

    integers = tf.cast(records[:, 1:FIRST_ID], tf.float32)
    features = {
        "dense": tf.math.log1p(integers),
        "categorical": records[:, FIRST_ID:],
    }
    return features, tf.cast(records[:, 0], tf.float32)
