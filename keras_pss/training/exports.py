"""Names of `keras_pss.training`, imported when one is first used."""

from keras_pss.metrics.click_metrics import Metrics as Metrics
from keras_pss.metrics.click_metrics import (
    MetricsAccumulator as MetricsAccumulator,
)
from keras_pss.metrics.group_auc import GroupAUC as GroupAUC
from keras_pss.optimizers.warmup_decay import WarmupDecay as WarmupDecay
from keras_pss.training.config import RunConfig as RunConfig
from keras_pss.training.finished.evaluation import evaluate as evaluate
from keras_pss.training.finished.raw_model import raw_model as raw_model
from keras_pss.training.run import train as train
