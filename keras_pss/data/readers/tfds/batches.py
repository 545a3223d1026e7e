"""Rows of a split of TFDS in batches of tensors."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from keras_pss.data.readers.tfds.split_source import TFDSSplit


def batches(
    source: TFDSSplit, names: Sequence[str], size: int
) -> Iterator[dict[str, Any]]:
    """Batches of some flat features in the order of the files.

    Args:
        source: The split.
        names: The features, at least one.
        size: Number of rows of a batch.

    Yields:
        Tensors (B,) of scalars, (B, n) of vectors of one length, and ragged
        tensors (B, None) of the other sequences.

    Raises:
        ValueError: If a file is damaged, or rows are missing.
    """
    import tensorflow as tf

    done, error = 0, ""
    try:
        for batch in _batches(source, names, size):
            done += int(tf.shape(batch[names[0]])[0])
            yield batch
    except tf.errors.OpError as raised:
        error = f": {raised.message.splitlines()[0]}"
    # A record that is cut off ends a file without an error.
    if error or done != source.num_rows:
        raise ValueError(
            "The dataset must be whole. Remove its folder, "
            f"{source.builder.data_dir}, and prepare it again. Received: "
            f"{done} of {source.num_rows} rows of {source.path}{error}"
        )


def _batches(
    source: TFDSSplit, names: Sequence[str], size: int
) -> Iterator[dict[str, Any]]:
    import tensorflow_datasets as tfds

    builder = source.builder
    stored = builder.info.file_format == tfds.core.FileFormat.TFRECORD
    features = {name: builder.info.features[name] for name in names}
    if stored and all(map(_is_plain, features.values())):
        yield from _of_records(source, features, size)
        return
    with _quiet():
        rows = builder.as_dataset(
            split=source.split,
            shuffle_files=False,
            decoders=tfds.decode.PartialDecoding(dict.fromkeys(names, True)),
            # One file after the other; a log is read once.
            read_config=tfds.ReadConfig(
                interleave_cycle_length=1, try_autocache=False
            ),
        )
    yield from rows.ragged_batch(size)


def _is_plain(feature: Any) -> bool:
    """Whether a feature is stored as it is, as values of a tf.Example."""
    return bool(feature.get_serialized_info() == feature.get_tensor_info())


def _of_records(
    source: TFDSSplit, features: dict[str, Any], size: int
) -> Iterator[dict[str, Any]]:
    """Parses whole batches: several times as fast as TFDS, row by row."""
    import tensorflow as tf

    infos = {name: each.get_tensor_info() for name, each in features.items()}
    spec = {name: _spec(info) for name, info in infos.items()}

    def parse(records: Any) -> dict[str, Any]:
        values = tf.io.parse_example(records, spec)
        return {n: tf.cast(values[n], infos[n].tf_dtype) for n in infos}

    parts = [
        tf.data.TFRecordDataset(name).skip(rows.start).take(len(rows))
        for name, rows in source.rows_of_files()
    ]
    if not parts:
        return
    records = parts[0]
    for part in parts[1:]:
        records = records.concatenate(part)
    yield from records.batch(size).map(parse).prefetch(1)


def _spec(info: Any) -> Any:
    """How a feature is stored: a tf.Example has three types."""
    import tensorflow as tf

    dtype = tf.int64
    if info.tf_dtype == tf.string:
        dtype = tf.string
    elif info.tf_dtype.is_floating:
        dtype = tf.float32
    if None in info.shape:
        return tf.io.RaggedFeature(dtype, row_splits_dtype=tf.int64)
    return tf.io.FixedLenFeature(info.shape, dtype, info.default_value)


@contextmanager
def _quiet() -> Iterator[None]:
    """Drops the warnings of TFDS about calls that are its own."""

    def is_ours(record: logging.LogRecord) -> bool:
        return "FeatureConnector" not in record.getMessage()

    logger = logging.getLogger("absl")
    logger.addFilter(is_ours)
    try:
        yield
    finally:
        logger.removeFilter(is_ours)
