"""Numbers of a log."""

from typing import Any

import keras

from keras_pss.serving.checked import checked
from keras_pss.serving.raw_rows.layers.canonical_text import integer_text
from keras_pss.serving.raw_rows.layers.packed_lists import as_float32
from keras_pss.serving.raw_rows.layers.raw_layer import RawLayer, spec

_NUMBER = r"[+-]?(?:[0-9]+[.]?[0-9]*|[.][0-9]+)(?:[eE][+-]?[0-9]+)?"


@keras.saving.register_keras_serializable("keras_pss")
class Numbers(RawLayer):
    """Numbers, checked as the readers of a log check them.

    Args:
        column: Column of the log, for messages.
        integer: Whether only integers of 64 bits are valid. Default: False.
        size: Number of numbers in a row, or None for any. Default: None.

    Call arguments:
        values: Numbers float64, NaN where they are missing, or texts, empty
            where they are missing.

    Returns:
        float64, NaN where a value is missing.

    Raises:
        InvalidArgumentError: A value is infinite, no number, or no integer.
    """

    def __init__(
        self,
        column: str,
        integer: bool = False,
        size: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.column = column
        self.integer = integer
        self.size = size

    def call(self, values: Any) -> Any:
        import tensorflow as tf

        if values.dtype != tf.string:
            return self._checked(values)
        if self.size is not None:
            values = checked(
                values,
                tf.shape(values)[1] == self.size,
                f"Column `{self.column}` must hold {self.size} numbers a row.",
                tf.shape(values)[1],
            )
        if self.integer:
            return self._of_integers(values)
        there = values != ""
        values = checked(
            values,
            tf.strings.regex_full_match(values, f"(?:{_NUMBER})?"),
            self._rule(),
        )
        numbers = tf.strings.to_number(tf.where(there, values, "0"), tf.float64)
        numbers = checked(
            numbers, tf.math.is_finite(numbers), self._rule(), values
        )
        return tf.where(there, numbers, _nan())

    def _of_integers(self, texts: Any) -> Any:
        import tensorflow as tf

        texts = integer_text(texts, self.column)
        there = texts != ""
        digits = tf.where(there, texts, "0")
        numbers = tf.strings.to_number(digits, tf.int64)
        return tf.where(there, tf.cast(numbers, tf.float64), _nan())

    def _checked(self, numbers: Any) -> Any:
        import tensorflow as tf

        valid = ~tf.math.is_inf(numbers)
        if self.integer:
            limit = 2.0**63
            valid &= tf.math.is_nan(numbers) | (
                (numbers == tf.floor(numbers))
                & (numbers >= -limit)
                & (numbers < limit)
            )
        return checked(numbers, valid, self._rule())

    def _rule(self) -> str:
        what = "integers of 64 bits" if self.integer else "finite numbers"
        return f"Column `{self.column}` must hold {what}."

    def compute_output_spec(self, values: Any) -> Any:
        if self.size is not None:
            return spec(values, "float64", (self.size,))
        return spec(values, "float64")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "column": self.column,
            "integer": self.integer,
            "size": self.size,
        }


@keras.saving.register_keras_serializable("keras_pss")
class ClippedNumbers(RawLayer):
    """Numbers filled, clipped and rounded to float32.

    Args:
        missing: Number that replaces a missing one before clipping, or None
            if missing numbers stay NaN. Default: None.
        minimum: Smaller numbers become this one. Default: no limit.
        maximum: Larger numbers become this one. Default: no limit.
        fill: List of numbers that replace missing ones after clipping, one
            for each column. Default: None.

    Returns:
        float32 (batch, size), or (batch,) if the numbers are.
    """

    def __init__(
        self,
        missing: float | None = None,
        minimum: float | None = None,
        maximum: float | None = None,
        fill: list[float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.missing = missing
        self.minimum = minimum
        self.maximum = maximum
        self.fill = None if fill is None else tuple(fill)

    def call(self, numbers: Any) -> Any:
        import tensorflow as tf

        if self.missing is not None:
            missing = tf.constant(self.missing, tf.float64)
            numbers = tf.where(tf.math.is_nan(numbers), missing, numbers)
        numbers = clipped(numbers, self.minimum, self.maximum)
        numbers = as_float32(numbers)
        if self.fill is None:
            return numbers
        fill = as_float32(tf.constant(self.fill, tf.float64))
        fill = fill[0] if numbers.shape.rank == 1 else fill
        return tf.where(tf.math.is_nan(numbers), fill, numbers)

    def compute_output_spec(self, numbers: Any) -> Any:
        return spec(numbers, "float32")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "missing": self.missing,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "fill": None if self.fill is None else list(self.fill),
        }


def clipped(numbers: Any, low: float | None, high: float | None) -> Any:
    """Numbers float64 within limits; NaN stays."""
    import tensorflow as tf

    # Comparisons with NaN are false.
    if low is not None:
        limit = tf.constant(low, tf.float64)
        numbers = tf.where(numbers < limit, limit, numbers)
    if high is not None:
        limit = tf.constant(high, tf.float64)
        numbers = tf.where(numbers > limit, limit, numbers)
    return numbers


def _nan() -> Any:
    import tensorflow as tf

    return tf.constant(float("nan"), tf.float64)
