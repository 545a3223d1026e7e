"""Learning rate schedules and optimizer slots.

Training loops are in `keras_pss/training`.
"""

from keras_pss.optimizers.warmup_decay import WarmupDecay as WarmupDecay
