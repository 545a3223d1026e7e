"""Labels of a log as 0 and 1."""

from __future__ import annotations

import polars as pl

from keras_pss.data.readers.casts import Cast, number
from keras_pss.data.readers.reasons import BAD_CLASS
from keras_pss.features import Label

_ONE = ("1", "1.0", "true", "True", "TRUE")
_ZERO = ("0", "0.0", "false", "False", "FALSE")


def label(raw: pl.Expr, dtype: pl.DataType, rule: Label) -> Cast:
    """Int8, 0 or 1."""
    if rule.threshold is not None:
        cast = number(raw, dtype)
        return cast._replace(value=(cast.value >= rule.threshold).cast(pl.Int8))
    words = _words(raw, dtype)
    positive, negative = rule.positive, rule.negative
    if positive is None:
        positive, negative = _ONE, _ZERO
    classes = dict.fromkeys(negative or (), 0) | dict.fromkeys(positive, 1)
    value = words.replace_strict(
        list(classes),
        list(classes.values()),
        default=0 if negative is None else None,
        return_dtype=pl.Int8,
    )
    # A missing label is none of "all others".
    value = pl.when(raw.is_not_null()).then(value)
    return Cast(value, pl.lit(BAD_CLASS))


def _words(raw: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The text of a label; that of 4.0 is "4"."""
    words = raw.cast(pl.String)
    if not dtype.is_float():
        return words
    whole = pl.when(raw == raw.floor()).then(raw)
    integers = whole.cast(pl.Int64, strict=False)
    return pl.coalesce(integers.cast(pl.String), words)
