"""What optimizers keep for each weight beside its values."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from keras import ops

from keras_pss import keras_internals

Optimizer = Any  # a name or a Keras optimizer


# Float copies of each trainable weight that Keras' optimizers keep.
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
    """Copies of each trained weight that an optimizer keeps.

    Args:
        optimizer: A name, for Keras' defaults; or an optimizer, for its own
            settings.

    Raises:
        ValueError: For one whose copies are not known.
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
            f"What {type(optimizer).__name__} keeps is not known. Name an "
            f"optimizer that keeps as much: `optimizer` may be {_KNOWN}."
        )
    options = ["amsgrad", "use_ema", "gradient_accumulation_steps"]
    if name in ("sgd", "rmsprop"):
        options += ["momentum", "centered"]
    more = sum(bool(getattr(optimizer, option, 0)) for option in options)
    return OPTIMIZER_SLOTS[name] + more


def reset_rows(optimizer: Any, variable: Any, rows: np.ndarray) -> None:
    """Gives rows of a variable the optimizer state that they started with.

    Args:
        optimizer: A Keras optimizer, or None.
        variable: A weight that it may train.
        rows: Numbers of the rows.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    for slot in slots_of(optimizer, variable):
        # Named after the weight by `Optimizer.add_variable_from_reference`.
        kind = slot.name.removeprefix(variable.path.replace("/", "_"))
        values = np.array(ops.convert_to_numpy(slot))
        if kind == "_average":  # of the weight itself
            values[rows] = ops.convert_to_numpy(variable)[rows]
        elif kind == "_accumulator":
            values[rows] = optimizer.initial_accumulator_value
        else:
            values[rows] = 0
        slot.assign(values)


def slots_of(optimizer: Any, variable: Any) -> Iterator[Any]:
    """An optimizer's variables that belong to a weight and have its shape.

    Optimizers keep lists with an entry for each weight that they train. Names
    would not do: those of weights in different layers may be equal.
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
