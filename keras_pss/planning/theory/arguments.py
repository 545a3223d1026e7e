"""Checks of arrays and numbers that the bounds take."""

from typing import Any

import numpy as np
import numpy.typing as npt

from keras_pss.layers.base.checks import shown

Floats = npt.NDArray[np.float64]


def table_of(name: str, value: Any) -> Floats:
    """A table of finite numbers as float64 `(n, d)`; a vector is `(n, 1)`."""
    array = np.asarray(value)
    numeric = array.dtype.kind in "fiu"
    if not numeric or array.ndim not in (1, 2) or not array.size:
        raise ValueError(
            f"`{name}` must be an array of numbers of shape (n, d), a table, "
            f"or (n,), a vector. Received: {name} of shape {array.shape} and "
            f"dtype {array.dtype}"
        )
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(
            f"`{name}` must hold finite numbers; replace NaN and infinity. "
            f"Received: {name} with {int((~np.isfinite(array)).sum())} others"
        )
    return array.reshape(len(array), -1)


def fraction(name: str, value: Any, *, one: bool = False) -> float:
    """A number in (0, 1), or in (0, 1] if `one`."""
    ok = isinstance(value, int | float) and not isinstance(value, bool)
    if not ok or not (0 < value < 1 or (one and value == 1)):
        raise ValueError(
            f"`{name}` must be a number above 0 and "
            f"{'at most' if one else 'below'} 1. "
            f"Received: {name}={shown(value)}"
        )
    return float(value)


def positive_numbers(name: str, value: Any) -> Floats:
    """Positive finite numbers, as a float64 array of any shape."""
    array = np.asarray(value)
    numeric = array.dtype.kind in "fiu"
    if not numeric or not (np.isfinite(array) & (array > 0)).all():
        raise ValueError(
            f"`{name}` must be a positive number or an array of such. "
            f"Received: {name}={shown(value)}"
        )
    return array.astype(np.float64)
