"""tf.data pipelines of files that were not prepared."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_pss.data.encoders.growing_codes import GrowingCodes
from keras_pss.data.encoders.row_encoder import RowEncoder
from keras_pss.data.pipelines.record_batches import (
    check_batch_size,
    prefetched,
)
from keras_pss.data.readers.block import Reject
from keras_pss.data.readers.source import Sources, as_sources
from keras_pss.data.storage.log_encoding import LogEncoding
from keras_pss.features import Schema
from keras_pss.ops.dense_transform import transform_dense

if TYPE_CHECKING:
    import tensorflow as tf

OnRejects = Callable[[list[Reject]], None]


def file_dataset(
    sources: Sources,
    encoding: LogEncoding,
    *,
    batch_size: int = 2048,
    strict: bool = False,
    labelled: bool = True,
    groups: bool = False,
    on_rejects: OnRejects,
) -> "tf.data.Dataset":
    """Batches of the rows of files, in order, encoded as a prepared log.

    Memory: a few blocks of the reader, and the vocabularies.

    Args:
        sources: A path or a list of paths in order.
        encoding: A prepared log, or the encoder of a run.
        batch_size: Number of rows of all batches except the last.
            Default: 2048.
        strict: Whether to raise at the first broken row. Default: False.
        labelled: Whether the files have labels. Default: True.
        groups: Whether elements have the number of each row's group,
            uint32 (B,), after the label. Keras would take it for a weight.
            Default: False.
        on_rejects: Function that is called with the list of broken rows of
            each block that has any.

    Returns:
        A prefetched dataset with elements like those of `dataset`; without
        labels, `features` alone. If `strict`, the error that TensorFlow
        raises for a broken row contains the message of `BrokenRowError`.

    Raises:
        ValueError: If a file lacks a column or is of another kind.
    """
    import tensorflow as tf

    from keras_pss.data.readers.log_reader import LogReader

    check_batch_size(batch_size)
    paths = [source.path for source in as_sources(sources)]
    schema, encode = encoding.schema, RowEncoder(encoding)
    number = GrowingCodes()
    _check_files(paths, schema, labelled)

    def blocks() -> Iterator[Any]:
        reader = LogReader(paths, schema, strict=strict, labelled=labelled)
        for block in reader:
            if block.rejects:
                on_rejects(block.rejects)
            features = encode(block.rows)
            if not labelled:
                yield features
                continue
            labels = block.rows["label"].to_numpy()
            if groups:
                yield features, labels, number(block.rows["group"])
            else:
                yield features, labels

    made = tf.data.Dataset.from_generator(
        blocks, output_signature=_signature(encoding, labelled, groups)
    )
    batches = made.rebatch(batch_size)
    return prefetched(batches.map(_transformed(encoding)))


def _check_files(paths: list[Path], schema: Schema, labelled: bool) -> None:
    """Raises here what TensorFlow would bury in a traceback of its own."""
    from keras_pss.data.readers.log_reader import LogReader

    for path in paths:
        if path.is_file():  # a pipe is read once
            blocks = iter(LogReader(path, schema, labelled=labelled))
            next(blocks, None)
            blocks.close()  # type: ignore[attr-defined]


def _signature(encoding: LogEncoding, labelled: bool, groups: bool) -> Any:
    import tensorflow as tf

    schema = encoding.schema
    wide = {
        "dense": (sum(f.size for f in schema.dense), tf.float32),
        "categorical": (len(schema.single), tf.int32),
    }
    for feature in schema.multi:
        wide[feature.name] = (feature.max_length, tf.int32)
        if feature.weights is not None:
            wide[f"{feature.name}_weights"] = (feature.max_length, tf.float32)
    features = {
        name: tf.TensorSpec((None, width), dtype)
        for name, (width, dtype) in wide.items()
        if width
    }
    if not labelled:
        return features
    label = tf.TensorSpec((None,), tf.int8)
    if not groups:
        return features, label
    return features, label, tf.TensorSpec((None,), tf.uint32)


def _transformed(encoding: LogEncoding) -> Callable[..., Any]:
    """Applies the transform of dense features, and casts labels."""

    def apply(features: dict[str, Any], *others: Any) -> Any:
        import tensorflow as tf

        if "dense" in features:
            dense = transform_dense(features["dense"], *encoding.transform())
            features = {**features, "dense": dense}
        if not others:
            return features
        label, *groups = others
        return features, tf.cast(label, tf.float32), *groups

    return apply
