"""Initial values of weights that a file is about to replace."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from keras import ops

Fill = Callable[..., Any]

_stored: ContextVar[bool] = ContextVar(
    "keras_pss_weights_stored", default=False
)


@contextmanager
def weights_are_stored() -> Iterator[None]:
    """Layers built within are given their weights by a file afterwards."""
    token = _stored.set(True)
    try:
        yield
    finally:
        _stored.reset(token)


def forgiving(initializer: Fill) -> Fill:
    """An initializer that never keeps a saved model from being loaded.

    Earlier versions took initializers that a method cannot follow, such as one
    with a mean for a tensor train, and files name them still. The values do
    not matter there, so zeros take their place, with a warning.
    """

    def fill(shape: Sequence[int], dtype: Any = None) -> Any:
        try:
            return initializer(shape, dtype=dtype)
        except ValueError as error:
            if not _stored.get():
                raise
            warnings.warn(
                "A layer from a file starts with zeros until its weights are "
                f"loaded, since its initializer is refused today: {error}",
                stacklevel=2,
            )
            return ops.zeros(shape, dtype)

    return fill
