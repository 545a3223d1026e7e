"""Exports models for serving, and scores raw rows."""

from keras_pss.serving.raw_model import RawModel as RawModel
from keras_pss.serving.raw_rows.preprocessing import (
    preprocessing as preprocessing,
)
from keras_pss.serving.raw_rows.raw_inputs import RawInput as RawInput
from keras_pss.serving.raw_rows.raw_inputs import raw_inputs as raw_inputs
from keras_pss.serving.saved_model import (
    export_saved_model as export_saved_model,
)
