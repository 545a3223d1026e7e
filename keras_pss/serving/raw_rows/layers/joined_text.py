"""The texts of pairs."""

from typing import Any

import keras

from keras_pss.serving.raw_rows.layers.raw_layer import RawLayer, spec


@keras.saving.register_keras_serializable("keras_pss")
class JoinedText(RawLayer):
    """Two texts as one.

    Args:
        separator: Text between them.
    """

    def __init__(self, separator: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.separator = separator

    def call(self, first: Any, second: Any) -> Any:
        import tensorflow as tf

        return tf.strings.join([first, second], self.separator)

    def compute_output_spec(self, first: Any, second: Any) -> Any:
        return spec(first)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "separator": self.separator}
