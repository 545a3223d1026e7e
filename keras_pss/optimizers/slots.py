"""Slots: the variables that an optimizer keeps per weight."""

import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_pss import keras_internals
from keras_pss.ops import dtypes
from keras_pss.optimizers.lazy_adam import LazyAdam
from keras_pss.optimizers.lazy_sgd import LazySGD
from keras_pss.optimizers.row_optimizer import RowOptimizer
from keras_pss.optimizers.rowwise_adagrad import RowwiseAdagrad

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
# Names that stand for these optimizers for tables of rows, and Adam elsewhere.
ROW_OPTIMIZERS: dict[str, Any] = {
    "lazy_adam": LazyAdam,
    "rowwise_adagrad": RowwiseAdagrad,
    "lazy_sgd": LazySGD,
}

_KNOWN = "one of " + ", ".join(map(repr, [*OPTIMIZER_SLOTS, *ROW_OPTIMIZERS]))


def slot_bytes(
    optimizer: Optimizer,
    shape: tuple[int, int],
    dtype: str,
    by_row: bool = True,
    variable: Any = None,
) -> int:
    """Bytes that an optimizer keeps for a table.

    Args:
        optimizer: A name, which stands for the defaults, or an optimizer,
            whose settings are used.
        shape: Shape of the table, `(rows, width)`.
        dtype: Dtype of the table.
        by_row: Whether it is a table of rows, for which a name such as
            `"lazy_adam"` stands for that optimizer, and for Adam otherwise.
        variable: The weight, which a `keras.optimizers.MultiOptimizer` needs
            to choose its optimizer. Defaults to None.

    Raises:
        ValueError: If the number of slots of the optimizer is unknown.
    """
    if isinstance(optimizer, str):
        if optimizer in ROW_OPTIMIZERS:
            optimizer = ROW_OPTIMIZERS[optimizer]() if by_row else "adam"
    else:
        optimizer = _chosen(optimizer, variable)
    table = math.prod(shape) * dtypes.itemsize(dtype)
    if not isinstance(optimizer, RowOptimizer):
        return optimizer_slots(optimizer) * table
    found = sum(map(math.prod, optimizer.slot_shapes(shape).values()))
    found *= dtypes.itemsize(dtypes.accurate(dtype))
    # The accumulator is like the table.
    return found + bool(optimizer.gradient_accumulation_steps) * table


def check_optimizer(optimizer: Optimizer) -> None:
    """Raises a ValueError if the number of slots of an optimizer is unknown."""
    for each in _parts(optimizer):
        slot_bytes(each, (1, 1), "float32")


def optimizer_name(optimizer: Optimizer) -> str:
    """What a report calls an optimizer."""
    if isinstance(optimizer, str):
        return optimizer
    return " and ".join(
        type(each).__name__.lower() for each in _parts(optimizer)
    )


def optimizer_slots(optimizer: Optimizer) -> int:
    """Number of slots that an optimizer of Keras keeps for a trained weight.

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
    optimizer = _unwrapped(optimizer)
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
    for slot in slots_of(optimizer, variable):
        # Named after the weight by `Optimizer.add_variable_from_reference`.
        kind = slot.name.removeprefix(variable.path.replace("/", "_"))
        values = np.array(ops.convert_to_numpy(slot))
        if kind == "_average":  # a moving average of the weight
            values[rows] = ops.convert_to_numpy(variable)[rows]
        elif kind == "_accumulator":
            owner = _chosen(optimizer, variable)
            values[rows] = owner.initial_accumulator_value
        else:
            values[rows] = 0
        slot.assign(values)


def slots_of(optimizer: Any, variable: Any) -> Iterator[Any]:
    """Yields an optimizer's variables that hold a number or more for each row.

    They have the shape of the weight or, with a row-wise optimizer, its first
    axis. Optimizers keep lists with one entry for each weight that
    they train. Names cannot identify weights, because weights of different
    layers may share one.
    """
    if optimizer is None or not optimizer.built:
        return
    optimizer = _chosen(optimizer, variable)
    if not optimizer.built:  # it trains none of the model's weights
        return
    place = keras_internals.place_among_trained(optimizer, variable)
    if place is None:  # the weight is frozen
        return
    own = {id(slot) for slot in optimizer.variables}
    trained = keras_internals.count_trained(optimizer)
    axes = 1 if isinstance(optimizer, RowOptimizer) else None
    shape = tuple(variable.shape)[:axes]
    for slots in vars(optimizer).values():
        if not isinstance(slots, list) or len(slots) != trained:
            continue
        slot = slots[place]
        if id(slot) in own and tuple(slot.shape)[:axes] == shape:
            yield slot


def _unwrapped(optimizer: Any) -> Any:
    while hasattr(optimizer, "inner_optimizer"):  # loss scaling
        optimizer = optimizer.inner_optimizer
    return optimizer


def _chosen(optimizer: Any, variable: Any) -> Any:
    """The optimizer that trains a weight."""
    optimizer = _unwrapped(optimizer)
    if not isinstance(optimizer, keras.optimizers.MultiOptimizer):
        return optimizer
    if variable is None:
        raise ValueError(
            "A MultiOptimizer chooses an optimizer by the path of a weight, "
            "so the layers must be built. Build them, or give the name of an "
            f"optimizer: {_KNOWN}. Received: optimizer={optimizer!r} and "
            "a layer that is not built"
        )
    return keras_internals.optimizer_for(optimizer, variable)


def _parts(optimizer: Optimizer) -> list[Any]:
    """The optimizers that an optimizer consists of."""
    optimizer = _unwrapped(optimizer)
    if isinstance(optimizer, keras.optimizers.MultiOptimizer):
        return list(optimizer.optimizers)
    return [optimizer]
