"""The names of `keras_pss.serving`, which need Keras."""

from keras_pss.serving.export_formats import export_model as export_model
from keras_pss.serving.saved_model import (
    export_saved_model as export_saved_model,
)
