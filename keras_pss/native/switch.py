"""Whether kernels are wanted, as the user says."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_off: ContextVar[bool] = ContextVar("keras_pss_native_off", default=False)


@contextmanager
def disabled() -> Iterator[None]:
    """Lookups within take the `keras.ops` path.

    It acts while a function is traced: a `tf.function` or `jax.jit` that was
    traced outside keeps its kernels, and one traced inside never has any. The
    environment variable `KERAS_PSS_NATIVE=0` turns them off for a process.
    """
    token = _off.set(True)
    try:
        yield
    finally:
        _off.reset(token)


def on_gpu() -> bool:
    """Whether kernels are wanted on GPUs, where they have yet to be run."""
    return os.environ.get("KERAS_PSS_NATIVE") == "gpu"


def on() -> bool:
    """Whether kernels are wanted here and now."""
    return not _off.get() and os.environ.get("KERAS_PSS_NATIVE", "1") != "0"
