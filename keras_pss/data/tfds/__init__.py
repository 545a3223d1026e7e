"""Datasets for TensorFlow Datasets: Criteo's two logs and Avazu's.

Importing this package registers them, so that `tfds.load` finds them. Their
rows are in the order of the log. The config `"tiny"` of each has generated
rows and needs no download; for `"full"`, put the log where
`MANUAL_DOWNLOAD_INSTRUCTIONS` of the builder says.

>>> import tensorflow_datasets as tfds
>>> import keras_pss.data.tfds
>>> rows = tfds.load("criteo_kaggle/tiny", split="train")
"""

from keras_pss.data.tfds import (
    avazu_dataset_builder,
    criteo_kaggle_dataset_builder,
    criteo_terabyte_dataset_builder,
)
from keras_pss.data.tfds.criteo_rows import NO_INTEGER

__all__ = ["Avazu", "CriteoKaggle", "CriteoTerabyte"]

# TFDS calls a dataset as the module of its `Builder`.
Avazu = avazu_dataset_builder.Builder
CriteoKaggle = criteo_kaggle_dataset_builder.Builder
CriteoTerabyte = criteo_terabyte_dataset_builder.Builder

# The preset that declares the features of a dataset.
PRESETS = {
    "avazu": "avazu",
    "criteo_kaggle": "criteo",
    "criteo_terabyte": "criteo",
}
# The number that stands for a missing one: TFDS knows no null.
MISSING = {"criteo_kaggle": NO_INTEGER, "criteo_terabyte": NO_INTEGER}
