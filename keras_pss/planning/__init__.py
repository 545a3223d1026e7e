"""Memory of a model's embedding tables, compressed and uncompressed."""

from keras_pss.planning.memory_report import ModelReport as ModelReport
from keras_pss.planning.memory_report import memory_report as memory_report
