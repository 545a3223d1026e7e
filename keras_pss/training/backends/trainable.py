"""Which backends train, and what they leave to one another."""

from collections.abc import Sequence
from contextlib import suppress

import keras
import tensorflow as tf

TRAINABLE = ("tensorflow", "jax")


def prepare_backend() -> None:
    """Checks Keras' backend, and leaves it the GPUs.

    Call it before TensorFlow runs anything in the process.

    Raises:
        ValueError: If a run cannot train on the backend.
    """
    found = keras.backend.backend()
    if found not in TRAINABLE:
        raise ValueError(
            "A run trains on TensorFlow or JAX. Set KERAS_BACKEND=tensorflow "
            f"or KERAS_BACKEND=jax. Received: backend={found}"
        )
    leave_gpus()


def leave_gpus() -> None:
    """Keeps TensorFlow, which reads batches, off another backend's GPUs.

    It would reserve most of their memory. Where it has begun to run, it keeps
    what it has.
    """
    if keras.backend.backend() == "tensorflow":
        return
    with suppress(RuntimeError):
        tf.config.set_visible_devices([], "GPU")


def steps_without_xla(jit_compile: bool | str) -> list[str]:
    """A warning for a run whose steps are many times slower, or none."""
    if jit_compile is not False or keras.backend.backend() != "jax":
        return []
    return [
        "JAX runs each operation of a step on its own with jit_compile=False, "
        "which is many times slower. Leave it out, unless a layer cannot be "
        "compiled."
    ]


def mixed(backends: Sequence[str]) -> list[str]:
    """A warning for a run that several backends have trained, or none."""
    if len(set(backends)) < 2:
        return []
    return [
        f"The run was trained on {' and then on '.join(backends)}: weights, "
        "optimizer and order of batches went on, but dropout and the order of "
        "sums differ, so the result is not bit-equal to that of one backend."
    ]
