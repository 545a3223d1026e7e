"""Types of the columns of files that have types."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from keras_pss.data.readers.blocks import Raw, rejected
from keras_pss.data.readers.columns import Column
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
    casts, failed = [], []
    for name, dtype in rows.schema.items():
        column = pl.col(name)
        plain = _plain(dtype)
        value = column.cast(plain, strict=False)
        casts.append(value)
        if dtype == pl.Binary:
            failed.append((name, value.is_null() & column.is_not_null()))
        elif isinstance(dtype, pl.List) and dtype.inner == pl.Binary:
            counts = [c.list.drop_nulls().list.len() for c in (value, column)]
            failed.append((name, counts[0] < counts[1]))
    values = rows.select(casts)
    values = values.with_columns(
        pl.when(pl.col(pl.String) != "").then(pl.col(pl.String)).name.keep()
    )

    def source(row: int) -> bytes:
        return json.dumps(rows.row(row, named=True), default=str).encode()

    raw = Raw(values, rows.height, source)
    if not failed:
        return raw
    masks = rows.select(**dict(failed))
    bad = masks.select(pl.any_horizontal(pl.all()).fill_null(False)).to_series()
    if not bad.any():
        return raw
    for row in bad.arg_true():
        wrong = masks.row(row, named=True)
        name = next(n for n, fails in wrong.items() if fails)
        raw.broken.append(rejected(row, NOT_UTF8, source(row), name))
    good = (~bad).arg_true()
    raw.rows = values.filter(~bad)
    raw.numbers = good.to_numpy().astype("int64")
    raw.source = lambda row: source(good[row])
    return raw


def _plain(dtype: pl.DataType) -> pl.DataType:
    if isinstance(dtype, pl.List | pl.Array):
        return pl.List(_plain(dtype.inner))  # type: ignore[arg-type]
    if _is_text(dtype):
        return pl.String()
    if dtype.is_decimal():
        return pl.Float64()
    return dtype
