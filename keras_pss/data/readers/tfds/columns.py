"""Features of datasets of TFDS as columns of Polars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl

from keras_pss.data.readers.tfds.batches import batches
from keras_pss.data.readers.tfds.names import SPLIT_COLUMN
from keras_pss.data.readers.tfds.own_datasets import MISSING
from keras_pss.data.readers.tfds.split_source import TFDSSplit

_TYPES: dict[str, Any] = {
    "bool": pl.Boolean,
    **{f"int{bits}": getattr(pl, f"Int{bits}") for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": getattr(pl, f"UInt{bits}") for bits in (8, 16, 32, 64)},
    **dict.fromkeys(("float16", "bfloat16", "float32"), pl.Float32),
    "float64": pl.Float64,
    "string": pl.Binary,
}


def column_types(source: TFDSSplit) -> dict[str, Any]:
    """The type of each flat feature's column; None for other features."""
    features = source.builder.info.features
    found = {name: _type(feature) for name, feature in features.items()}
    found.setdefault(SPLIT_COLUMN, pl.String())
    return found


def check_flat(source: TFDSSplit, names: Iterable[str]) -> None:
    """Raises if a feature is none of numbers, texts and lists of these.

    Raises:
        ValueError: It names the feature and the fix.
    """
    types = column_types(source)
    for name in names:
        if name in types and types[name] is None:
            feature = source.builder.info.features[name]
            raise ValueError(
                "Features must be numbers, texts, class labels or "
                f"1-D sequences of these. Leave {name!r} out of the schema, or "
                "write what you need of it to a Parquet file. Received: "
                f"{source.path}, whose feature {name!r} is {feature!r}"
            )


def frames(
    source: TFDSSplit, names: Iterable[str], block_rows: int
) -> Iterator[pl.DataFrame]:
    """Blocks of rows in the order of the files.

    Class labels are texts if the dataset names them, ids if not, and null
    where the dataset has -1.

    Args:
        source: The split.
        names: Columns, which must be flat.
        block_rows: Number of rows of a block.
    """
    features = source.builder.info.features
    names = list(names)
    read = [name for name in names if name in features]
    if not read:  # the rows must come from somewhere
        flat = (n for n, dtype in column_types(source).items() if dtype)
        read = [next(name for name in flat if name in features)]
    missing = MISSING.get(source.builder.name)
    for batch in batches(source, read, block_rows):
        rows = pl.DataFrame(
            [_series(name, batch[name], features[name]) for name in read]
        )
        if SPLIT_COLUMN not in features:
            split = pl.lit(source.part, pl.String)
            rows = rows.with_columns(split.alias(SPLIT_COLUMN))
        if missing is not None:
            integers = pl.col(pl.Int32)
            rows = rows.with_columns(
                pl.when(integers != missing).then(integers).name.keep()
            )
        yield rows.select(names)


def _type(feature: Any) -> Any:
    import tensorflow_datasets as tfds

    if isinstance(feature, tfds.features.Dataset):
        return None
    info = feature.get_tensor_info()
    if not isinstance(info, tfds.features.TensorInfo) or len(info.shape) > 1:
        return None
    dtype = _TYPES.get(info.tf_dtype.name)
    if dtype is None or getattr(info, "optional", False):
        return None
    inner = pl.String() if _class_names(feature) else dtype()
    return pl.List(inner) if info.shape else inner


def _class_names(feature: Any) -> list[str] | None:
    """Names of a class label, or of the class labels of a sequence."""
    import tensorflow_datasets as tfds

    if isinstance(feature, tfds.features.Sequence):
        feature = feature.feature
    if not isinstance(feature, tfds.features.ClassLabel):
        return None
    if feature.num_classes is None:
        return None
    names = feature.names
    numbers = [str(number) for number in range(len(names))]
    return None if names == numbers else names


def _series(name: str, values: Any, feature: Any) -> pl.Series:
    """One column of a batch of tensors."""
    import tensorflow as tf

    dtype = _TYPES[values.dtype.name]()
    if values.dtype in (tf.float16, tf.bfloat16):
        values = tf.cast(values, tf.float32)
    if isinstance(values, tf.RaggedTensor):
        rows, dtype = values.to_list(), pl.List(dtype)
    elif values.shape.rank == 2:
        rows, dtype = values.numpy().tolist(), pl.List(dtype)
    else:
        rows = values.numpy()
        if dtype == pl.Binary:
            rows = rows.tolist()
    column = pl.Series(name, rows, dtype=dtype)
    if not _is_class(feature):
        return column
    return _labels(column, _class_names(feature))


def _is_class(feature: Any) -> bool:
    import tensorflow_datasets as tfds

    inner = getattr(feature, "feature", feature)
    return isinstance(inner, tfds.features.ClassLabel)


def _labels(ids: pl.Series, names: list[str] | None) -> pl.Series:
    """Class labels by their names, null where there is none (-1)."""
    listed = isinstance(ids.dtype, pl.List)
    value = pl.element() if listed else pl.col(ids.name)
    known: pl.Expr
    if names is None:
        known = pl.when(value >= 0).then(value)
    else:
        known = value.replace_strict(
            list(range(len(names))),
            names,
            default=None,
            return_dtype=pl.String,
        )
    if listed:
        known = pl.col(ids.name).list.eval(known)
    return ids.to_frame().select(known.alias(ids.name))[ids.name]
