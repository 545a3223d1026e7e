"""Memory of embedding tables, and what theory says about compressing them."""

from keras_pss.planning import theory as theory
from keras_pss.planning.memory_report import ModelReport as ModelReport
from keras_pss.planning.memory_report import memory_report as memory_report
