"""What a model's tables take, before and after they are compressed."""

from keras_pss.planning.memory_report import ModelReport as ModelReport
from keras_pss.planning.memory_report import memory_report as memory_report
