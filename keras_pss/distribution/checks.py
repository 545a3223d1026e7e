"""What replicas cannot train with the results of one device is refused."""

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


def check_outputs(model: keras.Model, y: Any, predicted: Any) -> None:
    """Raises ValueError if the loss of a step is no mean over rows.

    Args:
        model: A model that is built for training.
        y: Labels of a step.
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
    if keras.tree.is_nested(y) or keras.tree.is_nested(predicted):
        return
    for loss in keras_internals.built_losses(model):
        if loss.call(y, predicted).shape.rank == 0:
            raise ValueError(
                "A loss function must return a value for each row, of which "
                "the mean is taken. Received: loss "
                f"'{loss.name}', which returns a scalar"
            )
