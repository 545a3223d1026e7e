"""Callbacks for layers whose tables change between steps or epochs."""

from keras_pss.callbacks.layer_updates import LayerUpdates as LayerUpdates
from keras_pss.callbacks.recluster import Recluster as Recluster
from keras_pss.callbacks.refresh_hot_rows import (
    RefreshHotRows as RefreshHotRows,
)
