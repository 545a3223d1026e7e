"""Whether the user has enabled kernels."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_off: ContextVar[bool] = ContextVar("keras_pss_native_off", default=False)


@contextmanager
def disabled() -> Iterator[None]:
    """Context manager in which lookups take the `keras.ops` path.

    It takes effect when a function is traced: a `tf.function` or `jax.jit`
    traced outside keeps its kernels, and one traced inside never uses any. The
    environment variable `KERAS_PSS_NATIVE=0` disables them for a process.
    """
    token = _off.set(True)
    try:
        yield
    finally:
        _off.reset(token)


def on_gpu() -> bool:
    """Whether kernels are enabled on GPUs, where they are off by default."""
    return os.environ.get("KERAS_PSS_NATIVE") == "gpu"


def on() -> bool:
    """Whether kernels are enabled in the current context."""
    return not _off.get() and os.environ.get("KERAS_PSS_NATIVE", "1") != "0"
