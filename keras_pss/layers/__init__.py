"""Embedding layers, and the layers that multiply what they look up.

One room a kind; the classes are exported here. Layers are written in
`keras.ops`: what differs between backends is in `keras_pss/ops`.
"""

from keras_pss.layers.composite.embedding_bag import (
    EmbeddingBag as EmbeddingBag,
)
from keras_pss.layers.composite.embedding_collection import (
    EmbeddingCollection as EmbeddingCollection,
)
from keras_pss.layers.composite.frequency_filter import (
    FrequencyFilter as FrequencyFilter,
)
from keras_pss.layers.composite.hot_rows import HotRows as HotRows
from keras_pss.layers.embedding.clustered_embedding import (
    ClusteredEmbedding as ClusteredEmbedding,
)
from keras_pss.layers.embedding.deep_hash_embedding import (
    DeepHashEmbedding as DeepHashEmbedding,
)
from keras_pss.layers.embedding.fpd_embedding import (
    FPDEmbedding as FPDEmbedding,
)
from keras_pss.layers.embedding.full_embedding import (
    FullEmbedding as FullEmbedding,
)
from keras_pss.layers.embedding.hashed_embedding import (
    HashedEmbedding as HashedEmbedding,
)
from keras_pss.layers.embedding.memcom_embedding import (
    MEMComEmbedding as MEMComEmbedding,
)
from keras_pss.layers.embedding.mixed_dimension_embedding import (
    MixedDimensionEmbedding as MixedDimensionEmbedding,
)
from keras_pss.layers.embedding.qr_embedding import QREmbedding as QREmbedding
from keras_pss.layers.embedding.quantized_embedding import (
    QuantizedEmbedding as QuantizedEmbedding,
)
from keras_pss.layers.embedding.robe_embedding import (
    ROBEEmbedding as ROBEEmbedding,
)
from keras_pss.layers.embedding.shared_memory import (
    SharedMemory as SharedMemory,
)
from keras_pss.layers.embedding.sketch_embedding import (
    SketchEmbedding as SketchEmbedding,
)
from keras_pss.layers.embedding.tensor_ring_embedding import (
    TensorRingEmbedding as TensorRingEmbedding,
)
from keras_pss.layers.embedding.tt_embedding import TTEmbedding as TTEmbedding
from keras_pss.layers.feature_interaction.bi_interaction import (
    BiInteraction as BiInteraction,
)
from keras_pss.layers.feature_interaction.bilinear_interaction import (
    BilinearInteraction as BilinearInteraction,
)
from keras_pss.layers.feature_interaction.compressed_interaction import (
    CompressedInteraction as CompressedInteraction,
)
from keras_pss.layers.feature_interaction.dot_interaction import (
    DotInteraction as DotInteraction,
)
from keras_pss.layers.feature_interaction.factorization_machine import (
    FactorizationMachine as FactorizationMachine,
)
from keras_pss.layers.feature_interaction.field_attention import (
    FieldAttention as FieldAttention,
)
from keras_pss.layers.feature_interaction.field_sum import FieldSum as FieldSum
from keras_pss.layers.feature_interaction.matrix_cross import (
    MatrixCross as MatrixCross,
)
from keras_pss.layers.feature_interaction.squeeze_excitation import (
    SqueezeExcitation as SqueezeExcitation,
)
from keras_pss.layers.feature_interaction.vector_cross import (
    VectorCross as VectorCross,
)
