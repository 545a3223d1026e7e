"""Times of a log, and the categories that are made of them."""

from typing import Any

import keras

from keras_pss.serving.checked import checked
from keras_pss.serving.raw_rows.layers.canonical_text import integer_text
from keras_pss.serving.raw_rows.layers.raw_layer import RawLayer, spec
from keras_pss.serving.raw_rows.layers.time_format import time_pattern

_PER_SECOND = {"epoch_s": 1, "epoch_ms": 1000}
_LIMIT = 8_200_000_000_000_000_000  # microseconds, as the readers have it
_YEARS = -262_143, 262_142  # of Polars
_DAY = 86_400
_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@keras.saving.register_keras_serializable("keras_pss")
class Seconds(RawLayer):
    """Seconds since 1970 in UTC of times in a timestamp's format.

    Args:
        column: Column of the log, for messages.
        format: `"epoch_s"`, `"epoch_ms"`, a format of strptime, or None for
            ISO 8601. Numbers may have fewer digits than their part and blanks
            before them, unless two parts have nothing between them.

    Call arguments:
        times: Texts, or int64 for `"epoch_s"` and `"epoch_ms"`.

    Returns:
        int64, rounded down.

    Raises:
        InvalidArgumentError: A time is missing or not in the format.
    """

    def __init__(self, column: str, format: str | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.column = column
        self.format = format
        self._pattern = None
        if format not in _PER_SECOND:
            self._pattern = time_pattern(format)

    def call(self, times: Any) -> Any:
        if self.format in _PER_SECOND:
            return self._of_epoch(times, _PER_SECOND[self.format])
        return self._of_text(times)

    def _of_epoch(self, times: Any, unit: int) -> Any:
        import tensorflow as tf

        if times.dtype == tf.string:
            there = times != ""
            texts = checked(times, there, self._rule())
            digits = integer_text(texts, self.column)
            times = tf.strings.to_number(digits, tf.int64)
        limit = _LIMIT // (1_000_000 // unit)
        times = checked(
            times, (times >= -limit) & (times <= limit), self._rule()
        )
        return times // unit

    def _of_text(self, texts: Any) -> Any:
        import tensorflow as tf

        assert self._pattern is not None
        pattern, groups = self._pattern
        texts = checked(
            texts, tf.strings.regex_full_match(texts, pattern), self._rule()
        )

        def group(name: str) -> Any:
            number = groups.index(name) + 1
            return tf.strings.regex_replace(
                texts, f"^{pattern}$", rf"\{number}"
            )

        def value(name: str, default: int) -> Any:
            if name not in groups:
                return tf.fill(tf.shape(texts), tf.constant(default, tf.int64))
            # An optional group that is not there is empty.
            sign = tf.where(_begins(group(name), "-"), _int64(-1), _int64(1))
            digits = tf.strings.regex_replace(group(name), "^[+-]", "")
            digits = tf.strings.join(["0", digits])
            return sign * tf.strings.to_number(digits, tf.int64)

        year = value("Y", 0)
        if "y" in groups:
            short = value("y", 0)
            year = short + tf.where(short < 70, _int64(2000), _int64(1900))
        hour, minute = value("H", 0), value("M", 0)
        second = value("S", 0)
        valid = (hour < 24) & (minute < 60) & (second <= 60)
        valid &= (year >= _YEARS[0]) & (year <= _YEARS[1])
        if "j" in groups:
            of_year = value("j", 1)
            valid &= (of_year >= 1) & (of_year <= 365 + _leap(year))
            days = _days(year, tf.ones_like(year), of_year)
        else:
            month, day = value("m", 1), value("d", 1)
            valid &= (month >= 1) & (month <= 12) & (day >= 1)
            month = tf.clip_by_value(month, 1, 12)
            lengths = tf.constant(_LENGTHS, tf.int64)
            length = tf.gather(lengths, month - 1)
            length += tf.where(month == 2, _leap(year), _int64(0))
            valid &= day <= length
            days = _days(year, month, day)
        seconds = days * _DAY + hour * 3600 + minute * 60 + second
        if "z" in groups:
            offset, known = _offset(group("z"))
            seconds, valid = seconds - offset, valid & known
        return checked(seconds, valid, self._rule(), texts)

    def _rule(self) -> str:
        form = "ISO 8601" if self.format is None else repr(self.format)
        return f"Column `{self.column}` must hold times as {form}."

    def compute_output_spec(self, times: Any) -> Any:
        return spec(times, "int64")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "column": self.column,
            "format": self.format,
        }


@keras.saving.register_keras_serializable("keras_pss")
class TimePart(RawLayer):
    """The text of a part of a time.

    Args:
        part: `"hour"` (`"0"` to `"23"`), `"weekday"` (`"1"`, Monday, to
            `"7"`) or `"weekend"` (`"0"` or `"1"`).

    Call arguments:
        seconds: Seconds since 1970, int64.
    """

    def __init__(self, part: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.part = part

    def call(self, seconds: Any) -> Any:
        import tensorflow as tf

        if self.part == "hour":
            return tf.strings.as_string(seconds % _DAY // 3600)
        weekday = (seconds // _DAY + 3) % 7 + 1  # 1970 began on a Thursday
        if self.part == "weekend":
            weekday = tf.cast(weekday >= 6, tf.int64)
        return tf.strings.as_string(weekday)

    def compute_output_spec(self, seconds: Any) -> Any:
        return spec(seconds, "string")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "part": self.part}


def _begins(texts: Any, mark: str) -> Any:
    import tensorflow as tf

    return tf.strings.substr(texts, 0, 1) == mark


def _int64(value: int) -> Any:
    import tensorflow as tf

    return tf.constant(value, tf.int64)


def _leap(year: Any) -> Any:
    """1 for leap years, 0 for others, int64."""
    import tensorflow as tf

    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    return tf.cast(leap, tf.int64)


def _days(year: Any, month: Any, day: Any) -> Any:
    """Days since 1970 of dates of the Gregorian calendar.

    Years count from March, so that the leap day is the last one.
    """
    import tensorflow as tf

    year -= tf.cast(month <= 2, tf.int64)
    month = (month + 9) % 12
    leaps = year // 4 - year // 100 + year // 400
    return year * 365 + leaps + (month * 153 + 2) // 5 + day - 719_469


def _offset(zone: Any) -> tuple[Any, Any]:
    """Seconds of offsets such as +01:00, and whether they are valid."""
    import tensorflow as tf

    digits = tf.strings.regex_replace(zone, "[^0-9]", "")
    digits = tf.strings.join(["0000", digits])
    number = tf.strings.to_number(tf.strings.substr(digits, -4, 4), tf.int64)
    hours, minutes = number // 100, number % 100
    sign = tf.where(_begins(zone, "-"), _int64(-1), _int64(1))
    return sign * (hours * 3600 + minutes * 60), (hours < 24) & (minutes < 60)
