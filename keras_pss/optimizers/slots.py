"""Optimizer slots: the variables that an optimizer keeps per weight."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from keras import ops

from keras_pss import keras_internals

Optimizer = Any  # a name or a Keras optimizer


# Number of slots of each trainable weight with Keras' defaults.
OPTIMIZER_SLOTS = {
    "sgd": 0,
    "momentum": 1,
    "adagrad": 1,
    "rmsprop": 1,
    "adam": 2,
    "adamw": 2,
    "ftrl": 2,
    "nadam": 2,
    "adamax": 2,
    "adadelta": 2,
    "lamb": 2,
    "lion": 1,
}


_KNOWN = "one of " + ", ".join(map(repr, OPTIMIZER_SLOTS))


def optimizer_slots(optimizer: Optimizer) -> int:
    """Number of slots that an optimizer keeps for each trained weight.

    Args:
        optimizer: A name, which stands for Keras' defaults, or an optimizer,
            whose settings are used.

    Raises:
        ValueError: If the number of slots of the optimizer is unknown.
    """
    if isinstance(optimizer, str):
        if optimizer not in OPTIMIZER_SLOTS:
            raise ValueError(
                f"`optimizer` must be {_KNOWN}. "
                f"Received: optimizer={optimizer!r}"
            )
        return OPTIMIZER_SLOTS[optimizer]
    while hasattr(optimizer, "inner_optimizer"):  # loss scaling
        optimizer = optimizer.inner_optimizer
    name = type(optimizer).__name__.lower()
    if name not in OPTIMIZER_SLOTS:
        raise ValueError(
            f"The number of slots of {type(optimizer).__name__} is unknown. "
            "Give the name of an optimizer with the same number of slots: "
            f"`optimizer` may be {_KNOWN}. "
            f"Received: optimizer={optimizer!r}"
        )
    options = ["amsgrad", "use_ema", "gradient_accumulation_steps"]
    if name in ("sgd", "rmsprop"):
        options += ["momentum", "centered"]
    more = sum(bool(getattr(optimizer, option, 0)) for option in options)
    return OPTIMIZER_SLOTS[name] + more


def reset_rows(optimizer: Any, variable: Any, rows: np.ndarray) -> None:
    """Resets the optimizer state of some rows to its initial values.

    Args:
        optimizer: A Keras optimizer, or None.
        variable: A weight that the optimizer may train.
        rows: Indices of the rows.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    for slot in slots_of(optimizer, variable):
        # Named after the weight by `Optimizer.add_variable_from_reference`.
        kind = slot.name.removeprefix(variable.path.replace("/", "_"))
        values = np.array(ops.convert_to_numpy(slot))
        if kind == "_average":  # a moving average of the weight
            values[rows] = ops.convert_to_numpy(variable)[rows]
        elif kind == "_accumulator":
            values[rows] = optimizer.initial_accumulator_value
        else:
            values[rows] = 0
        slot.assign(values)


def slots_of(optimizer: Any, variable: Any) -> Iterator[Any]:
    """Yields an optimizer's variables for a weight that have its shape.

    Optimizers keep lists with one entry for each weight that they train. Names
    cannot identify weights, because weights of different layers may share one.
    """
    if optimizer is None or not optimizer.built:
        return
    place = keras_internals.place_among_trained(optimizer, variable)
    if place is None:  # the weight is frozen
        return
    own = {id(slot) for slot in optimizer.variables}
    trained = keras_internals.count_trained(optimizer)
    for slots in vars(optimizer).values():
        if not isinstance(slots, list) or len(slots) != trained:
            continue
        slot = slots[place]
        if id(slot) in own and tuple(slot.shape) == tuple(variable.shape):
            yield slot
