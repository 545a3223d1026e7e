"""Lists without their missing elements, not longer than declared."""

from typing import Any

import keras

from keras_pss.serving.checked import checked
from keras_pss.serving.raw_rows.layers.raw_layer import RawLayer, spec


@keras.saving.register_keras_serializable("keras_pss")
class PackedLists(RawLayer):
    """Lists without their empty elements, cut and padded to one length.

    Args:
        column: Column of the log, for messages.
        max_length: Number of elements that a row keeps.
        keep: Which elements a longer list keeps, `"first"` or `"last"`.

    Call arguments:
        texts: Elements, string (batch, n); empty ones are dropped.
        weights: Their weights, float64 (batch, n), if there are any.

    Returns:
        Elements, string (batch, max_length), padded with `""`; with weights
        also those, float32 (batch, max_length), padded with 0.

    Raises:
        InvalidArgumentError: An element has no finite weight, or there are
            more or fewer weights than elements.
    """

    def __init__(
        self, column: str, max_length: int, keep: str, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.column = column
        self.max_length = max_length
        self.keep = keep

    def call(self, texts: Any, weights: Any = None) -> Any:
        import tensorflow as tf

        there = texts != ""
        if weights is None:
            return self._packed(texts, there, "")
        same = tf.shape(texts) == tf.shape(weights)
        weights = checked(
            weights,
            same,
            f"Weights of column `{self.column}` must have its shape.",
            tf.shape(weights),
        )
        weights = checked(
            weights,
            ~(tf.math.is_inf(weights) | (tf.math.is_nan(weights) & there)),
            f"Weights of column `{self.column}` must be numbers.",
        )
        return (
            self._packed(texts, there, ""),
            as_float32(self._packed(weights, there, 0.0)),
        )

    def _packed(self, values: Any, there: Any, padding: Any) -> Any:
        import tensorflow as tf

        lists = tf.ragged.boolean_mask(values, there)
        length = self.max_length
        lists = (
            lists[:, :length] if self.keep == "first" else lists[:, -length:]
        )
        packed = lists.to_tensor(padding)
        # TensorFlow does not widen a batch of empty lists by itself.
        more = [[0, 0], [0, length - tf.shape(packed)[1]]]
        packed = tf.pad(packed, more, constant_values=padding)
        return tf.ensure_shape(packed, (None, length))

    def compute_output_spec(self, texts: Any, weights: Any = None) -> Any:
        packed = spec(texts, width=(self.max_length,))
        if weights is None:
            return packed
        return packed, spec(texts, "float32", (self.max_length,))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "column": self.column,
            "max_length": self.max_length,
            "keep": self.keep,
        }


def as_float32(numbers: Any) -> Any:
    """Rounds numbers to float32; too large ones become the largest."""
    import tensorflow as tf

    largest = tf.float32.max
    kept = tf.clip_by_value(numbers, -largest, largest)
    return tf.cast(tf.where(tf.math.is_nan(numbers), numbers, kept), tf.float32)
