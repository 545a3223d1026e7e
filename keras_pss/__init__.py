"""Keras 3 layers that replace huge embedding tables by small ones."""

from keras_pss import models as models
from keras_pss.layers import DotInteraction as DotInteraction
from keras_pss.layers import EmbeddingCollection as EmbeddingCollection
from keras_pss.layers import FullEmbedding as FullEmbedding
from keras_pss.layers import HashedEmbedding as HashedEmbedding
from keras_pss.layers import QREmbedding as QREmbedding
from keras_pss.layers import ROBEEmbedding as ROBEEmbedding
from keras_pss.layers import SharedMemory as SharedMemory
from keras_pss.layers import TTEmbedding as TTEmbedding
from keras_pss.layers import embedding as embedding
from keras_pss.version import __version__ as __version__
