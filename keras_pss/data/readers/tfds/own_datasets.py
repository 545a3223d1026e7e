"""What is known of the datasets of `keras_pss.data.tfds`, without TFDS."""

# The preset that declares the features of a dataset.
PRESETS = {
    "avazu": "avazu",
    "criteo_kaggle": "criteo",
    "criteo_terabyte": "criteo",
}

# Criteo's missing integer: TFDS knows no null.
NO_INTEGER = -(2**31)
MISSING = {"criteo_kaggle": NO_INTEGER, "criteo_terabyte": NO_INTEGER}
