"""Exports models for serving."""

from keras_pss.serving.saved_model import (
    export_saved_model as export_saved_model,
)
