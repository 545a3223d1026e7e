"""The house form of error messages, for every room; no package is imported."""

import reprlib
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError


class _Short(reprlib.Repr):
    """Shortens the `repr` of any value to a bounded length."""

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
    """The text of a value in an error message, shortened if it is long."""
    return _short.repr(value)


def did_you_mean(name: Any, known: Iterable[str]) -> str:
    """ " Did you mean 'dim'?" if a known name is close, otherwise ""."""
    close = get_close_matches(str(name), list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def reworded(error: "ValidationError", unknown: str) -> str:
    """The first error that pydantic found, in this package's wording.

    Args:
        error: What pydantic raised.
        unknown: The message about a field that does not exist, without its
            `Received: `.
    """
    found = error.errors(include_url=False)
    first = found[0]
    if first["type"] == "value_error":  # a check of our own
        return str(first["ctx"]["error"])
    name, value = first["loc"][0], first["input"]
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{unknown} Received: {name}={shown(value)}"
    # Pydantic reports each alternative of a union.
    rules = [
        each["msg"].removeprefix("Input should be ")
        for each in found
        if each["loc"][0] == name
    ]
    if len(first["loc"]) > 1 and isinstance(first["loc"][1], int):
        name = f"{name}[{first['loc'][1]}]"
    rule = " or ".join(dict.fromkeys(rules))
    return f"`{name}` must be {rule}. Received: {name}={shown(value)}"
