"""The optimizer of a run: one for all weights, or one more for the tables."""

from typing import Any

import keras

from keras_pss.optimizers import for_tables
from keras_pss.optimizers.slots import ROW_OPTIMIZERS
from keras_pss.training.config import LAZY_MOMENTUM, RunConfig

OPTIMIZERS: dict[str, Any] = {
    "adam": keras.optimizers.Adam,
    "adagrad": keras.optimizers.Adagrad,
    "sgd": keras.optimizers.SGD,
    **ROW_OPTIMIZERS,
}


def build_optimizer(
    config: RunConfig, model: keras.Model, steps: int | None = None
) -> keras.optimizers.Optimizer:
    """The optimizer of a run.

    Args:
        config: The run's hyperparameters.
        model: The built model.
        steps: Number of steps in all epochs. A decay without `decay_steps`
            ends there.
    """
    made = OPTIMIZERS[config.optimizer]
    rate = config.schedule(steps)
    if config.optimizer not in ROW_OPTIMIZERS:
        return made(rate, global_clipnorm=config.clip_norm)
    own = {"momentum": LAZY_MOMENTUM} if config.optimizer == "lazy_sgd" else {}
    return for_tables(
        model,
        made(rate, **own),
        keras.optimizers.Adam(config.network_schedule(steps)),
        config.clip_norm,
    )
