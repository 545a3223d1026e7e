"""Checks of constructor arguments: each returns what it has checked."""

import reprlib
from collections.abc import Iterable, Sequence
from typing import Any

# Ids and positions are int32 in most places.
LARGEST_DIM = 2**31 - 1
# Columns of a table. Methods try all splits of them; nobody has so many.
LARGEST_ROW = 2**16
# What float32 holds.
LARGEST_NUMBER = 1e38


class _Short(reprlib.Repr):
    """`repr` of any value, of bounded length."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = 200
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = 30

    def repr_int(self, x: int, level: int) -> str:
        if x.bit_length() > 512:  # Python refuses to print thousands of digits
            return f"an integer of {x.bit_length()} bits"
        return repr(x)


_short = _Short()


def shown(value: Any) -> str:
    """A value as an error message prints it."""
    return _short.repr(value)


def positive_int(name: str, value: Any, largest: int | None = None) -> int:
    """Checks an integer argument; NumPy integers and bools are refused."""
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
    """Checks an argument that is True or False, and not 1 or 'yes'."""
    if not isinstance(value, bool):
        raise ValueError(
            f"`{name}` must be True or False. "
            f"Received: {name}={shown(value)} (of type {type(value).__name__})"
        )
    return value


def number(
    name: str, value: Any, least: float, below: float = LARGEST_NUMBER
) -> float:
    """Checks a number in `[least, below)`; NaN is in no such range."""
    ok = isinstance(value, int | float) and not isinstance(value, bool)
    if not ok or not least <= value < below:
        raise ValueError(
            f"`{name}` must be a number of at least {least:g} and below "
            f"{below:g}. "
            f"Received: {name}={shown(value)} (of type {type(value).__name__})"
        )
    return value


def one_of(name: str, value: Any, allowed: Iterable[str]) -> str:
    """Checks a word among those that are known."""
    # Not `value in allowed`: an array compares with each word.
    if not isinstance(value, str) or value not in set(allowed):
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(repr, allowed))}. "
            f"Received: {name}={shown(value)}"
        )
    return value


def fetched(name: str, get: Any, value: Any) -> Any:
    """What Keras makes of an initializer, regularizer or the like.

    Args:
        name: The argument.
        get: Keras' function, such as `keras.initializers.get`.
        value: What was given.

    Raises:
        ValueError: If Keras does not know it; it names the argument.
    """
    try:
        return get(value)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise ValueError(
            f"`{name}` must be one that Keras knows by its name, its config "
            f"or itself. Received: {name}={shown(value)}"
        ) from error


def text(name: str, value: Any) -> str:
    """Checks a name."""
    if not isinstance(value, str) or not value:
        raise ValueError(
            f"`{name}` must be a text. Received: {name}={shown(value)}"
        )
    return value


def as_sequence(name: str, value: Any, what: str) -> Sequence[Any]:
    """Checks a list or tuple of whatever the caller checks further."""
    if not isinstance(value, list | tuple):
        raise ValueError(
            f"`{name}` must be a list of {what}. "
            f"Received: {name}={shown(value)} (of type {type(value).__name__})"
        )
    return value
