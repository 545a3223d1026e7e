"""Packs the tables that were trained for a storage of fewer bits."""

import keras

from keras_pss.layers.base.tables import TableLayer
from keras_pss.layers.base.walk import every

FLOAT = "float32"


def pack(model: keras.Model) -> bool:
    """Packs the tables that have a storage of their own, such as int4.

    They were trained on the numbers of that storage, so no prediction
    changes. The other tables stay as they are.

    Args:
        model: A trained model, which is changed.

    Returns:
        Whether the model has such tables.
    """
    packed = [
        layer
        for layer in every(model, TableLayer)
        if getattr(layer, "storage", None) not in (None, FLOAT)
    ]
    for layer in packed:
        if layer.quantization_mode is None:
            # Such a layer takes it as its own storage.
            layer.quantize("int8")
    return bool(packed)
