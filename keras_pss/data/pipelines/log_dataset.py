"""tf.data pipelines of prepared logs of any schema.

TensorFlow is imported when a pipeline is created, not with this module.
"""

from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_pss.data.pipelines.record_batches import (
    Records,
    check_batch_size,
    record_batches,
)
from keras_pss.data.storage.log_layout import LayoutColumn
from keras_pss.data.storage.open_folder import load
from keras_pss.data.storage.prepared_folder import PreparedFolder
from keras_pss.ops.dense_transform import transform_dense

if TYPE_CHECKING:
    import tensorflow as tf

Features = dict[str, Any]


def dataset(
    prepared: PreparedFolder | str | Path,
    split: str = "train",
    *,
    batch_size: int = 2048,
    shuffle: bool | None = None,
    seed: int = 0,
    drop_remainder: bool = False,
    repeat: bool = False,
    skip: int = 0,
    shard: tuple[int, int] | None = None,
    named: bool = False,
) -> "tf.data.Dataset":
    """Batches of one split of a prepared log.

    An element is `(features, label)`, or `features` alone if the schema has
    no label. `features` is a dictionary, without the keys of features that
    the schema does not have:

    - `"dense"`: the dense features after their transforms, float32 (B, n).
    - `"categorical"`: the ids of the single-valued features, int32 (B, F).
    - The name of each multi-valued feature: its ids, int32 (B, max_length),
      padded with -1.
    - That name and `_weights`: their weights, float32 (B, max_length), padded
      with 0, if the feature has any.

    The label is float32 (B,).

    Each epoch has another order, which the seed determines. The shards are
    read in random order. Consecutive shards with up to 1,048,576 rows (at
    least one shard) form a window, whose rows are permuted uniformly. So a
    split that fits into one window is shuffled uniformly; in a larger split,
    rows mix within windows of shards that differ in each epoch. Memory: about
    12 bytes per word of a window's records, and the prefetched batches.

    Args:
        prepared: The result of `prepare` or `load`, or the path of the
            folder.
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
            batches that would have followed. Epochs and windows of which all
            rows are skipped are not read. Default: 0.
        shard: Index of a process and number of processes that train together,
            such as `(0, 4)`. Of a batch of n rows, process i of k has rows
            n i / k to n (i + 1) / k, rounded down: elements are
            `(features, label, rows)`, with these rows, maybe none, and n, an
            int64 scalar; or `(features, rows)` without a label. A process
            decodes its own rows only. Default: None, whole batches.
        named: Whether each dense and single-valued feature has a key of its
            own, its name, in place of `"dense"` and `"categorical"`: float32
            or int32 (B,), or float32 (B, size) for a dense feature with a
            size above 1. Default: False.

    Returns:
        A prefetched dataset whose `cardinality()` is known.

    Raises:
        ValueError: The split does not exist, `batch_size` is below 1, `shard`
            is wrong, or `skip` is negative or positive without `repeat`.

    Example:

    ```python
    from keras_pss.data import dataset

    train = dataset("prepared", batch_size=4096)
    model.fit(train, validation_data=dataset("prepared", "validation"))
    ```
    """
    check_batch_size(batch_size)
    if not isinstance(prepared, PreparedFolder):
        prepared = load(prepared)
    records = Records(
        split,
        tuple(str(path) for path in prepared.shards(split)),
        prepared.layout.words,
        prepared.rows(split),
        prepared.metadata["rows_per_shard"],
    )
    return record_batches(
        records,
        element_of(prepared, named),
        batch_size=batch_size,
        shuffle=split == "train" if shuffle is None else shuffle,
        seed=seed,
        drop_remainder=drop_remainder,
        repeat=repeat,
        skip=skip,
        shard=shard,
    )


def element_of(
    prepared: PreparedFolder, named: bool = False
) -> Callable[["tf.Tensor"], Any]:
    """The function from records, int32 (B, words), to an element.

    Args:
        prepared: The folder of the records.
        named: As of `dataset`. Default: False.
    """
    layout = prepared.layout

    def element(records: "tf.Tensor") -> Any:
        import tensorflow as tf

        features: Features = {}
        if layout.of("dense"):
            features |= _dense(prepared, records, named)
        ids = layout.of("id")
        if named:
            features |= {c.name: records[:, c.offset] for c in ids}
        elif ids:
            first = ids[0].offset
            features["categorical"] = records[:, first : first + len(ids)]
        for column in layout.of("ids"):
            features[column.name] = _words(records, column)
        for column in layout.of("weights"):
            weights = tf.bitcast(_words(records, column), tf.float32)
            features[f"{column.name}_weights"] = weights
        if not layout.of("label"):
            return features
        return features, tf.cast(records[:, 0], tf.float32)

    return element


def _dense(
    prepared: PreparedFolder, records: "tf.Tensor", named: bool
) -> Features:
    import tensorflow as tf

    columns = prepared.layout.of("dense")
    parts = [
        tf.cast(words, tf.float32)
        if dtype == "int32"
        else tf.bitcast(words, tf.float32)
        for dtype, words in _runs(records, columns)
    ]
    numbers = parts[0] if len(parts) == 1 else tf.concat(parts, 1)
    dense = transform_dense(numbers, *prepared.transform())
    if not named:
        return {"dense": dense}
    first = columns[0].offset
    return {
        c.name: dense[:, c.offset - first]
        if c.width == 1
        else dense[:, c.offset - first : c.offset - first + c.width]
        for c in columns
    }


def _runs(
    records: "tf.Tensor", columns: tuple[LayoutColumn, ...]
) -> Iterator[tuple[str, "tf.Tensor"]]:
    """Words of neighboring columns with the same dtype."""
    for dtype, run in groupby(columns, lambda column: column.dtype):
        found = list(run)
        stop = found[-1].offset + found[-1].width
        yield dtype, records[:, found[0].offset : stop]


def _words(records: "tf.Tensor", column: LayoutColumn) -> "tf.Tensor":
    return records[:, column.offset : column.offset + column.width]
