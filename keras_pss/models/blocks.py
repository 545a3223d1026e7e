"""Blocks that the models share."""

from collections.abc import Sequence
from typing import Any

import keras

Tensor = Any


def mlp(
    x: Tensor, units: Sequence[int], name: str, activation: str = "relu"
) -> Tensor:
    """Dense layers, each with the activation: `(b, k)` to `(b, units[-1])`."""
    for index, width in enumerate(units):
        x = keras.layers.Dense(
            width,
            activation=activation,
            kernel_initializer="glorot_normal",
            name=f"{name}_{index}",
        )(x)
    return x
