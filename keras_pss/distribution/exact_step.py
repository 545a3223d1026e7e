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

LIMITS = ("clipnorm", "clipvalue", "global_clipnorm")


def exact_step(model: keras.Model, replicas: int) -> Callable[[Any], Any]:
    """The `train_step` of a compiled model on parts of global batches.

    Args:
        model: Compiled with a loss that is the mean over the rows of a batch.
        replicas: Number of all replicas.

    Returns:
        A function of a replica's element of `split_batches`. It returns the
        metrics of all replicas.
    """
    clips = any(_limits(model.optimizer))

    def train_step(data: Any) -> dict[str, Any]:
        x, y, weights = _without_padding(data)
        context = tf.distribute.get_replica_context()
        with tf.GradientTape() as tape:
            predicted = model(x, training=True)
            loss = _share_of_loss(model, x, y, predicted, weights)
            scaled = model.optimizer.scale_loss(loss)
        trained = model.trainable_variables
        gradients = tape.gradient(scaled, trained)
        if clips:
            # The optimizer clips before it sums: equal gradients, each a
            # share of the sum, by the same share of the limit (`limits`).
            known = [g for g in gradients if g is not None]
            summed = iter(context.all_reduce("SUM", known))
            gradients = [
                None if g is None else next(summed) / replicas
                for g in gradients
            ]
        model.optimizer.apply_gradients(zip(gradients, trained, strict=True))
        # Metrics are summed over the replicas of some strategies only.
        both = [tf.cast(n, tf.float32) for n in (loss, tf.shape(weights)[0])]
        whole, rows = tf.unstack(context.all_reduce("SUM", tf.stack(both)))
        for metric in model.metrics:
            if metric.name == "loss":
                metric.update_state(whole, sample_weight=rows)
            else:
                metric.update_state(y, predicted)
        return model.get_metrics_result()

    return train_step


@contextmanager
def limits(optimizer: Any, replicas: int) -> Iterator[None]:
    """Divides an optimizer's clipping limits by the number of replicas."""
    found = list(_limits(optimizer))
    for part, name, value in found:
        setattr(part, name, value / replicas)
    try:
        yield
    finally:
        for part, name, value in found:
            setattr(part, name, value)


def _limits(optimizer: Any) -> Iterator[tuple[Any, str, float]]:
    inner = getattr(optimizer, "inner_optimizer", None)
    parts = [optimizer, *getattr(optimizer, "optimizers", []), inner]
    for part in parts:
        for name in LIMITS:
            value = vars(part).get(name) if part is not None else None
            if value is not None:
                yield part, name, value


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
