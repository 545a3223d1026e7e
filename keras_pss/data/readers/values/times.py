"""Times of a log as microseconds since 1970, and what is made of them."""

from __future__ import annotations

import re

import polars as pl

from keras_pss.data.readers.reasons import BAD_TIME, TOO_LARGE
from keras_pss.data.readers.values.casts import Cast, integer
from keras_pss.features import Timestamp

_MICROSECONDS = {"epoch_s": 1_000_000, "epoch_ms": 1_000}
_ISO = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d")
_ISO_ZONE = "%Y-%m-%d %H:%M:%S%.f%z"
_WIDTHS = {"Y": 4, "j": 3} | dict.fromkeys("ymdHMS", 2)
_LIMIT = 8_200_000_000_000_000_000  # later times have no hour in Polars


def time(raw: pl.Expr, dtype: pl.DataType, rule: Timestamp) -> Cast:
    """Int64, microseconds since 1970 in UTC."""
    if dtype.is_temporal():
        return Cast(
            raw.cast(pl.Datetime("us")).dt.timestamp("us"), pl.lit(BAD_TIME)
        )
    if rule.format in _MICROSECONDS:
        return _epoch(raw, dtype, _MICROSECONDS[rule.format])
    if rule.format is None:
        moment = _iso(raw)
    else:
        moment = _strptime(raw.cast(pl.String), rule.format)
    return Cast(moment.dt.timestamp("us"), pl.lit(BAD_TIME))


def time_feature(moment: pl.Expr, name: str) -> pl.Expr:
    """The hour, the weekday or the weekend of a time, as text."""
    moment = pl.from_epoch(moment, "us")
    match name:
        case "hour":
            part = moment.dt.hour()
        case "weekday":
            part = moment.dt.weekday()  # 1 is Monday
        case _:
            part = (moment.dt.weekday() >= 6).cast(pl.Int8)
    return part.cast(pl.String)


def _epoch(raw: pl.Expr, dtype: pl.DataType, unit: int) -> Cast:
    if dtype.is_float():
        value = (raw * unit).round().cast(pl.Int64, strict=False)
        inside = value.is_between(-_LIMIT, _LIMIT)
        return Cast(pl.when(inside).then(value), pl.lit(TOO_LARGE))
    cast = integer(raw, dtype)
    limit = _LIMIT // unit
    inside = cast.value.is_between(-limit, limit)
    return cast._replace(value=pl.when(inside).then(cast.value * unit))


def _strptime(text: pl.Expr, form: str) -> pl.Expr:
    parts = re.findall("%(.)", form)
    if re.search("%.%", form) and _WIDTHS.keys() >= set(parts):
        # Numbers side by side are told apart by their widths alone.
        width = len(form.encode()) + sum(_WIDTHS[p] - 2 for p in parts)
        text = pl.when(text.str.len_bytes() == width).then(text)
    # Polars parses no hour without a minute, and would read "1" + "00" as 10.
    if "%H" in form and "%M" not in form:
        text, form = text + ":00", form + ":%M"
    return text.str.to_datetime(form, time_unit="us", strict=False)


def _iso(text: pl.Expr) -> pl.Expr:
    plain = text.str.replace("T", " ", literal=True)
    zoned = plain.str.replace("Z$", "+0000").str.to_datetime(
        _ISO_ZONE, time_unit="us", time_zone="UTC", strict=False
    )
    return pl.coalesce(
        *(
            plain.str.to_datetime(form, time_unit="us", strict=False)
            for form in _ISO
        ),
        zoned.dt.replace_time_zone(None),
    )
