"""Criteo's click log, with a schema whose options are a few arguments.

`load` and `dataset` are those of `keras_pss.data`.

>>> from keras_pss.data import criteo
>>> data = criteo.prepare("train.txt", "criteo")
>>> model.fit(
...     criteo.dataset(data, "train"),
...     validation_data=criteo.dataset(data, "validation"),
... )
"""

from keras_pss.data.criteo.columns import (
    CATEGORIES,
    COLUMNS,
    INTEGERS,
    LABEL,
)
from keras_pss.data.criteo.prepare_criteo import prepare
from keras_pss.data.criteo.preset import schema
from keras_pss.data.pipelines.log_dataset import dataset
from keras_pss.data.readers.block import BrokenRowError, Reject
from keras_pss.data.storage.open_folder import load

__all__ = [
    "CATEGORIES",
    "COLUMNS",
    "INTEGERS",
    "LABEL",
    "BrokenRowError",
    "Reject",
    "dataset",
    "load",
    "prepare",
    "schema",
]
