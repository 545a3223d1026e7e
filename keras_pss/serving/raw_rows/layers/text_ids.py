"""Ids of texts by a vocabulary."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_pss.serving.raw_rows.layers.raw_layer import RawLayer, spec


@keras.saving.register_keras_serializable("keras_pss")
class TextIds(RawLayer):
    """Ids of texts by a vocabulary; texts out of it have id 0.

    `keras.layers.StringLookup` takes `"a\\0"` for `"a"` and some texts for its
    own tokens, so it does not give these ids for every vocabulary.

    Memory: about 100 bytes for each text.

    Args:
        vocabulary: List of distinct texts; the text at position i has the id
            i + 1.

    Returns:
        Ids int32, of the shape of the texts.
    """

    def __init__(self, vocabulary: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        import tensorflow as tf

        # Keras and TensorFlow would look into each element of a list.
        self._texts = np.array([*vocabulary, None], object)[:-1]
        self._table = None
        if len(self._texts):
            content = tf.lookup.KeyValueTensorInitializer(
                tf.constant(self._texts, tf.string),
                tf.range(1, len(self._texts) + 1, dtype=tf.int32),
            )
            self._table = tf.lookup.StaticHashTable(content, 0)

    @property
    def vocabulary(self) -> list[str]:
        """The texts, in the order of their ids."""
        return self._texts.tolist()

    def call(self, texts: Any) -> Any:
        import tensorflow as tf

        if self._table is None:
            return tf.zeros(tf.shape(texts), tf.int32)
        return self._table.lookup(texts)

    def compute_output_spec(self, texts: Any) -> Any:
        return spec(texts, "int32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "vocabulary": self.vocabulary}
