"""Runs several training steps on one device in a call of TensorFlow.

A call from Python costs a millisecond or two, as much as a small model's step.
"""

import time
from collections import deque
from typing import Any, NamedTuple

import keras
import tensorflow as tf

MOST = 32  # steps in a call
_SECONDS = 0.25  # the longest time between two calls of callbacks


class Schedule(NamedTuple):
    """Which steps a training has.

    Attributes:
        total: Number of steps, counted from the first epoch on, after which a
            callback stops training, even within an epoch of `fit`.
        of_pass: Number of steps in a pass over the data, whose last batch may
            have another number of rows.
    """

    total: int
    of_pass: int


class StepsAhead:
    """A `train_function` that runs steps ahead of their callbacks.

    Keras calls it for each step. The first call runs several steps, and the
    next ones return the logs of these. So callbacks get the logs of each step,
    but the weights are those of a later one; at the end of an epoch they are
    its own. Losses and weights have the same bits as without it. The number of
    steps grows to what takes a quarter of a second. The last batch of a pass,
    which may be compiled by itself, has a call by itself. After a loss that is
    not finite, no further step is run before its callbacks.

    Args:
        model: A compiled model, on TensorFlow.
        steps_per_epoch: Number of steps between two calls of `on_epoch_end`.
        first: Index of the next step.
        schedule: The steps of the training.
    """

    def __init__(
        self,
        model: keras.Model,
        steps_per_epoch: int,
        first: int,
        schedule: Schedule,
    ) -> None:
        self.steps_per_epoch = steps_per_epoch
        self.step = first
        self.schedule = schedule
        self._several = _several_steps(model)
        self._count = 1
        self._logs: deque[dict[str, Any]] = deque()

    def __call__(self, iterator: Any) -> dict[str, Any]:
        if not self._logs:
            self._logs.extend(self._run(iterator))
        self.step += 1
        return self._logs.popleft()

    def _run(self, iterator: Any) -> list[dict[str, Any]]:
        count = min(self._count, self._left())
        begin = time.perf_counter()
        found = self._several(iterator, tf.constant(count))
        columns = {name: value.numpy() for name, value in found.items()}
        step_seconds = (time.perf_counter() - begin) / count
        if self._count < MOST and 2 * self._count * step_seconds < _SECONDS:
            self._count *= 2
        rows = zip(*columns.values(), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def _left(self) -> int:
        """Steps until callbacks or the last batch of a pass come, from 1."""
        total, of_pass = self.schedule
        in_epoch = self.steps_per_epoch - self.step % self.steps_per_epoch
        whole = (of_pass - 1) - self.step % of_pass
        return max(1, min(in_epoch, total - self.step, whole))


def _several_steps(model: keras.Model) -> Any:
    """A function of an iterator and a number of steps.

    It returns the logs of the steps it has run, `(steps,)` by name: all of
    them, or those up to the first loss that is not finite.
    """
    one_step = tf.function(
        model.train_step, jit_compile=model.jit_compile, reduce_retracing=True
    )

    @tf.function
    def several(iterator: Any, count: tf.Tensor) -> dict[str, tf.Tensor]:
        def run(step: Any, _: Any, logs: Any) -> Any:
            found = one_step(iterator.get_next())
            logs = {
                name: column.write(step, found[name])
                for name, column in logs.items()
            }
            return step + 1, tf.math.is_finite(found["loss"]), logs

        first = one_step(iterator.get_next())
        logs = {
            name: tf.TensorArray(value.dtype, count, element_shape=())
            for name, value in first.items()
        }
        logs = {name: logs[name].write(0, first[name]) for name in logs}
        done, _, logs = tf.while_loop(
            lambda step, finite, _: finite & (step < count),
            run,
            (1, tf.math.is_finite(first["loss"]), logs),
            parallel_iterations=1,
        )
        return {name: each.stack()[:done] for name, each in logs.items()}

    return several
