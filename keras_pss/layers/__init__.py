"""Embedding layers."""

from keras_pss.layers.bi_interaction import BiInteraction as BiInteraction
from keras_pss.layers.bilinear_interaction import (
    BilinearInteraction as BilinearInteraction,
)
from keras_pss.layers.clustered_embedding import (
    ClusteredEmbedding as ClusteredEmbedding,
)
from keras_pss.layers.compressed_interaction import (
    CompressedInteraction as CompressedInteraction,
)
from keras_pss.layers.deep_hash_embedding import (
    DeepHashEmbedding as DeepHashEmbedding,
)
from keras_pss.layers.dot_interaction import DotInteraction as DotInteraction
from keras_pss.layers.embedding_bag import (
    EmbeddingBag as EmbeddingBag,
)
from keras_pss.layers.embedding_collection import (
    EmbeddingCollection as EmbeddingCollection,
)
from keras_pss.layers.factorization_machine import (
    FactorizationMachine as FactorizationMachine,
)
from keras_pss.layers.factory import embedding as embedding
from keras_pss.layers.field_attention import FieldAttention as FieldAttention
from keras_pss.layers.field_sum import FieldSum as FieldSum
from keras_pss.layers.fpd_embedding import (
    FPDEmbedding as FPDEmbedding,
)
from keras_pss.layers.frequency_filter import (
    FrequencyFilter as FrequencyFilter,
)
from keras_pss.layers.full_embedding import FullEmbedding as FullEmbedding
from keras_pss.layers.hashed_embedding import (
    HashedEmbedding as HashedEmbedding,
)
from keras_pss.layers.hot_rows import (
    HotRows as HotRows,
)
from keras_pss.layers.matrix_cross import MatrixCross as MatrixCross
from keras_pss.layers.memcom_embedding import (
    MEMComEmbedding as MEMComEmbedding,
)
from keras_pss.layers.mixed_dimension_embedding import (
    MixedDimensionEmbedding as MixedDimensionEmbedding,
)
from keras_pss.layers.qr_embedding import QREmbedding as QREmbedding
from keras_pss.layers.quantized_embedding import (
    QuantizedEmbedding as QuantizedEmbedding,
)
from keras_pss.layers.robe_embedding import ROBEEmbedding as ROBEEmbedding
from keras_pss.layers.shared_memory import SharedMemory as SharedMemory
from keras_pss.layers.sketch_embedding import (
    SketchEmbedding as SketchEmbedding,
)
from keras_pss.layers.squeeze_excitation import (
    SqueezeExcitation as SqueezeExcitation,
)
from keras_pss.layers.tensor_ring_embedding import (
    TensorRingEmbedding as TensorRingEmbedding,
)
from keras_pss.layers.tt_embedding import TTEmbedding as TTEmbedding
from keras_pss.layers.vector_cross import VectorCross as VectorCross
