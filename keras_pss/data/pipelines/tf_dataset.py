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
from keras_pss.data.inference.describe import check_criteo
from keras_pss.data.pipelines.record_batches import (
    WINDOW_ROWS,
    Records,
    check_batch_size,
    prefetched,
    record_batches,
)
from keras_pss.data.pipelines.tsv_batches import (
    OnRejects,
    log_rejects,
    tsv_batches,
)
from keras_pss.data.readers.source import Sources, as_sources
from keras_pss.data.storage.version_1.prepared import Prepared, load
from keras_pss.data.storage.version_1.records import FIRST_ID

if TYPE_CHECKING:
    import tensorflow as tf


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
    check_batch_size(batch_size)
    if not isinstance(prepared, Prepared):
        prepared = load(prepared)
    return record_batches(
        Records(
            split,
            tuple(str(path) for path in prepared.shards(split)),
            schema.NUM_COLUMNS,
            prepared.rows(split),
            prepared.metadata["rows_per_shard"],
        ),
        _features,
        batch_size=batch_size,
        shuffle=split == "train" if shuffle is None else shuffle,
        seed=seed,
        drop_remainder=drop_remainder,
        repeat=repeat,
        skip=skip,
        window_rows=WINDOW_ROWS,
    )


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
