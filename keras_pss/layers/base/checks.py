"""Checks of constructor arguments."""

from typing import Any

# Ids and positions are int32 in most places.
LARGEST_DIM = 2**31 - 1


def positive_int(name: str, value: Any, largest: int | None = None) -> int:
    """Checks an integer argument; NumPy integers and bools are refused."""
    ok = isinstance(value, int) and not isinstance(value, bool) and value > 0
    if not ok or (largest is not None and value > largest):
        upper = "" if largest is None else f" of at most {largest}"
        raise ValueError(
            f"`{name}` must be a positive integer{upper}. "
            f"Received: {name}={value!r} (of type {type(value).__name__})"
        )
    return value
