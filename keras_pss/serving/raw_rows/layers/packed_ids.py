"""Ids as a ranking model takes them."""

from typing import Any

import keras

from keras_pss.serving.raw_rows.layers.raw_layer import RawLayer, spec


@keras.saving.register_keras_serializable("keras_pss")
class PaddedIds(RawLayer):
    """Ids of padded lists, -1 for the padding.

    Call arguments:
        ids: Integers (batch, n).
        texts: The texts of the ids, `""` for padding.
    """

    def call(self, ids: Any, texts: Any) -> Any:
        import tensorflow as tf

        return tf.where(texts == "", -1, tf.cast(ids, tf.int32))

    def compute_output_spec(self, ids: Any, texts: Any) -> Any:
        return spec(ids, "int32")


@keras.saving.register_keras_serializable("keras_pss")
class StackedIds(RawLayer):
    """Ids of features side by side, int32 (batch, features).

    Call arguments:
        ids: List of integers (batch,).
    """

    def call(self, ids: Any) -> Any:
        import tensorflow as tf

        return tf.stack([tf.cast(x, tf.int32) for x in ids], axis=1)

    def compute_output_spec(self, ids: Any) -> Any:
        return spec(ids[0], "int32", (len(ids),))
