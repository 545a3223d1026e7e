"""What replicas cannot train with the results of one device is refused."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from keras_pss import keras_internals
from keras_pss.layers.base.walk import every

_MEANS = ("sum_over_batch_size", "mean")


def check_model(model: keras.Model) -> None:
    """Raises ValueError if a step on parts of a batch is another one.

    Args:
        model: The model that is to be trained.
    """
    if not model.compiled:
        raise ValueError(
            "Compile the model, in the scope of the replicas, before `fit`. "
            f"Received: model '{model.name}', which is not compiled"
        )
    own = keras_internals.overrides_step(model)
    if own is not None:
        raise ValueError(
            "Replicas have a training step of their own, which weighs the "
            "rows of unequal parts. Give the loss to `compile`, or train on "
            f"one device. Received: model '{model.name}' with its own `{own}`"
        )
    for layer in every(model, keras.layers.BatchNormalization):
        raise ValueError(
            "Replicas cannot normalize by the rows of a whole batch, of which "
            "each has a part. Use keras.layers.LayerNormalization. "
            f"Received: layer '{layer.name}', a BatchNormalization"
        )
    for part in keras_internals.optimizers_of(model.optimizer):
        if getattr(part, "gradient_accumulation_steps", None):
            raise ValueError(
                "Keras cannot accumulate gradients within the steps of "
                "replicas. Train with a larger batch. Received: "
                f"gradient_accumulation_steps={part.gradient_accumulation_steps}"
            )
    for loss in keras.tree.flatten(model.loss):
        reduction = getattr(loss, "reduction", _MEANS[0])
        if reduction not in _MEANS:
            raise ValueError(
                "The loss must be the mean over the rows of a batch. Use "
                "reduction='mean', or train on one device. Received: loss "
                f"'{loss.name}' with reduction={reduction!r}"
            )


def check_outputs(model: keras.Model, predicted: Any) -> None:
    """Raises ValueError if the loss of a step is no mean over rows.

    Args:
        model: A model that is built for training.
        predicted: What the model has returned in the step.
    """
    for layer in keras_internals.layers_with_losses(model):
        raise ValueError(
            "A loss from `add_loss`, or from an `activity_regularizer`, has "
            "other values on parts of a batch. Give the loss to `compile`, or "
            f"train on one device. Received: a loss of layer '{layer.name}'"
        )
    for value in keras.tree.flatten(predicted):
        if keras_internals.is_masked(value):
            raise ValueError(
                "The loss of masked outputs is a mean over what is not masked, "
                "which differs between replicas. Remove the mask, or train on "
                f"one device. Received: masked outputs of '{model.name}'"
            )


@contextmanager
def losses_of_rows(model: keras.Model) -> Iterator[None]:
    """Within it, a loss function that returns a scalar raises ValueError.

    Args:
        model: A model that is built for training.
    """
    # Outputs may share a loss.
    losses = {id(x): x for x in keras_internals.built_losses(model)}.values()
    for loss in losses:
        loss.call = _of_rows(loss, loss.call)
    try:
        yield
    finally:
        for loss in losses:
            del loss.call


def _of_rows(loss: Any, call: Callable[..., Any]) -> Callable[..., Any]:
    def checked(*args: Any, **kwargs: Any) -> Any:
        values = call(*args, **kwargs)
        if values.shape.rank == 0:
            raise ValueError(
                "A loss function must return a value for each row, of which "
                "the mean is taken. Received: loss "
                f"'{loss.name}', which returns a scalar"
            )
        return values

    return checked
