"""Click logs of any schema, synthetic logs in Criteo's format, and MovieLens.

TensorFlow is imported only when a `tf.data` pipeline is created, or a dataset
or TFRecord file is read or texts are hashed.

>>> from keras_pss import data
>>> log = data.prepare("log.csv", "prepared", schema)
>>> model.fit(
...     data.dataset(log, "train"),
...     validation_data=data.dataset(log, "validation"),
... )
"""

from keras_pss.data import criteo, movielens, synthetic
from keras_pss.data.pipelines.file_batches import file_dataset
from keras_pss.data.pipelines.log_dataset import dataset
from keras_pss.data.service.input_service import InputService
from keras_pss.data.service.server import InputServer
from keras_pss.data.service.service_dataset import service_dataset
from keras_pss.data.storage.open_folder import load
from keras_pss.data.storage.prepare_log import prepare
from keras_pss.data.storage.prepared_folder import PreparedFolder

__all__ = [
    "InputServer",
    "InputService",
    "PreparedFolder",
    "criteo",
    "dataset",
    "file_dataset",
    "load",
    "movielens",
    "prepare",
    "service_dataset",
    "synthetic",
]
