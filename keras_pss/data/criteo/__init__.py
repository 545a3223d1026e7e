"""Criteo click logs: preparation, reading and input pipelines.

>>> from keras_pss.data import criteo
>>> data = criteo.prepare("train.txt", "criteo")
>>> model.fit(
...     criteo.dataset(data, "train"),
...     validation_data=criteo.dataset(data, "validation"),
... )
"""

from keras_pss.data.criteo.schema import CATEGORIES, COLUMNS, INTEGERS, LABEL
from keras_pss.data.criteo.tsv_reader import TsvReader
from keras_pss.data.encoders.encoder_file import load_encoder
from keras_pss.data.encoders.hash_encoder import HashEncoder
from keras_pss.data.encoders.id_encoder import IdEncoder
from keras_pss.data.encoders.vocabulary_encoder import VocabularyEncoder
from keras_pss.data.pipelines.tf_dataset import dataset, tsv_dataset
from keras_pss.data.pipelines.tsv_batches import Batch, tsv_batches
from keras_pss.data.readers.block import BrokenRowError, Reject
from keras_pss.data.storage.version_1.prepare import prepare
from keras_pss.data.storage.version_1.prepared import Prepared, load

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
