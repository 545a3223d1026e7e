"""Types of the columns of files that have types."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl
from polars.exceptions import ComputeError

from keras_pss.data.readers.blocks import Raw, rejected
from keras_pss.data.readers.columns import Column
from keras_pss.data.readers.framing import decodes
from keras_pss.data.readers.reasons import NOT_UTF8
from keras_pss.features import Schema
from keras_pss.messages import did_you_mean, shown


def check_types(
    path: Path, found: pl.Schema, columns: Iterable[Column], schema: Schema
) -> None:
    """Checks that a file has the columns, of types that can be read.

    Raises:
        ValueError: It says what to do.
    """
    for column in columns:
        if column.source not in found:
            raise ValueError(
                "`sources` must have every column of the schema. "
                f"{path} has no {column.source!r}."
                f"{did_you_mean(column.source, found)} "
                f"Received: the columns {shown(list(found))}"
            )
        dtype = found[column.source]
        fix = _fix(column, dtype, schema)
        if fix:
            raise ValueError(
                "`sources` must have columns of the schema's types. "
                f"{fix} Received: {path}, whose column {column.source!r} is "
                f"{dtype}"
            )


def _fix(column: Column, dtype: pl.DataType, schema: Schema) -> str:
    """What to do about a column's type; "" if it can be read."""
    if isinstance(dtype, pl.List | pl.Array):
        if not column.listed:
            return (
                "Declare it as MultiCategorical, or as Dense with a `size` for "
                "vectors of numbers."
            )
        dtype = dtype.inner  # type: ignore[assignment]
    elif column.listed and column.separator is None:
        if column.kind == "number" and ":" not in column.name:
            return "Write a column of lists of `size` numbers."
        return "Give `separator`, the text between two elements."
    elif column.separator is not None and not _is_text(dtype):
        return "Declare it as Categorical: it has one value a row."
    if dtype.is_nested() or dtype in (pl.Object, pl.Duration, pl.Time):
        return "Write it as texts or numbers."
    if column.kind == "hex" and not _is_text(dtype):
        return "Declare it with dtype='integer', or write texts."
    if column.kind in ("number", "label") and dtype.is_temporal():
        return "Write it as numbers."
    if column.kind == "time":
        known = _is_text(dtype) or dtype.is_temporal()
        form = schema.timestamp.format if schema.timestamp else None
        if not known and form is None:
            return "Give the Timestamp's `format`, such as 'epoch_s'."
        if dtype == pl.Boolean:
            return "Write it as times."
    return ""


def _is_text(dtype: pl.DataType) -> bool:
    return isinstance(
        dtype, pl.String | pl.Binary | pl.Categorical | pl.Enum | pl.Null
    )


def typed_rows(rows: pl.DataFrame) -> Raw:
    """Rows whose columns are texts, numbers, times, and lists of these.

    Texts that are not UTF-8 are rejected.
    """

    def source(row: int) -> bytes:
        return json.dumps(rows.row(row, named=True), default=str).encode()

    raw = Raw(rows, rows.height, source)
    try:
        raw.rows = _plain_rows(rows)
    except ComputeError:
        broken = _undecodable(rows)
        good = [i for i in range(rows.height) if i not in broken]
        raw.rows = _plain_rows(rows[good])
        raw.numbers = np.array(good, np.int64)
        raw.source = lambda row: source(good[row])
        raw.broken = [
            rejected(i, NOT_UTF8, source(i), name)
            for i, name in sorted(broken.items())
        ]
    return raw


def _plain_rows(rows: pl.DataFrame) -> pl.DataFrame:
    plain = rows.select(
        pl.col(name).cast(_plain(dtype), strict=not dtype.is_numeric())
        for name, dtype in rows.schema.items()
    )
    text = pl.col(pl.String)
    return plain.with_columns(pl.when(text != "").then(text).name.keep())


def _undecodable(rows: pl.DataFrame) -> dict[int, str]:
    """The rows with bytes that are not UTF-8, and the first such column."""
    found: dict[int, str] = {}
    for name, dtype in rows.schema.items():
        if dtype not in (pl.Binary, pl.List(pl.Binary)):
            continue
        for row, value in enumerate(rows[name].to_list()):
            parts = value if isinstance(value, list) else [value]
            if not all(part is None or decodes(part) for part in parts):
                found.setdefault(row, name)
    return found


def _plain(dtype: pl.DataType) -> pl.DataType:
    if isinstance(dtype, pl.List | pl.Array):
        return pl.List(_plain(dtype.inner))  # type: ignore[arg-type]
    if _is_text(dtype):
        return pl.String()
    if dtype.is_decimal():
        return pl.Float64()
    return dtype
