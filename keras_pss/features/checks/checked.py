"""The decorator of every class of a schema, and the types of its fields."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar, dataclass_transform

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WrapValidator,
)
from pydantic.dataclasses import dataclass

from keras_pss.messages import did_you_mean, reworded, shown

# Largest number of ids of a table: ids are int32.
LARGEST_IDS = 2**31 - 1


def _texts(value: Any) -> Any:
    """One text stands for a list of it."""
    return (value,) if isinstance(value, str) else value


Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]
Count = Annotated[int, Field(ge=1, le=LARGEST_IDS, strict=True)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Fraction = Annotated[Number, Field(ge=0, lt=1)]
Flag = Annotated[bool, Field(strict=True)]

# A default that `__post_init__` replaces, so that the field is never None.
RESOLVED: Any = None


def or_none(value: Any, check: Callable[[Any], Any]) -> Any:
    """Validates a value unless it is None."""
    return value if value is None else check(value)


Resolved = Annotated[Text, WrapValidator(or_none)]

Dtype = Literal["string", "integer", "hex"]
Ids = Literal["vocabulary", "hash"]

# Pydantic's words that a user of schemas would stumble over.
_WORDS = {
    "be a valid tuple": "be a list",
    "be String should have at least 1 character": "not be empty",
    "be String should have at most 1 character": "be one character",
    "an instance of ": "a ",
}

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def checked(cls: type[T]) -> type[T]:
    """Makes a frozen dataclass whose arguments pydantic validates.

    What is wrong raises a ValueError in this package's wording.
    """
    made: Any = dataclass(frozen=True, config=ConfigDict(extra="forbid"))(cls)
    _reword(made, made.__init__)
    return made


def resolve(record: Any, **fields: Any) -> None:
    """Sets fields of a frozen dataclass within its `__post_init__`."""
    for name, value in fields.items():
        object.__setattr__(record, name, value)


def _reword(made: Any, init: Callable[..., None]) -> None:
    signature = inspect.signature(made)
    names = list(signature.parameters)

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        kind = made.__name__
        if len(args) > len(names):
            raise TypeError(
                f"{kind} takes at most {len(names)} arguments. "
                f"Received: {len(args)} arguments"
            )
        given = dict(zip(names, args, strict=False))
        if twice := sorted(set(given) & set(kwargs)):
            raise TypeError(
                f"Give each argument of {kind} once. Received: {twice[0]} twice"
            )
        given |= kwargs
        for name, parameter in signature.parameters.items():
            if parameter.default is parameter.empty and name not in given:
                raise ValueError(
                    f"{kind} needs `{name}`.{_instead(given, names)} "
                    f"Received: {shown(given)}"
                )
        try:
            init(self, **given)
        except ValidationError as error:
            unknown = (
                f"The fields of {kind} are: {', '.join(names)}."
                f"{_instead(given, names)}"
            )
            message = reworded(error, unknown)
            for words, ours in _WORDS.items():
                message = message.replace(words, ours)
            raise ValueError(message) from None

    made.__init__ = __init__


def _instead(given: dict[str, Any], names: list[str]) -> str:
    """What the first unknown name of `given` was probably meant to be."""
    for name in given:
        if name not in names:
            return did_you_mean(name, names)
    return ""
