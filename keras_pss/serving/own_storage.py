"""Packs the tables that were trained for a storage of fewer bits."""

import logging

import keras

from keras_pss.layers.base.tables import TableLayer
from keras_pss.layers.base.walk import every

logger = logging.getLogger(__name__)
FLOAT = "float32"


def pack(model: keras.Model) -> bool:
    """Packs the tables that have a storage of their own, such as int4.

    They were trained on the numbers of that storage, so no prediction
    changes. The other tables stay as they are, and so do those that compute
    in float16, which Keras does not combine with packed weights.

    Args:
        model: A trained model, which is changed.

    Returns:
        Whether the model has packed tables of that kind.
    """
    packed = []
    for layer in every(model, TableLayer):
        if getattr(layer, "storage", None) in (None, FLOAT):
            continue
        if layer.compute_dtype == "float16":
            logger.warning(
                "The tables of %r are served as floats instead of %s, since "
                "Keras packs no weights that compute in float16. Train with "
                "precision='mixed_bfloat16' (--precision mixed_bfloat16) or "
                "'float32'.",
                layer.name,
                layer.storage,
            )
            continue
        packed.append(layer)
    for layer in packed:
        if layer.quantization_mode is None:
            # Such a layer takes it as its own storage.
            layer.quantize("int8")
    return bool(packed)
