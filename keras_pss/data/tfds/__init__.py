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

__all__ = ["Avazu", "CriteoKaggle", "CriteoTerabyte"]

# TFDS calls a dataset as the module of its `Builder`.
Avazu = avazu_dataset_builder.Builder
CriteoKaggle = criteo_kaggle_dataset_builder.Builder
CriteoTerabyte = criteo_terabyte_dataset_builder.Builder
