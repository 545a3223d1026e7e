"""A training step on several replicas that equals one on the whole batch.

Keras' own step averages the means of the replicas, which is another loss when
they have different numbers of rows, and clips each replica's gradient before
it is summed. This one weighs each row of the global batch the same and clips
the sum.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from keras_pss import keras_internals
from keras_pss.distribution.checks import check_outputs, losses_of_rows

LIMITS = ("clipnorm", "clipvalue", "global_clipnorm")
Limit = tuple[Any, str, float]  # an optimizer, and its attribute


def exact_step(model: keras.Model, replicas: int) -> Callable[[Any], Any]:
    """The `train_step` of a compiled model on parts of global batches.

    Args:
        model: Compiled with a loss that is the mean over the rows of a batch.
        replicas: Number of all replicas.

    Returns:
        A function of a replica's element of `split_batches`. It returns the
        metrics of all replicas.
    """
    summed_first = _needs_sum(model.optimizer)
    limits = list(_limits(model.optimizer))
    total, outputs = keras_internals.trackers_of_losses(model)

    def train_step(data: Any) -> dict[str, Any]:
        x, y, weights = _without_padding(data)
        context = tf.distribute.get_replica_context()
        with tf.GradientTape() as tape:
            predicted = model(x, training=True)
            check_outputs(model, predicted)
            with _values(outputs) as values, losses_of_rows(model):
                loss = _share_of_loss(model, x, y, predicted, weights)
            scaled = model.optimizer.scale_loss(loss)
        trained = model.trainable_variables
        gradients = tape.gradient(scaled, trained)
        if summed_first:
            # The optimizer clips before it sums: equal gradients, each a
            # share of the sum, by the same share of the limit. It looks for
            # infinite ones on one replica alone.
            known = [
                tf.convert_to_tensor(g) for g in gradients if g is not None
            ]
            summed = iter(context.all_reduce("SUM", known))
            gradients = [
                None if g is None else next(summed) / replicas
                for g in gradients
            ]
        with _divided(limits, replicas):
            model.optimizer.apply_gradients(
                zip(gradients, trained, strict=True)
            )
        # Metrics are summed over the replicas of some strategies only.
        local = [loss, *values, tf.shape(weights)[0]]
        local = tf.stack([tf.cast(n, tf.float32) for n in local])
        *whole, rows = tf.unstack(context.all_reduce("SUM", local))
        # A replica's loss is its share; those of outputs are not.
        total.update_state(whole[0], sample_weight=rows)
        for tracker, value in zip(outputs, whole[1:], strict=True):
            # As Keras, which knows no number of rows in a graph: the mean of
            # batches, whose last one may have fewer rows.
            tracker.update_state(value / replicas)
        return model.compute_metrics(x, y, predicted)

    return train_step


@contextmanager
def _divided(limits: list[Limit], replicas: int) -> Iterator[None]:
    """Divides clipping limits by the number of replicas.

    Only while a step is traced, so that a callback which saves the model saves
    its own limits. Replicas are traced by turns, one within another.
    """
    for part, name, value in limits:
        setattr(part, name, value / replicas)
    try:
        yield
    finally:
        for part, name, value in limits:
            setattr(part, name, value)


def _needs_sum(optimizer: Any) -> bool:
    """Whether an optimizer must see the gradient of the global batch."""
    if any(_limits(optimizer)):
        return True
    return any(
        isinstance(part, keras.optimizers.LossScaleOptimizer)
        for part in keras_internals.optimizers_of(optimizer)
    )


def _limits(optimizer: Any) -> Iterator[Limit]:
    for part in keras_internals.optimizers_of(optimizer):
        for name in LIMITS:
            value = vars(part).get(name)
            if value is not None:
                yield part, name, value


@contextmanager
def _values(trackers: list[Any]) -> Iterator[list[Any]]:
    """The values that metrics would be updated with, in place of updates."""
    found: list[Any] = []

    def keep(value: Any, sample_weight: Any = None) -> None:
        found.append(value)

    for tracker in trackers:
        tracker.update_state = keep
    try:
        yield found
    finally:
        for tracker in trackers:
            del tracker.update_state


def _without_padding(data: Any) -> Any:
    weights = data[-1]
    rows = tf.math.count_nonzero(weights)
    return keras.tree.map_structure(lambda value: value[:rows], data)


def _share_of_loss(
    model: keras.Model, x: Any, y: Any, predicted: Any, weights: tf.Tensor
) -> tf.Tensor:
    """What this replica adds to the loss of the global batch.

    The mean of no row would be NaN, so one with weight 0 is added.
    """
    rows = tf.cast(tf.shape(weights)[0], weights.dtype)
    weights = tf.concat([weights * (rows + 1), [0.0]], 0)

    def one_more(value: tf.Tensor, fill: float) -> tf.Tensor:
        padding = [[0, 1]] + [[0, 0]] * (value.shape.rank - 1)
        return tf.pad(
            value, padding, constant_values=tf.cast(fill, value.dtype)
        )

    return model.compute_loss(
        x,
        keras.tree.map_structure(lambda value: one_more(value, 0), y),
        keras.tree.map_structure(lambda value: one_more(value, 0.5), predicted),
        weights,
    )
