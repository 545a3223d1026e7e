"""Casts of raw values, each with the reasons for which it fails.

A raw value is text, an integer, a float, a boolean or a time, and null where
it is missing. A cast fails where it turns a value into null.
"""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from keras_pss.data.readers.reasons import (
    BAD_HEX,
    BAD_INTEGER,
    NOT_A_NUMBER,
    NOT_WHOLE,
    TOO_LARGE,
)

CANONICAL_HEX = "^[0-9a-f]{8}$"
_HEX = "^[0-9a-fA-F]{1,8}$"
_INTEGER = "^[+-]?[0-9]+$"


class Cast(NamedTuple):
    """A cast of raw values.

    Args:
        value: Expression over raw values, null where they are missing and
            where the cast fails.
        reason: Expression of a text: why it fails, if it does.
    """

    value: pl.Expr
    reason: pl.Expr

    def failures(self, raw: pl.Expr) -> pl.Expr:
        """The reason where the cast fails, null elsewhere."""
        failed = self.value.is_null() & raw.is_not_null()
        return pl.when(failed).then(self.reason)


def text(raw: pl.Expr, dtype: pl.DataType) -> Cast:
    """Texts as they are; numbers as decimal integers."""
    value = _as_text(raw)
    if dtype.is_float():
        value = _as_text(_whole(raw).cast(pl.Int64, strict=False))
    return Cast(value, pl.lit(NOT_WHOLE))


def integer(raw: pl.Expr, dtype: pl.DataType) -> Cast:
    """Int64 numbers, exact."""
    source, is_whole = raw, pl.lit(True)
    if dtype == pl.String:
        is_whole = raw.str.contains(_INTEGER)
    elif dtype.is_float():
        source = _whole(raw)
        is_whole = source.is_not_null()
    reason = pl.when(is_whole).then(pl.lit(TOO_LARGE))
    return Cast(
        source.cast(pl.Int64, strict=False),
        reason.otherwise(pl.lit(BAD_INTEGER)),
    )


def number(raw: pl.Expr, dtype: pl.DataType) -> Cast:
    """Float64 numbers, finite."""
    value = raw.cast(pl.Float64, strict=False)
    if dtype == pl.String or dtype.is_float():
        value = pl.when(value.is_finite()).then(value)
    return Cast(value, pl.lit(NOT_A_NUMBER))


def category(
    raw: pl.Expr, dtype: pl.DataType, kind: str, canonical: bool = False
) -> Cast:
    """Canonical texts of categories.

    Args:
        raw: The raw values.
        dtype: Their type.
        kind: How the feature reads them: `"string"`, `"integer"` or `"hex"`.
        canonical: Whether all texts are eight lowercase hexadecimal digits
            already, so that they need no work.
    """
    if kind == "string":
        return text(raw, dtype)
    if kind == "integer":
        cast = integer(raw, dtype)
        return cast._replace(value=_as_text(cast.value))
    value = raw
    if not canonical:
        value = pl.when(raw.str.contains(_HEX)).then(
            raw.str.to_lowercase().str.zfill(8)
        )
    return Cast(value, pl.lit(BAD_HEX))


def _as_text(value: pl.Expr) -> pl.Expr:
    # A strict cast of nulls panics in lists of which some are empty.
    return value.cast(pl.String, strict=False)


def _whole(raw: pl.Expr) -> pl.Expr:
    """Floats that are whole numbers; the others become null."""
    return pl.when(raw == raw.floor()).then(raw)
