"""Exports models for serving; `raw_rows` serves the raw columns of a log."""

from keras_pss.serving.export_formats import export_model as export_model
from keras_pss.serving.saved_model import (
    export_saved_model as export_saved_model,
)
