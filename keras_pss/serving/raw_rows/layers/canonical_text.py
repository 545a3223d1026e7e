"""The canonical texts of categories."""

from collections.abc import Iterator
from typing import Any

import keras

from keras_pss.serving.checked import checked
from keras_pss.serving.raw_rows.layers.raw_layer import RawLayer, spec

_LARGEST = "9223372036854775807"  # of 64 bits; the lowest ends in 8
_HEX = "[0-9a-fA-F]{1,8}"
_NO_HEX = "00000000"


def _up_to(limit: str) -> Iterator[str]:
    """Patterns of the numbers of as many digits that are at most `limit`."""
    for at, digit in enumerate(limit):
        if digit != "0":
            rest = f"[0-9]{{{len(limit) - at - 1}}}"
            yield f"{limit[:at]}[0-{int(digit) - 1}]{rest}"
    yield limit


def _magnitude(limit: str) -> str:
    fewer = f"[0-9]{{1,{len(limit) - 1}}}"
    return f"0*(?:{'|'.join([fewer, *_up_to(limit)])})"


INTEGER = (
    f"[+]?{_magnitude(_LARGEST)}|-{_magnitude(_LARGEST[:-1] + '8')}"  # 64 bits
)


@keras.saving.register_keras_serializable("keras_pss")
class CanonicalText(RawLayer):
    """The canonical texts of categories, as the readers of a log make them.

    An empty text is a missing value and stays empty.

    Args:
        column: Column of the log, for messages.
        kind: `"integer"`: `"+1"` and `"01"` become `"1"`. `"hex"`: at most
            eight digits become eight lowercase ones.
        missing_hex: Whether a missing hexadecimal value is `"00000000"`.
            Default: True.

    Raises:
        InvalidArgumentError: A text is no integer of 64 bits or is not
            hexadecimal.
    """

    def __init__(
        self, column: str, kind: str, missing_hex: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.column = column
        self.kind = kind
        self.missing_hex = missing_hex

    def call(self, texts: Any) -> Any:
        if self.kind == "hex":
            return self._hex(texts)
        return integer_text(texts, self.column)

    def _hex(self, texts: Any) -> Any:
        import tensorflow as tf

        texts = checked(
            texts,
            tf.strings.regex_full_match(texts, f"(?:{_HEX})?"),
            f"Column `{self.column}` must hold 1 to 8 hexadecimal digits.",
        )
        digits = tf.strings.substr(
            tf.strings.join([_NO_HEX, tf.strings.lower(texts)]), -8, 8
        )
        if self.missing_hex:
            return digits
        return tf.where(texts == "", "", digits)

    def compute_output_spec(self, texts: Any) -> Any:
        return spec(texts)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "column": self.column,
            "kind": self.kind,
            "missing_hex": self.missing_hex,
        }


def integer_text(texts: Any, column: str) -> Any:
    """Canonical decimal texts of integers; an empty text stays empty."""
    import tensorflow as tf

    texts = checked(
        texts,
        tf.strings.regex_full_match(texts, f"(?:{INTEGER})?"),
        f"Column `{column}` must hold integers of 64 bits.",
    )
    texts = tf.strings.regex_replace(texts, "^([+]|(-))?0*([0-9])", r"\2\3")
    return tf.where(texts == "-0", "0", texts)
