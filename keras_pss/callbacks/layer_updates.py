"""Runs the updates that layers request between steps and epochs."""

from collections.abc import Iterable
from typing import Any

import keras

from keras_pss.layers.base.checks import positive_int
from keras_pss.layers.base.updates import (
    Replaced,
    UpdatesAfterEpoch,
    UpdatesAfterStep,
)
from keras_pss.layers.base.walk import every
from keras_pss.optimizers.slots import reset_rows


class LayerUpdates(keras.callbacks.Callback):
    """Updates layers between steps and epochs, each on its own schedule.

    A `keras_pss.ClusteredEmbedding` is re-clustered after each epoch, except
    in the last quarter of the training, and the rows of a `keras_pss.HotRows`
    are refreshed ten times an epoch. The optimizer's slots of replaced rows
    are reset to their initial values. A model without such layers is not
    changed. To choose the schedule and the options, use the callbacks
    `Recluster` and `RefreshHotRows` instead.

    The schedule depends only on the step number, so training that resumes
    from a saved state (`fit(initial_epoch=...)`) updates the layers as an
    uninterrupted run does. Validation scores are computed before the update:
    list this callback after those that read the scores, and before one that
    saves the training state.

    Args:
        steps_per_epoch: Integer, the number of steps in one pass over the
            training data.
        steps_per_evaluation: Integer, the number of steps in an epoch of
            `fit`, if that is only a part of the data. Defaults to
            `steps_per_epoch`.

    Raises:
        ValueError: If a number of steps is not a positive integer, or if
            `steps_per_evaluation` exceeds `steps_per_epoch`.

    Example:

    ```python
    layer = keras_pss.ClusteredEmbedding(10_000, 8, num_clusters=20)
    model = keras.Sequential([keras.Input((), dtype="int32"), layer])
    model.compile("adam", "mse")
    ids = np.arange(10_000)
    updates = keras_pss.callbacks.LayerUpdates(steps_per_epoch=10)
    history = model.fit(
        ids, np.ones((10_000, 8)), batch_size=1_000, epochs=4,
        callbacks=[updates], verbose=0,
    )
    int(layer.epoch_table[0, 0])  # 3
    ```
    """

    def __init__(
        self, steps_per_epoch: int, steps_per_evaluation: int | None = None
    ) -> None:
        super().__init__()
        self.steps_per_epoch = positive_int("steps_per_epoch", steps_per_epoch)
        self.steps_per_evaluation = positive_int(
            "steps_per_evaluation",
            steps_per_evaluation or steps_per_epoch,
            steps_per_epoch,
        )
        self._after_step: list[Any] = []
        self._after_epoch: list[Any] = []
        self._steps = 0
        self._begin = 0

    def on_train_begin(self, logs: Any = None) -> None:
        self._after_step = every(self.model, UpdatesAfterStep)
        self._after_epoch = every(self.model, UpdatesAfterEpoch)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._steps = epoch * self.steps_per_evaluation

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._begin = batch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        first, self._steps = self._steps, self._steps + batch - self._begin + 1
        if not self._after_step:
            return
        # On JAX the variables are stale while an epoch runs. Access to
        # `self.model` synchronizes them, and Keras reads them again later.
        optimizer = self.model.optimizer
        # With `steps_per_execution`, one call covers several steps.
        for step in range(first + 1, self._steps + 1):
            for layer in self._after_step:
                changed = layer.after_step(step, self.steps_per_epoch)
                _reset(optimizer, changed)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        evaluations = -(-self.steps_per_epoch // self.steps_per_evaluation)
        if (epoch + 1) % evaluations or self.model.stop_training:
            return  # training is over, possibly because rows are NaN
        optimizer = self.model.optimizer
        for layer in self._after_epoch:
            _reset(
                optimizer,
                layer.after_epoch((epoch + 1) / self.params["epochs"]),
            )


def _reset(optimizer: Any, changed: Iterable[Replaced]) -> None:
    for table, rows in changed:
        reset_rows(optimizer, table, rows)
