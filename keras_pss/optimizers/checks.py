"""Checks of the arguments of optimizers."""

import math
from numbers import Real
from typing import Any


def check_positive(name: str, value: Any) -> None:
    """Raises a ValueError unless a value is a positive, finite number."""
    if not 0 < _number(value) < math.inf:
        raise ValueError(
            f"`{name}` must be a positive number. Received: {name}={value!r}"
        )


def check_limit(name: str, value: Any) -> None:
    """Raises a ValueError unless a value is such a number or None."""
    if value is not None and not 0 < _number(value) < math.inf:
        raise ValueError(
            f"`{name}` must be a positive number, or None. "
            f"Received: {name}={value!r}"
        )


def check_not_negative(name: str, value: Any) -> None:
    """Raises a ValueError unless a value is a finite number of at least 0."""
    if not 0 <= _number(value) < math.inf:
        raise ValueError(
            f"`{name}` must be a number of at least 0. "
            f"Received: {name}={value!r}"
        )


def check_share(name: str, value: Any) -> None:
    """Raises a ValueError unless a value is a number in [0, 1)."""
    if not 0 <= _number(value) < 1:
        raise ValueError(
            f"`{name}` must be in [0, 1). Received: {name}={value!r}"
        )


def _number(value: Any) -> float:
    """The value, or NaN, which is in no range, if it is no number."""
    return float(value) if isinstance(value, Real) else math.nan
