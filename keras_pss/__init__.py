"""Keras 3 layers that replace huge embedding tables by small ones."""

from importlib import import_module as _import_module
from types import ModuleType as _ModuleType
from typing import TYPE_CHECKING as _TYPE_CHECKING

from keras_pss import callbacks as callbacks
from keras_pss import models as models
from keras_pss import native as native
from keras_pss.convert.compress_model import compress_model as compress_model
from keras_pss.convert.fine_tune import fine_tune as fine_tune
from keras_pss.layers import BiInteraction as BiInteraction
from keras_pss.layers import BilinearInteraction as BilinearInteraction
from keras_pss.layers import CompressedInteraction as CompressedInteraction
from keras_pss.layers import DotInteraction as DotInteraction
from keras_pss.layers import EmbeddingBag as EmbeddingBag
from keras_pss.layers import EmbeddingCollection as EmbeddingCollection
from keras_pss.layers import FactorizationMachine as FactorizationMachine
from keras_pss.layers import FeatureConfig as FeatureConfig
from keras_pss.layers import FieldAttention as FieldAttention
from keras_pss.layers import FieldSum as FieldSum
from keras_pss.layers import FitReport as FitReport
from keras_pss.layers import FrequencyFilter as FrequencyFilter
from keras_pss.layers import MatrixCross as MatrixCross
from keras_pss.layers import PretrainedTable as PretrainedTable
from keras_pss.layers import SharedMemory as SharedMemory
from keras_pss.layers import SqueezeExcitation as SqueezeExcitation
from keras_pss.layers import TableConfig as TableConfig
from keras_pss.layers import VectorCross as VectorCross
from keras_pss.layers.embedding.methods import EXPORTS as _EXPORTS
from keras_pss.layers.embedding.methods import embedding as embedding
from keras_pss.planning import memory_report as memory_report
from keras_pss.planning import plan as plan
from keras_pss.version import __version__ as __version__

if _TYPE_CHECKING:
    from keras_pss.layers.embedding.methods import *  # noqa: F403

# The layers of the methods, as methods.py names them.
globals().update(_EXPORTS)

# Click logs, runs and export need more packages than the layers do, and
# TensorFlow: they are imported when they are first named.
_ON_DEMAND = (
    "comparison",
    "convert",
    "data",
    "distribution",
    "features",
    "metrics",
    "optimizers",
    "serving",
    "training",
)


def __getattr__(name: str) -> _ModuleType:
    if name in _ON_DEMAND:
        return _import_module(f"keras_pss.{name}")
    raise AttributeError(f"module 'keras_pss' has no attribute {name!r}")
