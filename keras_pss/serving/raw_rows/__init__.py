"""Raw rows: what turns named columns of a log into the inputs of a model.

Its layers give the ids of the rows that `keras_pss.data.prepare` wrote, for
every value. Strings exist in TensorFlow alone, so they run there alone.
"""

from keras_pss.serving.raw_rows.preprocessing import (
    preprocessing as preprocessing,
)
from keras_pss.serving.raw_rows.raw_inputs import RawInput as RawInput
from keras_pss.serving.raw_rows.raw_inputs import raw_inputs as raw_inputs
from keras_pss.serving.raw_rows.raw_model import RawModel as RawModel
