"""Columns of times: which of their formats the values have."""

import re
from typing import NamedTuple

import polars as pl

_DAY = r"(0[1-9]|[12]\d|3[01])"
_MONTH = r"(0[1-9]|1[0-2])"
_HOUR = r"([01]\d|2[0-3])"
_ISO = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$"
# Plain digits, from the most special format to the least.
_DIGITS = (
    ("%Y%m%d%H%M%S", rf"^(19|20)\d\d{_MONTH}{_DAY}{_HOUR}[0-5]\d[0-5]\d$"),
    ("%Y%m%d%H", rf"^(19|20)\d\d{_MONTH}{_DAY}{_HOUR}$"),
    ("%Y%m%d", rf"^(19|20)\d\d{_MONTH}{_DAY}$"),
    ("%y%m%d%H", rf"^\d\d{_MONTH}{_DAY}{_HOUR}$"),
)
_SLASHED = re.compile(r"^(\d{1,2})/(\d{1,2})/\d{4}( \d\d:\d\d(:\d\d)?)?$")
# Seconds from 1990 to 2036, and the same in milliseconds.
_SECONDS = (631_152_000, 2_082_758_400)
_HINT = re.compile(
    r"(^|_)(time|timestamp|ts|date|datetime|hour|day|dt|at)s?($|_)"
    r"|time(stamp)?$|_at$|date$",
    re.IGNORECASE,
)


class TimeValues(NamedTuple):
    """A column of times.

    Attributes:
        format: As `Timestamp` takes it.
        has_hours: Whether the values say more than the day.
        ordered: Whether they never fall from row to row.
        why: What shows it, in words.
    """

    format: str | None
    has_hours: bool
    ordered: bool
    why: str


def moments(name: str, values: pl.Series) -> TimeValues | None:
    """Whether a column holds times.

    Digits may be anything, so they are taken for times only if the column's
    name says so.

    Args:
        name: Name of the column.
        values: Its texts or typed times, null where missing.
    """
    values = values.drop_nulls()
    if values.is_empty():
        return None
    if values.dtype.is_temporal():
        hours = values.dtype != pl.Date
        return TimeValues(None, hours, values.is_sorted(), "typed as times")
    if values.str.contains(_ISO).all():
        hours = bool((values.str.len_chars() > 10).any())
        return TimeValues(None, hours, values.is_sorted(), "ISO 8601")
    if (form := _slashed(values)) is not None:
        return TimeValues(form, "%H" in form, False, f"dates as {form}")
    return _digits(values) if _HINT.search(name) else None


def _digits(values: pl.Series) -> TimeValues | None:
    for form, pattern in _DIGITS:
        if values.str.contains(pattern).all():
            return TimeValues(
                form, "%H" in form, values.is_sorted(), f"digits as {form}"
            )
    numbers = values.cast(pl.Int64, strict=False)
    if numbers.null_count():
        return None
    for form, unit, what in (
        ("epoch_s", 1, "seconds"),
        ("epoch_ms", 1000, "milliseconds"),
    ):
        low, high = (each * unit for each in _SECONDS)
        if numbers.is_between(low, high).all():
            return TimeValues(
                form, True, numbers.is_sorted(), f"{what} since 1970"
            )
    return None


def _slashed(values: pl.Series) -> str | None:
    """The format of dates with slashes; None if they have another form."""
    parts = values.str.extract_groups(_SLASHED.pattern).struct.unnest()
    first = parts.to_series(0).cast(pl.Int64, strict=False)
    if first.null_count():
        return None
    second = parts.to_series(1).cast(pl.Int64, strict=False)
    day_first = int(first.max() or 0) > 12 >= int(second.max() or 0)  # type: ignore[arg-type]
    form = "%d/%m/%Y" if day_first else "%m/%d/%Y"
    if parts.to_series(3).null_count() == 0:
        return f"{form} %H:%M:%S"
    return f"{form} %H:%M" if parts.to_series(2).null_count() == 0 else form
