"""Checks of constructor arguments; each returns the checked value."""

from collections.abc import Iterable, Sequence
from typing import Any

from keras_pss.messages import shown as shown

# Ids and positions are int32 in most places.
LARGEST_DIM = 2**31 - 1
# Bounds the width of a table, since methods search over all splits of it.
LARGEST_ROW = 2**16
# Larger numbers may overflow float32.
LARGEST_NUMBER = 1e38


def positive_int(name: str, value: Any, largest: int | None = None) -> int:
    """Checks a positive integer; rejects NumPy integers and booleans."""
    ok = isinstance(value, int) and not isinstance(value, bool) and value > 0
    if not ok or (largest is not None and value > largest):
        upper = "" if largest is None else f" of at most {largest}"
        raise ValueError(
            f"`{name}` must be a positive integer{upper}. "
            f"Received: {name}={shown(value)} (of type {type(value).__name__})"
        )
    return value


def positive_ints(
    name: str, values: Any, largest: int | None = None
) -> tuple[int, ...]:
    """Checks a list or tuple of positive integers; it may be empty."""
    if not isinstance(values, list | tuple):
        raise ValueError(
            f"`{name}` must be a list of positive integers. Received: "
            f"{name}={shown(values)} (of type {type(values).__name__})"
        )
    return tuple(positive_int(name, value, largest) for value in values)


def non_negative_int(name: str, value: Any, largest: int | None = None) -> int:
    """Checks an integer argument that may be 0."""
    ok = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if not ok or (largest is not None and value > largest):
        upper = "" if largest is None else f" of at most {largest}"
        raise ValueError(
            f"`{name}` must be 0 or a positive integer{upper}. "
            f"Received: {name}={shown(value)} (of type {type(value).__name__})"
        )
    return value


def boolean(name: str, value: Any) -> bool:
    """Checks a boolean; rejects other values such as 1 or 'yes'."""
    if not isinstance(value, bool):
        raise ValueError(
            f"`{name}` must be True or False. "
            f"Received: {name}={shown(value)} (of type {type(value).__name__})"
        )
    return value


def number(
    name: str, value: Any, least: float, below: float = LARGEST_NUMBER
) -> float:
    """Checks a number in `[least, below)`; rejects NaN."""
    ok = isinstance(value, int | float) and not isinstance(value, bool)
    if not ok or not least <= value < below:
        raise ValueError(
            f"`{name}` must be a number of at least {least:g} and below "
            f"{below:g}. "
            f"Received: {name}={shown(value)} (of type {type(value).__name__})"
        )
    return value


def one_of(name: str, value: Any, allowed: Iterable[str]) -> str:
    """Checks a string that must be one of several."""
    # Test the type first: `in` compares an array element by element.
    if not isinstance(value, str) or value not in set(allowed):
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(repr, allowed))}. "
            f"Received: {name}={shown(value)}"
        )
    return value


def fetched(name: str, get: Any, value: Any) -> Any:
    """Resolves an initializer, regularizer, constraint or activation.

    Args:
        name: Name of the argument, for the error message.
        get: Keras' lookup function, such as `keras.initializers.get`.
        value: Value of the argument.

    Raises:
        ValueError: If Keras cannot resolve `value`.
    """
    try:
        return get(value)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise ValueError(
            f"`{name}` must be a name or a config that Keras knows, or an "
            f"object of that kind. Received: {name}={shown(value)}"
        ) from error


def text(name: str, value: Any) -> str:
    """Checks a non-empty string."""
    if not isinstance(value, str) or not value:
        raise ValueError(
            f"`{name}` must be a non-empty string. "
            f"Received: {name}={shown(value)}"
        )
    return value


def as_sequence(name: str, value: Any, what: str) -> Sequence[Any]:
    """Checks a list or tuple, whose items the caller checks.

    Args:
        name: Name of the argument.
        value: Value of the argument.
        what: Plural noun for the items, for the error message.
    """
    if not isinstance(value, list | tuple):
        raise ValueError(
            f"`{name}` must be a list of {what}. "
            f"Received: {name}={shown(value)} (of type {type(value).__name__})"
        )
    return value


def int_or_each(name: str, value: Any, part: str) -> tuple[int, ...]:
    """An integer as a tuple of one, or a list of one for each part.

    Args:
        name: Name of the argument.
        value: Value of the argument, whose items the caller checks.
        part: What the items belong to, such as `"band"`.
    """
    if isinstance(value, int):
        return (value,)
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(
            f"`{name}` must be an integer, or a list of one for each {part}. "
            f"Received: {name}={shown(value)}"
        )
    return tuple(value)
