"""Names of `keras_pss.metrics`, imported when one is first used."""

from keras_pss.metrics.click_metrics import Metrics as Metrics
from keras_pss.metrics.click_metrics import (
    MetricsAccumulator as MetricsAccumulator,
)
from keras_pss.metrics.group_auc import GroupAUC as GroupAUC
from keras_pss.metrics.significance import Difference as Difference
from keras_pss.metrics.significance import compare_auc as compare_auc
