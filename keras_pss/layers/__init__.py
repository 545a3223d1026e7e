"""Embedding layers."""

from keras_pss.layers.dot_interaction import DotInteraction as DotInteraction
from keras_pss.layers.embedding_collection import (
    EmbeddingCollection as EmbeddingCollection,
)
from keras_pss.layers.factory import embedding as embedding
from keras_pss.layers.full_embedding import FullEmbedding as FullEmbedding
from keras_pss.layers.hashed_embedding import (
    HashedEmbedding as HashedEmbedding,
)
from keras_pss.layers.qr_embedding import QREmbedding as QREmbedding
from keras_pss.layers.robe_embedding import ROBEEmbedding as ROBEEmbedding
from keras_pss.layers.shared_memory import SharedMemory as SharedMemory
from keras_pss.layers.tt_embedding import TTEmbedding as TTEmbedding
