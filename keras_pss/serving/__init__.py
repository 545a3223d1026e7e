"""Models on their way to a server."""

from keras_pss.serving.saved_model import (
    export_saved_model as export_saved_model,
)
