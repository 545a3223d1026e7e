"""Training runs on click logs."""

from keras_pss.training.config import RunConfig as RunConfig
from keras_pss.training.metrics import Metrics as Metrics
from keras_pss.training.metrics import MetricsAccumulator as MetricsAccumulator
from keras_pss.training.run import evaluate as evaluate
from keras_pss.training.run import train as train
from keras_pss.training.schedules import WarmupDecay as WarmupDecay
