"""Learning rate schedules, and the slots that optimizers keep for a weight.

Training loops are in `keras_pss/training`.
"""

from keras_pss.optimizers.warmup_decay import WarmupDecay as WarmupDecay
