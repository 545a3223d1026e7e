"""Criteo click logs: preparing them, reading them, feeding them to models.

>>> from keras_pss.data import criteo
>>> data = criteo.prepare("train.txt", "criteo")
>>> model.fit(
...     criteo.dataset(data, "train"),
...     validation_data=criteo.dataset(data, "validation"),
... )
"""

from keras_pss.data.batches import Batch, tsv_batches
from keras_pss.data.dataset import dataset, tsv_dataset
from keras_pss.data.encoder import IdEncoder
from keras_pss.data.encoder_file import load_encoder
from keras_pss.data.hashed import HashEncoder
from keras_pss.data.prepare import prepare
from keras_pss.data.prepared import Prepared, load
from keras_pss.data.schema import (
    CATEGORIES,
    COLUMNS,
    INTEGERS,
    LABEL,
    BrokenRowError,
    Reject,
)
from keras_pss.data.tsv import TsvReader
from keras_pss.data.vocabulary import VocabularyEncoder

__all__ = [
    "CATEGORIES",
    "COLUMNS",
    "INTEGERS",
    "LABEL",
    "Batch",
    "BrokenRowError",
    "HashEncoder",
    "IdEncoder",
    "Prepared",
    "Reject",
    "TsvReader",
    "VocabularyEncoder",
    "dataset",
    "load",
    "load_encoder",
    "prepare",
    "tsv_batches",
    "tsv_dataset",
]
