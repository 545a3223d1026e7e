"""Initial values of weights that a file, a copy or a fit will replace."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from keras import ops

from keras_pss.ops.fitting.variables import zeros

Fill = Callable[..., Any]

_stored: ContextVar[bool] = ContextVar(
    "keras_pss_weights_stored", default=False
)

_fitted: ContextVar[bool] = ContextVar(
    "keras_pss_weights_fitted", default=False
)


@contextmanager
def weights_are_stored() -> Iterator[None]:
    """Layers built within get their weights from a file or another layer."""
    token = _stored.set(True)
    try:
        yield
    finally:
        _stored.reset(token)


@contextmanager
def weights_are_fitted(fitted: bool = True) -> Iterator[None]:
    """Layers built within start with zeros, since a fit sets all weights.

    Args:
        fitted: False within it for weights that a fit leaves as they are.
    """
    token = _fitted.set(fitted)
    try:
        yield
    finally:
        _fitted.reset(token)


def are_fitted() -> bool:
    """Whether a fit is about to set the weights of a layer that is built."""
    return _fitted.get()


def are_stored() -> bool:
    """Whether the weights of a layer that is built are about to be replaced."""
    return _stored.get()


def zeros_if_refused(initializer: Fill) -> Fill:
    """An initializer that returns zeros if a saved model's is refused.

    So does it for weights that a fit sets.

    Earlier versions accepted initializers that a method cannot represent, such
    as one with a mean for a tensor train, and files still contain them. Their
    values are replaced by the stored weights, so zeros and a warning suffice.
    Outside of `weights_are_stored()`, the error is raised.
    """

    def fill(shape: Sequence[int], dtype: Any = None) -> Any:
        if _fitted.get():
            return zeros(shape, dtype)
        try:
            return initializer(shape, dtype=dtype)
        except ValueError as error:
            if not _stored.get():
                raise
            warnings.warn(
                "A layer that is loaded or copied starts with zeros until its "
                "weights are assigned, since its initializer is refused "
                f"today: {error}",
                stacklevel=2,
            )
            return ops.zeros(shape, dtype)

    return fill
