"""Lists that are written as one text."""

from typing import Any

import keras

from keras_pss.serving.checked import checked
from keras_pss.serving.raw_rows.layers.raw_layer import RawLayer, spec


@keras.saving.register_keras_serializable("keras_pss")
class SplitText(RawLayer):
    """The elements of lists that are written as one text.

    Args:
        separator: Text between two elements.

    Call arguments:
        texts: string (batch,). An empty text is an empty list.

    Returns:
        The elements, string (batch, longest), padded with `""`, and their
        number, int64 (batch,). Elements may be empty, too.
    """

    def __init__(self, separator: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.separator = separator

    def call(self, texts: Any) -> Any:
        import tensorflow as tf

        lists = tf.strings.split(texts, self.separator)
        lengths = tf.where(
            texts == "", tf.zeros((), tf.int64), lists.row_lengths()
        )
        return lists.to_tensor(""), lengths

    def compute_output_spec(self, texts: Any) -> Any:
        return spec(texts, width=(None,)), spec(texts, "int64")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "separator": self.separator}


@keras.saving.register_keras_serializable("keras_pss")
class SameLengths(RawLayer):
    """Lists of weights, which must be as long as others.

    Args:
        column: Column of the weights, for messages.

    Call arguments:
        weights: Lists (batch, n).
        lengths: Their lengths, int64 (batch,).
        others: The lengths of the others, int64 (batch,).

    Raises:
        InvalidArgumentError: A list has another length.
    """

    def __init__(self, column: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.column = column

    def call(self, weights: Any, lengths: Any, others: Any) -> Any:
        rule = f"Column `{self.column}` must hold one weight an element."
        return checked(weights, lengths == others, rule, lengths)

    def compute_output_spec(
        self, weights: Any, lengths: Any, others: Any
    ) -> Any:
        return spec(weights)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "column": self.column}
