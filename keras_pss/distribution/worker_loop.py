"""The training loop of a worker, with Keras' callbacks.

Keras 3.15's `fit` fails with several workers (keras#20585): it tries to make a
tensor of a batch whose parts are on other workers.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


def worker_loop(
    model: keras.Model,
    strategy: tf.distribute.Strategy,
    parts: Any,
    *,
    epochs: int,
    steps_per_epoch: int,
    initial_epoch: int,
    callbacks: list[keras.callbacks.Callback],
    verbose: str | int,
    agree: Callable[[bool], bool],
) -> None:
    """Trains a compiled model whose `train_step` is that of a replica.

    Args:
        model: The model.
        strategy: The strategy in whose scope the model was built.
        parts: Distributed dataset of the elements of a replica.
        epochs, steps_per_epoch, initial_epoch, callbacks, verbose: As in
            `model.fit`.
        agree: Whether any worker's argument is true; called by all at once.

    Raises:
        ValueError: If there are too few batches.
    """

    @tf.function(reduce_retracing=True)
    def step(iterator: Any) -> Any:
        return strategy.run(model.train_step, args=(next(iterator),))

    calls = keras.callbacks.CallbackList(
        callbacks,
        add_history=True,
        add_progbar=verbose != 0,
        verbose=1 if verbose == "auto" else verbose,
        epochs=epochs,
        steps=steps_per_epoch,
        model=model,
    )
    model.stop_training = False
    iterator = iter(parts)
    logs: dict[str, float] = {}
    calls.on_train_begin()
    for epoch in range(initial_epoch, epochs):
        model.reset_metrics()
        calls.on_epoch_begin(epoch)
        for batch in range(steps_per_epoch):
            calls.on_train_batch_begin(batch)
            try:
                found = step(iterator)
            except (tf.errors.OutOfRangeError, StopIteration):
                raise ValueError(
                    "`batches` must have `steps_per_epoch` batches for each "
                    "epoch. Repeat them, or train fewer steps. Received: the "
                    f"end after {batch} steps of epoch {epoch + 1}"
                ) from None
            logs = _first(strategy, found)
            calls.on_train_batch_end(batch, logs)
            if model.stop_training:
                break
        # During an epoch, other metrics than the loss are those of a worker.
        result = model.get_metrics_result()
        epoch_logs = {name: float(value) for name, value in result.items()}
        calls.on_epoch_end(epoch, epoch_logs)
        if agree(bool(model.stop_training)):
            break
    model.optimizer.finalize_variable_values(model.trainable_variables)
    calls.on_train_end(logs)


def _first(strategy: Any, found: dict[str, Any]) -> dict[str, float]:
    """Metrics as numbers; they are the same on all replicas."""
    local = {
        k: strategy.experimental_local_results(v) for k, v in found.items()
    }
    return {name: float(values[0]) for name, values in local.items()}
