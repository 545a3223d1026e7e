"""Row-wise optimizers, learning rate schedules and optimizer slots.

Training loops are in `keras_pss/training`.
"""

from keras_pss.optimizers.clipped_multi_optimizer import (
    ClippedMultiOptimizer as ClippedMultiOptimizer,
)
from keras_pss.optimizers.lazy_adam import LazyAdam as LazyAdam
from keras_pss.optimizers.lazy_sgd import LazySGD as LazySGD
from keras_pss.optimizers.row_optimizer import RowOptimizer as RowOptimizer
from keras_pss.optimizers.rowwise_adagrad import (
    RowwiseAdagrad as RowwiseAdagrad,
)
from keras_pss.optimizers.tables_and_network import for_tables as for_tables
from keras_pss.optimizers.warmup_decay import WarmupDecay as WarmupDecay
