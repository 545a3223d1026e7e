"""What the papers prove about compressed tables, as functions of their sizes.

Plain NumPy on the host. Sizes are numbers of parameters; losses are in nats.
"""

from keras_pss.planning.theory.macro_pss import (
    macro_pss_error as macro_pss_error,
)
from keras_pss.planning.theory.macro_pss import macro_pss_size as macro_pss_size
from keras_pss.planning.theory.memory_fetches import (
    memory_fetches as memory_fetches,
)
from keras_pss.planning.theory.micro_pss import importance as importance
from keras_pss.planning.theory.micro_pss import (
    micro_pss_error as micro_pss_error,
)
from keras_pss.planning.theory.micro_pss import micro_pss_size as micro_pss_size
from keras_pss.planning.theory.micro_pss import pairwise_error as pairwise_error
from keras_pss.planning.theory.own_rows import (
    estimated_logit_variance as estimated_logit_variance,
)
from keras_pss.planning.theory.own_rows import own_row_count as own_row_count
from keras_pss.planning.theory.own_rows import own_rows_gain as own_rows_gain
from keras_pss.planning.theory.robe_lookups import (
    lookup_product_bound as lookup_product_bound,
)
from keras_pss.planning.theory.robe_lookups import (
    lookup_product_mean as lookup_product_mean,
)
from keras_pss.planning.theory.robe_lookups import (
    lookup_product_variance as lookup_product_variance,
)
from keras_pss.planning.theory.robe_projection import (
    projection_variance as projection_variance,
)
from keras_pss.planning.theory.robe_projection import row_error as row_error
from keras_pss.planning.theory.row_losses import bucket_loss as bucket_loss
from keras_pss.planning.theory.row_losses import oov_row_loss as oov_row_loss
from keras_pss.planning.theory.row_losses import own_row_loss as own_row_loss
from keras_pss.planning.theory.row_losses import rounding_loss as rounding_loss
from keras_pss.planning.theory.tensor_train import tt_flops as tt_flops
from keras_pss.planning.theory.tensor_train import (
    tt_parameters as tt_parameters,
)
