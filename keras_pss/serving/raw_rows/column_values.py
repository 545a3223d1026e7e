"""From Python's values of a column to the arrays that TensorFlow takes."""

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from numbers import Integral, Real
from typing import Any

import numpy as np

from keras_pss.features import Categorical, MultiCategorical, Schema
from keras_pss.serving.raw_rows.raw_inputs import RawInput

_UNITS = {"epoch_s": 1, "epoch_ms": 1000}
_START = datetime(1970, 1, 1, tzinfo=UTC)


def column_values(raw: RawInput, values: Any, schema: Schema) -> np.ndarray:
    """The values of a column as an array of the input's dtype and shape.

    Args:
        raw: The input.
        values: A list, an array, a series of a frame, or a tensor.
        schema: The schema, whose features say how numbers become texts.

    Returns:
        Array (rows, *shape); of bytes and str objects for texts.

    Raises:
        ValueError: A value has a type that the column's features do not take.
    """
    if hasattr(values, "numpy") and hasattr(values, "dtype"):
        values = values.numpy()
    convert = _converter(raw, schema)
    if raw.shape == ():
        return _array(raw, [convert(value) for value in values])
    rows = [
        []
        if _is_missing(row)
        else [convert(value) for value in _elements(raw, row)]
        for row in values
    ]
    size = raw.shape[0]
    width = max(map(len, rows), default=0) if size is None else size
    padding = "" if raw.kind == "texts" else float("nan")
    for number, row in enumerate(rows):
        if len(row) > width or (size is not None and 0 < len(row) < size):
            raise ValueError(
                f"Column `{raw.column}` must hold {size} numbers a row. "
                f"Received: {len(row)} in row {number}"
            )
    padded = [row + [padding] * (width - len(row)) for row in rows]
    return _array(raw, padded).reshape(len(rows), width)


def _array(raw: RawInput, values: list[Any]) -> np.ndarray:
    if raw.dtype == "string":
        # NumPy's own texts lose NUL at their end.
        return np.array(values, object)
    return np.array(values, raw.dtype)


def _elements(raw: RawInput, row: Any) -> Iterable[Any]:
    if isinstance(row, str | bytes) or not isinstance(row, Iterable):
        raise ValueError(
            f"Column `{raw.column}` must hold a list in each row. "
            f"Received: {row!r}"
        )
    return row


def _converter(raw: RawInput, schema: Schema) -> Callable[[Any], Any]:
    if raw.kind in ("number", "numbers"):
        return lambda value: _number(raw, value)
    moment = schema.timestamp
    is_time = moment is not None and moment.column == raw.column
    if is_time and moment is not None and schema.time_features:
        form = moment.format
        if raw.kind == "epoch":
            return lambda value: _epoch(raw, value, str(form))
        return lambda value: _text(raw, _written(value, form), set())
    dtypes: set[str] = {
        feature.dtype
        for feature in schema.features
        if isinstance(feature, Categorical | MultiCategorical)
        and feature.column == raw.column
    }
    return lambda value: _text(raw, value, dtypes)


def _is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, Real) and bool(value != value)


def _number(raw: RawInput, value: Any) -> float:
    if _is_missing(value):
        return float("nan")
    if not isinstance(value, Real | np.bool_):
        _refuse(raw, "numbers", value)
    return float(value)


def _text(raw: RawInput, value: Any, dtypes: set[str]) -> str | bytes:
    if _is_missing(value):
        return ""
    if isinstance(value, str | bytes):
        # TensorFlow does not take subclasses such as NumPy's.
        return bytes(value) if isinstance(value, bytes) else str(value)
    if "hex" in dtypes:
        _refuse(raw, "texts of hexadecimal digits", value)
    if isinstance(value, bool | np.bool_):
        as_integer = "integer" in dtypes
        return str(int(value)) if as_integer else str(bool(value)).lower()
    if isinstance(value, Integral):
        return str(int(value))
    if not isinstance(value, Real):
        _refuse(raw, "texts or whole numbers", value)
    number = float(value)
    if not -(2.0**63) <= number < 2.0**63 or number != int(number):
        _refuse(raw, "texts or whole numbers", value)
    return str(int(number))


def _epoch(raw: RawInput, value: Any, form: str) -> int:
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]").item()
    if isinstance(value, datetime) and not _is_missing(value):
        return (_utc(value) - _START) // (timedelta(seconds=1) / _UNITS[form])
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, str | bytes) and value:
        return int(value)
    if isinstance(value, Real) and abs(float(value)) < 2.0**62:
        # Rounded to microseconds, as a log of floats is.
        unit = 1_000_000 // _UNITS[form]
        return int(np.round(float(value) * unit)) // unit
    _refuse(raw, f"numbers, {form}", value)
    raise AssertionError


def _written(value: Any, form: str | None) -> Any:
    """A time as text in a timestamp's format; other values as they are."""
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]").item()
    if not isinstance(value, date) or _is_missing(value):
        return value
    if isinstance(value, datetime):
        value = _utc(value)
    return value.isoformat() if form is None else value.strftime(form)


def _utc(value: datetime) -> datetime:
    """A time in UTC; one without a zone is taken for that."""
    if value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return value.astimezone(UTC)


def _refuse(raw: RawInput, what: str, value: Any) -> None:
    raise ValueError(
        f"Column `{raw.column}` must hold {what}. "
        f"Received: {value!r}, {type(value).__name__}"
    )
