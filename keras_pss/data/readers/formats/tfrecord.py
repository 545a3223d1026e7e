"""Raw columns of TFRecord files of tf.Examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from keras_pss.data.readers.block import Reject
from keras_pss.data.readers.blocks import Raw, rejected
from keras_pss.data.readers.formats.lines import broken_piece, text_types
from keras_pss.data.readers.formats.types import check_types, typed_rows
from keras_pss.data.readers.reasons import (
    BAD_ARCHIVE,
    MANY_VALUES,
    NOT_EXAMPLE,
)
from keras_pss.data.readers.source import ArchiveError, Source
from keras_pss.data.readers.values.columns import Column
from keras_pss.features import Schema

_COMPRESSION = {".gz": "GZIP"}
_OVERHEAD = 16  # bytes of a record's length and checksums
_TYPES: dict[str, Any] = {
    "int64_list": pl.Int64,
    "float_list": pl.Float32,
    "bytes_list": pl.Binary,
}


class TFRecord:
    """Reads serialized tf.Examples in blocks; TensorFlow must be installed.

    Args:
        schema: The schema.
        columns: The columns of values.
        block_rows: Number of records of a block.
    """

    def __init__(
        self, schema: Schema, columns: Sequence[Column], block_rows: int
    ):
        self.schema = schema
        self.columns = columns
        self.listed = {
            c.source: c.listed and c.separator is None for c in columns
        }
        self.block_rows = block_rows

    def blocks(self, source: Source) -> Iterator[Callable[[], Raw]]:
        """Functions that each parse one block of a file, in order.

        Raises:
            ValueError: If no record has a column, or one has another type.
        """
        kinds: dict[str, str] = {}
        names: dict[str, None] = {}
        size, broken = 0, ""
        for records in self._batches(source):
            if isinstance(records, str):
                broken = records
                break
            self._find_kinds(records, kinds, names)
            self._check(source, kinds, kinds)
            size += sum(len(record) + _OVERHEAD for record in records)
            source.bytes_read = min(size, source.size)
            yield partial(self._parse, records, dict(kinds))
        if names:
            self._check(source, kinds, names)
        source.bytes_read = 0
        try:
            # TensorFlow leaves a record that is cut off out without a word.
            if size != sum(map(len, source.chunks())):
                broken = broken or "ends within a record"
        except ArchiveError as error:
            broken = str(error)
        if broken:
            source.complete = False
            types, data = text_types(self.columns), broken.encode()
            yield partial(broken_piece, types, data, BAD_ARCHIVE)

    def _batches(self, source: Source) -> Iterator[list[bytes] | str]:
        """Records, and at last what is wrong with a damaged file."""
        import tensorflow as tf

        compression = _COMPRESSION.get(source.path.suffix.lower(), "")
        records = tf.data.TFRecordDataset(str(source.path), compression)
        done = 0
        try:
            for batch in records.batch(self.block_rows).as_numpy_iterator():
                done += len(batch)
                yield list(batch)
        except tf.errors.DataLossError as error:
            # The batch with the damage, record by record.
            rest: list[bytes] = []
            with suppress(tf.errors.DataLossError):
                rest.extend(records.skip(done).as_numpy_iterator())
            if rest:
                yield rest
            yield error.message

    def _find_kinds(
        self,
        records: Iterable[bytes],
        kinds: dict[str, str],
        names: dict[str, None],
    ) -> None:
        """Adds how each column is stored, by the first record that has it."""
        from google.protobuf.message import DecodeError
        from tensorflow.train import Example

        for record in records:
            if kinds.keys() == self.listed.keys():
                return
            try:
                features = Example.FromString(record).features.feature
            except DecodeError:
                continue
            for name, feature in features.items():
                names[name] = None
                kind = feature.WhichOneof("kind")
                if kind and name in self.listed:
                    kinds.setdefault(name, kind)

    def _check(
        self, source: Source, kinds: dict[str, str], names: Iterable[str]
    ) -> None:
        known = {
            name: self._type(name, kinds[name]) if name in kinds else pl.Null()
            for name in names
        }
        columns = self.columns
        if names is kinds:  # others may come in later records
            columns = [c for c in columns if c.source in kinds]
        check_types(source.path, pl.Schema(known), columns, self.schema)

    def _type(self, name: str, kind: str) -> pl.DataType:
        dtype = _TYPES[kind]()
        return pl.List(dtype) if self.listed[name] else dtype

    def _parse(self, records: list[bytes], kinds: dict[str, str]) -> Raw:
        numbers, broken = np.arange(len(records)), []
        try:
            lists = _lists(records, kinds)
        except ValueError:
            good = []
            for number, record in enumerate(records):
                try:
                    _lists([record], kinds)
                except ValueError:
                    broken.append(rejected(number, NOT_EXAMPLE, record))
                else:
                    good.append(number)
            numbers = np.array(good, np.int64)
            lists = _lists([records[i] for i in good], kinds)
        kept = [records[i] for i in numbers.tolist()]
        many = self._many(kept, numbers, lists)
        rows = typed_rows(self._frame(kinds, lists, len(kept)))
        places = np.arange(len(kept)) if rows.numbers is None else rows.numbers
        broken += [
            reject._replace(
                line=int(numbers[reject.line - 1]) + 1,
                raw=kept[reject.line - 1][:4096],
            )
            for reject in rows.broken
        ]
        single = np.array([int(i) not in many for i in places], bool)
        places = places[single]
        raw = Raw(
            rows.rows.filter(pl.Series(single, dtype=pl.Boolean)),
            len(records),
            lambda row: kept[int(places[row])],
            numbers[places],
        )
        known = {reject.line for reject in broken}
        broken += [r for r in many.values() if r.line not in known]
        raw.broken = sorted(broken, key=lambda reject: reject.line)
        return raw

    def _many(
        self,
        records: list[bytes],
        numbers: np.ndarray,
        lists: dict[str, tuple[list[Any], np.ndarray]],
    ) -> dict[int, Reject]:
        """Records with several values in a column that has one a row."""
        found: dict[int, Reject] = {}
        for name, (_, splits) in lists.items():
            if self.listed[name]:
                continue
            for i in np.flatnonzero(np.diff(splits) > 1).tolist():
                number = int(numbers[i])
                reject = rejected(number, MANY_VALUES, records[i], name)
                found.setdefault(i, reject)
        return found

    def _frame(
        self,
        kinds: dict[str, str],
        lists: dict[str, tuple[list[Any], np.ndarray]],
        height: int,
    ) -> pl.DataFrame:
        columns = {}
        for name, listed in self.listed.items():
            if name not in kinds:
                empty = pl.List(pl.String()) if listed else pl.String()
                columns[name] = pl.Series([None] * height, dtype=empty)
                continue
            values, splits = lists[name]
            pairs = zip(splits[:-1].tolist(), splits[1:].tolist(), strict=True)
            if listed:
                rows: list[Any] = [values[a:b] or None for a, b in pairs]
            else:
                rows = [values[a] if b > a else None for a, b in pairs]
            dtype = self._type(name, kinds[name])
            columns[name] = pl.Series(rows, dtype=dtype)
        return pl.DataFrame(columns)


def _lists(
    records: list[bytes], kinds: dict[str, str]
) -> dict[str, tuple[list[Any], np.ndarray]]:
    """Values of all records and where those of each begin, by column.

    Raises:
        ValueError: If a record is no tf.Example or has other types.
    """
    import tensorflow as tf

    types = {
        "int64_list": tf.int64,
        "float_list": tf.float32,
        "bytes_list": tf.string,
    }
    features = {
        name: tf.io.RaggedFeature(types[kind], row_splits_dtype=tf.int64)
        for name, kind in kinds.items()
    }
    if not features or not records:
        empty = np.zeros(len(records) + 1, np.int64)
        return {name: ([], empty) for name in kinds}
    try:
        parsed = tf.io.parse_example(tf.constant(records), features)
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(error.message) from error
    return {
        name: (
            ragged.flat_values.numpy().tolist(),
            ragged.row_splits.numpy(),
        )
        for name, ragged in parsed.items()
    }
