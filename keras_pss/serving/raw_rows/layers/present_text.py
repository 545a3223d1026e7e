"""Texts of a log, where those that mean a missing value become empty."""

from typing import Any

import keras

from keras_pss.serving.checked import checked
from keras_pss.serving.raw_rows.layers.raw_layer import RawLayer, spec

# What Unicode calls white space, as Polars strips it.
BLANK = (
    r"[\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}"
    r"\x{205F}\x{3000}]"
)
_AROUND = f"^{BLANK}+|{BLANK}+$"
_UTF8 = r"[\x{0}-\x{D7FF}\x{E000}-\x{10FFFF}]*"


@keras.saving.register_keras_serializable("keras_pss")
class PresentText(RawLayer):
    """Texts without those that mean a missing value, which become `""`.

    Args:
        column: Column of the log, for messages.
        missing: Texts that mean a missing value.
        strip: Whether blanks around a text are dropped.

    Raises:
        InvalidArgumentError: A text is not UTF-8.
    """

    def __init__(
        self, column: str, missing: Any, strip: bool, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.column = column
        self.missing = tuple(missing)
        self.strip = strip

    def call(self, texts: Any) -> Any:
        import tensorflow as tf

        texts = checked(
            texts,
            tf.strings.regex_full_match(texts, _UTF8),
            f"Column `{self.column}` must be UTF-8.",
        )
        if self.strip:
            texts = tf.strings.regex_replace(texts, _AROUND, "")
        for text in self.missing:
            if text:
                texts = tf.where(texts == text, "", texts)
        return texts

    def compute_output_spec(self, texts: Any) -> Any:
        return spec(texts)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "column": self.column,
            "missing": list(self.missing),
            "strip": self.strip,
        }
