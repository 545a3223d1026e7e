"""Short runs that decide what the counts of a log leave open.

The decisions by counts alone are in `layers/planned`.
"""

from keras_pss.training.tuning.tune import tune as tune
