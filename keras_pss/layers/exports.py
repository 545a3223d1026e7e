"""Names of `keras_pss.layers`, imported when one is first used."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from keras_pss.layers.base.fitting.fit_report import FitReport as FitReport
from keras_pss.layers.base.fitting.pretrained_table import (
    PretrainedTable as PretrainedTable,
)
from keras_pss.layers.composite.embedding_bag import (
    EmbeddingBag as EmbeddingBag,
)
from keras_pss.layers.composite.embedding_collection import (
    EmbeddingCollection as EmbeddingCollection,
)
from keras_pss.layers.composite.features.feature_config import (
    FeatureConfig as FeatureConfig,
)
from keras_pss.layers.composite.features.table_config import (
    TableConfig as TableConfig,
)
from keras_pss.layers.composite.frequency_filter import (
    FrequencyFilter as FrequencyFilter,
)
from keras_pss.layers.composite.named_collection import (
    NamedCollection as NamedCollection,
)
from keras_pss.layers.embedding.methods import EXPORTS as _EXPORTS
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
from keras_pss.layers.fused.shared_memory import (
    SharedMemory as SharedMemory,
)

if _TYPE_CHECKING:
    from keras_pss.layers.embedding.methods import *  # noqa: F403

globals().update(_EXPORTS)
